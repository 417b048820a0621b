// Keeps the page current. A part (`data-part`, with an id) names in data-live the events that change it ("queue",
// "incident:i-1", "model:*"); on one of them it is fetched again, from data-src or from this page, and put in place
// unless somebody is using it. Without a stream of events everything is looked at every few seconds instead.
"use strict";

const POLL = 2500, SLOW = 30000, APART = 300;
const known = new Map(); // the part's id -> what the server last sent for it
let stream, connected = false, timer = 0, missed = 0, last = 0;
let due = new Set();

const parts = () => [...document.querySelectorAll("[data-part][id]")];
const source = (part) => part.dataset.src || location.pathname + location.search;

function matches(part, name) {
  return (part.dataset.live || "*").split(/\s+/).some((wanted) =>
    wanted === name || (wanted.endsWith("*") && name.startsWith(wanted.slice(0, -1))));
}

function inUse(part) {
  const focus = document.activeElement;
  return (part.contains(focus) && focus.closest("form, details.ask, dialog")) ||
    part.querySelector("details.ask[open], dialog[open]") !== null;
}

function put(old, fresh) {
  const html = fresh.innerHTML;
  if (known.get(old.id) === html || inUse(old)) return;
  known.set(old.id, html);
  const open = [...old.querySelectorAll("details")].map((d) => d.open);
  [...fresh.querySelectorAll("details")].forEach((d, i) => { d.open = open[i] ?? d.open; });
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  old.className = fresh.className;
  old.replaceChildren(...fresh.childNodes);
  if (window.htmx) window.htmx.process(old);
  old.dispatchEvent(new Event("part:put", { bubbles: true }));
  if (focused) document.getElementById(focused)?.focus();
}

async function fetchParts(address, wanted) {
  const answer = await fetch(address, { headers: { accept: "text/html", "x-live": "1" }, redirect: "manual" });
  if (answer.type === "opaqueredirect" || answer.status === 401) { location.reload(); return; } // signed out
  if (answer.status === 404 && address !== location.pathname + location.search) { wanted.forEach((p) => p.remove()); return; }
  if (!answer.ok) throw new Error(String(answer.status));
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of wanted) {
    const fresh = page.getElementById(part.id);
    if (fresh) put(part, fresh);
    else if (!inUse(part)) part.remove();
  }
  const news = [...page.querySelectorAll("[data-part][id]")].some((p) => !document.getElementById(p.id));
  if (news && !parts().some(inUse) && !document.querySelector("dialog[open]")) location.reload(); // another shape now
  if (page.title) document.title = page.title;
}

async function refresh() {
  timer = 0;
  last = Date.now();
  const bySource = new Map();
  for (const part of parts().filter((p) => due.has(p.id))) {
    const address = source(part);
    bySource.set(address, [...(bySource.get(address) ?? []), part]);
  }
  due = new Set();
  try {
    await Promise.all([...bySource].map(([address, wanted]) => fetchParts(address, wanted)));
    missed = 0;
  } catch {
    missed += 1;
  }
  document.body.classList.toggle("lost", missed > 2);
}

function want(name) {
  for (const part of parts()) if (name === "*" || matches(part, name)) due.add(part.id);
  if (due.size && !timer) timer = setTimeout(refresh, Math.max(APART - (Date.now() - last), Math.random() * 60));
}

function connect() {
  const address = document.body.dataset.stream;
  if (!address || !window.EventSource) return;
  stream = new EventSource(address);
  stream.addEventListener("change", (event) => { for (const topic of JSON.parse(event.data).topics) want(topic); });
  stream.addEventListener("everything", () => want("*"));
  stream.onopen = () => {
    if (!connected && missed) want("*"); // what was missed meanwhile
    connected = true;
    document.body.classList.add("live");
  };
  stream.onerror = () => {
    connected = false;
    document.body.classList.remove("live");
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 20000 + Math.random() * 5000);
  };
}

document.addEventListener("DOMContentLoaded", () => {
  if (!parts().length) return;
  for (const part of parts()) known.set(part.id, part.innerHTML);
  connect();
  setInterval(() => { if (!document.hidden && Date.now() - last > (connected ? SLOW : POLL) - 100) want("*"); }, POLL);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) want("*"); });
});
window.addEventListener("pagehide", () => stream?.close());
