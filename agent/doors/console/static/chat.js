// A conversation: the answer is shown while it is written (as text, never as markup), then as the server renders it.
"use strict";
const form = document.getElementById("ask"), say = document.getElementById("say"), turns = document.getElementById("turns");
const stopButton = document.getElementById("stop"), send = document.getElementById("send");
const csrf = () => document.querySelector("meta[name=csrf]")?.content ?? "";
let running = null;

function turn(role, text) {
  const node = document.createElement("article");
  node.className = `turn ${role}`;
  const by = document.createElement("p"), name = document.createElement("strong"), body = document.createElement("div");
  by.className = "by";
  name.textContent = role === "person" ? "You" : "Watchkeeper";
  by.append(name);
  body.className = "text flowing";
  body.textContent = text;
  node.append(by, body);
  turns.append(node);
  node.scrollIntoView({ block: "end" });
  return { node, body };
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
      const lines = rest.slice(0, end).split("\n");
      const kind = lines.find((l) => l.startsWith("event: "))?.slice(7);
      const data = lines.filter((l) => l.startsWith("data: ")).map((l) => l.slice(6)).join("\n");
      if (kind) yield { kind, data: JSON.parse(data || "{}") };
    }
  }
}

function busy(on) {
  form.classList.toggle("busy", on);
  send.hidden = on;
  stopButton.hidden = !on;
  turns.setAttribute("aria-busy", String(on));
}

async function settle(made, node) {
  form.dataset.conversation = made.conversation;
  if (location.pathname !== `/chat/${made.conversation}`) history.replaceState(null, "", `/chat/${made.conversation}`);
  const answer = await fetch(`/chat/${made.conversation}/turns/${made.message}`, { headers: { "x-live": "1" } });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("article");
  if (fresh) {
    node.replaceWith(fresh);
    window.watchkeeper?.localTimes(fresh);
    fresh.scrollIntoView({ block: "nearest" });
  }
  if (document.querySelector(".listed [aria-current]")) return; // it stands in the list already
  const whole = await fetch(location.pathname, { headers: { accept: "text/html", "x-live": "1" } });
  const list = new DOMParser().parseFromString(await whole.text(), "text/html").querySelector(".listed");
  if (whole.ok && list) {
    document.querySelector(".listed").replaceWith(list);
    window.watchkeeper?.localTimes(list);
  }
}

async function ask(text) {
  document.getElementById("ideas").hidden = true;
  document.getElementById("opening")?.remove();
  turn("person", text);
  const { node, body } = turn("watchkeeper", "");
  const status = document.createElement("p");
  status.className = "note working";
  status.textContent = "Looking it up…";
  node.append(status);
  running = new AbortController();
  busy(true);
  try {
    const said = { text, person: form.dataset.person };
    if (form.dataset.conversation) said.conversation = form.dataset.conversation;
    const answer = await fetch("/api/v1/chat", {
      method: "POST", signal: running.signal, body: JSON.stringify(said),
      headers: { "content-type": "application/json", accept: "text/event-stream", "x-csrf-token": csrf() },
    });
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `That did not work (${answer.status}).`);
    for await (const { kind, data } of events(answer.body)) {
      if (kind === "status") {
        if (data.restart) body.textContent = "";
        status.textContent = data.text ?? "";
      } else if (kind === "token") {
        body.textContent += data.text ?? "";
      } else if (kind === "done") {
        body.textContent = data.text;
        await settle(data, node);
      } else if (kind === "error") {
        throw new Error(data.detail);
      }
    }
    status.remove();
  } catch (error) {
    status.className = error.name === "AbortError" ? "note" : "failed";
    status.textContent = error.name === "AbortError" ? "Stopped." : error.message;
    if (error.name !== "AbortError") status.setAttribute("role", "alert");
  } finally {
    running = null;
    busy(false);
    say.focus();
  }
}

function grow() {
  say.rows = Math.min(6, say.value.split("\n").length);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = say.value.trim();
  if (!text || running) return;
  say.value = "";
  grow();
  ask(text);
});
say.addEventListener("input", grow);
say.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});
stopButton.addEventListener("click", () => running?.abort());
document.getElementById("ideas").addEventListener("click", (event) => {
  const idea = event.target.closest("[data-idea]");
  if (idea && !running) ask(idea.textContent);
});

function openEvidence(id) {
  const found = id && document.getElementById(id);
  for (let node = found; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  found?.scrollIntoView({ block: "center" });
  found?.querySelector("summary")?.focus();
}
turns.addEventListener("click", async (event) => {
  const link = event.target.closest("a[href^='#e-']");
  if (link) {
    event.preventDefault();
    openEvidence(link.getAttribute("href").slice(1));
  }
  const thumb = event.target.closest("[data-thumb]");
  if (!thumb) return;
  const place = thumb.closest("[data-message]");
  const answer = await fetch(`/api/v1/chat/messages/${place.dataset.message}/feedback`, {
    method: "POST", headers: { "content-type": "application/json", "x-csrf-token": csrf() },
    body: JSON.stringify({ thumb: thumb.dataset.thumb, person: form.dataset.person }),
  });
  if (!answer.ok) return window.watchkeeper?.toast("Your word was not kept.", "bad");
  for (const one of place.querySelectorAll("[data-thumb]")) one.setAttribute("aria-pressed", String(one === thumb));
  window.watchkeeper?.toast("Thank you.");
});
if (location.hash.startsWith("#e-")) openEvidence(location.hash.slice(1));
