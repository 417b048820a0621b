// The page: asks for the state as one person sees it, shows it, and sends what the person does.
"use strict";

const $ = (id) => document.getElementById(id);
const view = { user: localStorage.user || "", place: "", tab: "messages", thread: "", state: null };
let shownModal = "";

async function load(since) {
  const answer = await fetch(`/state?user=${view.user}&since=${since}`);
  return answer.json();
}

async function send(what, more) {
  const answer = await fetch("/do", { method: "POST", body: JSON.stringify({ what, user: view.state.me, ...more }) });
  const said = await answer.json();
  if (said.error) toast(said.error);
}

function toast(text) {
  $("toast").textContent = text;
  $("toast").className = "shown";
  setTimeout(() => { $("toast").className = ""; }, 5000);
}

function color(user) {
  let sum = 0;
  for (const letter of user) sum = (sum * 31 + letter.charCodeAt(0)) % 6;
  return "tint-" + sum;
}

function message(item, state, inThread) {
  const act = (used, value) => send("click", { in: "message", channel: item.channel, ts: item.ts, action: used.action_id, value });
  const bot = item.user === state.app;
  const time = new Date(Number(item.ts) * 1000);
  const replies = state.messages.filter((other) => other.thread === item.ts && other.ts !== item.ts);
  const waiting = state.statuses.find((status) => status.channel === item.channel && status.thread === item.ts);
  const body = [];
  if (item.blocks.length && !item.markdown) body.push(blocks(item.blocks, act, state));
  else {
    if (item.markdown) body.push(markdown(item.markdown));
    else if (item.text) body.push(mrkdwn(item.text, state));
    if (item.blocks.length) body.push(blocks(item.blocks, act, state));
  }
  for (const attachment of item.attachments) {
    const shade = attachment.color === "danger" ? "danger" : attachment.color === "good" ? "good" : "plain";
    body.push(make("div", { class: "attachment " + shade }, blocks(attachment.blocks || [], act, state)));
  }
  for (const file of item.files) {
    const image = /\.(png|jpe?g|gif)$/i.test(file.name);
    body.push(make("figure", { class: "file" }, image ? make("img", { src: "/file/" + file.id, alt: file.alt }) : make("a", { href: "/file/" + file.id }, "📄 " + (file.title || file.name)),
      make("figcaption", {}, `${file.name} · ${Math.ceil(file.length / 1024)} kB`)));
  }
  return make("article", { class: (item.only ? "only " : "") + (item.streaming ? "streaming" : ""), "data-ts": item.ts },
    make("div", { class: "avatar " + (bot ? "bot" : color(item.user)), "aria-hidden": "true" }, bot ? "⚓" : (state.users[item.user] || "?")[0]),
    make("div", { class: "content" },
      item.only ? make("small", { class: "private" }, "👁 Only visible to you") : null,
      item.broadcast && !inThread ? make("button", { class: "private", on: { click: () => { view.thread = item.thread; show(view.state); } } }, "↳ replied to a thread") : null,
      make("div", { class: "by" }, make("b", {}, state.users[item.user] || item.user), bot ? make("span", { class: "badge" }, "APP") : null,
        make("time", { datetime: time.toISOString() }, time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })), item.edited ? make("small", {}, "(edited)") : null),
      ...body,
      Object.keys(item.reactions).length ? make("div", { class: "reactions" }, Object.entries(item.reactions).map(([name, count]) => make("span", {}, emoji(`:${name}:`), " ", String(count)))) : null,
      inThread || item.broadcast || !item.ts ? null : make("button", { class: "replies" + (replies.length || waiting ? "" : " faint"), on: { click: () => { view.thread = item.ts; show(view.state); } } },
        waiting ? `Watchkeeper ${waiting.text}…` : replies.length ? `${replies.length} ${replies.length === 1 ? "reply" : "replies"}` : "Reply in thread")));
}

function fill(place, items) {
  const low = place.scrollHeight - place.scrollTop - place.clientHeight < 80;
  const used = place.contains(document.activeElement) && document.activeElement.tagName === "SELECT";
  if (used) return;
  place.replaceChildren(...items);
  if (low) place.scrollTop = place.scrollHeight;
}

function show(state) {
  view.state = state;
  view.user = state.me;
  localStorage.user = state.me;
  if (!state.channels.some((channel) => channel.id === view.place) && view.place !== "app") view.place = (state.channels.find((channel) => !channel.im) || { id: "app" }).id;
  $("me").replaceChildren(...state.people.map((id) => make("option", { value: id, selected: id === state.me }, state.users[id])), make("option", { value: "+" }, "Somebody new…"));
  $("socket").textContent = state.http ? "Events go out over HTTP" : state.sockets ? `Watchkeeper is connected (${state.sockets} sockets)` : "Watchkeeper is not connected";
  $("socket").className = state.sockets || state.http ? "on" : "off";
  const go = (place) => () => { view.place = place; view.thread = ""; if (place === "app" && view.tab === "home") send("home", {}); show(view.state); };
  const entry = (place, label) => make("li", {}, make("button", { class: view.place === place ? "here" : "", "aria-current": view.place === place && "page", on: { click: go(place) } }, label));
  $("channels").replaceChildren(...state.channels.filter((channel) => !channel.im).map((channel) => entry(channel.id, "# " + channel.name)));
  $("direct").replaceChildren(entry("app", "⚓ Watchkeeper"));
  $("calls").replaceChildren(...state.calls.slice(-8).reverse().map((call) => make("li", { class: call.error ? "bad" : "" }, call.method, call.error ? " " + call.error : "")));
  const im = state.channels.find((channel) => channel.im);
  const place = view.place === "app" ? (im ? im.id : "") : view.place;
  const name = (state.channels.find((channel) => channel.id === place) || {}).name;
  $("title").textContent = view.place === "app" ? "⚓ Watchkeeper" : "# " + name;
  $("tabs").hidden = view.place !== "app";
  $("tabs").querySelectorAll("button").forEach((tab) => tab.setAttribute("aria-selected", String(tab.dataset.tab === view.tab)));
  const home = view.place === "app" && view.tab === "home";
  $("composer").hidden = home;
  $("text").placeholder = view.place === "app" ? "Ask Watchkeeper…" : `Message #${name}, or /watch status`;
  $("prompts").replaceChildren(...(view.place === "app" && !home && im ? state.prompts[im.id] || [] : []).map((prompt) =>
    make("button", { class: "prompt", on: { click: () => send("say", { channel: im.id, text: prompt.message }) } }, prompt.title)));
  if (home) {
    const act = (used, value) => send("click", { in: "home", action: used.action_id, value });
    fill($("stream"), [make("div", { class: "home" }, state.home ? blocks(state.home.blocks, act, state) : make("p", {}, "Nothing has been published here yet."))]);
  } else {
    fill($("stream"), state.messages.filter((item) => item.channel === place && (!item.thread || item.thread === item.ts || item.broadcast)).map((item) => message(item, state, false)));
  }
  const thread = state.messages.filter((item) => item.ts === view.thread || (view.thread && item.thread === view.thread));
  $("thread").hidden = !thread.length;
  document.body.classList.toggle("with-thread", thread.length > 0);
  const status = state.statuses.find((item) => item.thread === view.thread);
  fill($("replies"), [...thread.map((item) => message(item, state, true)), ...(status ? [make("p", { class: "status" }, `Watchkeeper ${status.text}…`)] : [])]);
  modal(state);
}

function modal(state) {
  const dialog = $("modal");
  const open = state.modal;
  if (!open) { shownModal = ""; if (dialog.open) dialog.close(); return; }
  if (shownModal !== open.id + open.hash) {
    shownModal = open.id + open.hash;
    const act = (used, value) => send("click", { in: "modal", action: used.action_id, value });
    const numbered = open.blocks.map((item, number) => ({ ...item, block_id: item.block_id || "b" + number }));
    const form = make("form", { tabindex: "-1", autofocus: !numbered.some((item) => item.type === "input"), on: { submit: (event) => { event.preventDefault(); send("submit", { values: values(form) }); } } },
      make("h2", {}, open.title.text), blocks(numbered, act, state),
      make("footer", {}, make("button", { type: "button", class: "button", on: { click: () => send("close", {}) } }, open.close ? open.close.text : "Close"),
        open.submit ? make("button", { class: "button primary" }, open.submit.text) : null));
    dialog.replaceChildren(form);
  }
  dialog.querySelectorAll("[data-wrong]").forEach((place) => { place.textContent = open.errors[place.dataset.wrong] || ""; });
  if (!dialog.open) dialog.showModal();
}

function values(form) {
  const found = {};
  form.querySelectorAll("[data-act]").forEach((field) => {
    const kind = field.dataset.kind;
    let value = field.value === undefined || field.value === "" ? null : field.value;
    if (kind === "static_select" || kind === "radio_buttons") value = { type: kind, selected_option: value && { value, text: { type: "plain_text", text: field.selectedOptions[0].text } } };
    if (kind === "checkboxes") value = { type: kind, selected_options: [...field.querySelectorAll(":checked")].map((box) => ({ value: box.value })) };
    if (kind === "datepicker") value = { type: kind, selected_date: value };
    (found[field.dataset.block] ||= {})[field.dataset.act] = value;
  });
  return found;
}

function composer(form, field, extra) {
  const go = () => {
    const text = field.value.trim();
    if (!text) return;
    const im = view.state.channels.find((channel) => channel.im);
    const channel = view.place === "app" ? (im ? im.id : view.state.app) : view.place;
    send("say", { channel, text, ...extra() });
    field.value = "";
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); go(); });
  field.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); go(); } });
}

composer($("composer"), $("text"), () => ({}));
composer($("reply"), $("reply-text"), () => ({ thread: view.thread }));
$("close-thread").addEventListener("click", () => { view.thread = ""; show(view.state); });
$("modal").addEventListener("cancel", (event) => { event.preventDefault(); send("close", {}); });
$("me").addEventListener("change", async () => {
  if ($("me").value === "+") {
    const name = prompt("Their name");
    if (name) await send("person", { name });
  } else view.user = $("me").value;
  view.thread = "";
  show(await load(-1));
});
$("add-channel").addEventListener("click", () => { const name = prompt("Its name"); if (name) send("channel", { name }); });
$("tabs").addEventListener("click", (event) => {
  if (!event.target.dataset.tab) return;
  view.tab = event.target.dataset.tab;
  send(view.tab === "home" ? "home" : "messages", {});
  show(view.state);
});

(async () => {
  for (let version = -1; ;) {
    try {
      const state = await load(version);
      if (state.me === view.user || !view.user) { version = state.version; show(state); }
    } catch { await new Promise((go) => setTimeout(go, 1000)); version = -1; }
  }
})();
