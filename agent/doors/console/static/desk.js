// The pages where people act: keys (j, k, a, r, Enter, ?), time that runs out, and messages on this device.
"use strict";
// Who was too late gets the proposal as the answer to the form: from here on it is the proposal's own page.
const place = document.querySelector("[data-path]");
if (place && location.pathname !== place.dataset.path) history.replaceState(null, "", place.dataset.path);

const cards = () => [...document.querySelectorAll("[data-card]")];
let at = -1;

function go(step) {
  const all = cards();
  if (!all.length) return;
  at = Math.min(Math.max(at + step, 0), all.length - 1);
  all.forEach((card, i) => card.classList.toggle("chosen", i === at));
  all[at].focus({ preventScroll: true });
  all[at].scrollIntoView({ block: "start" });
}

function open(which) {
  if (at < 0) go(1);
  const form = cards()[at]?.querySelector(`details.${which}`);
  if (form) form.open = true; // app.js puts the cursor in it
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
  if (document.querySelector("dialog[open]")) return;
  const act = {
    j: () => go(1), k: () => go(-1), a: () => open("approve"), r: () => open("reject"),
    "?": () => document.getElementById("keys")?.showModal(),
    Enter: () => { if (event.target.matches("[data-card]")) event.target.querySelector("a.open, a.more")?.click(); },
  }[event.key];
  if (!act || (event.key !== "?" && !cards().length)) return;
  if (event.key !== "Enter") event.preventDefault();
  act();
});

function left(ms) {
  const minutes = Math.floor(ms / 60000), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (ms <= 0) return "too late";
  if (minutes < 1) return `in ${Math.ceil(ms / 1000)} s`;
  if (hours < 1) return `in ${minutes} min`;
  return days ? `in ${days} d ${hours % 24} h` : `in ${hours} h ${minutes % 60} min`;
}
function count() {
  for (const node of document.querySelectorAll("[data-until]")) {
    const ms = new Date(node.dataset.until) - Date.now(), text = left(ms);
    if (node.textContent !== text) node.textContent = text;
    node.classList.toggle("soon", ms < 3600000);
  }
}
count();
setInterval(count, 1000);

// Messages on this device: asked for by a tap, never by itself.
const box = document.querySelector("[data-push]");
const csrf = () => document.querySelector("meta[name=csrf]")?.content ?? "";
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));

function post(path, body) {
  const person = box.querySelector("[name=person]")?.value ?? "";
  return fetch(path, {
    method: "POST", headers: { "content-type": "application/json", "x-csrf-token": csrf() },
    body: JSON.stringify({ ...body, person }),
  });
}

async function showPush() {
  const said = box.querySelector(".said"), on = box.querySelector("[data-push-on]"), off = box.querySelector("[data-push-off]");
  const test = box.querySelector("[data-push-test]");
  if (!("serviceWorker" in navigator) || !("PushManager" in window)) {
    said.textContent = "This browser cannot show messages of a page. On an iPhone, install the app on the home screen first.";
    return;
  }
  const worker = await navigator.serviceWorker.ready;
  const known = await worker.pushManager.getSubscription();
  const denied = Notification.permission === "denied";
  said.textContent = known ? "Messages are shown on this device: proposals that wait for you, and what is critical."
    : denied ? "Messages are blocked for this page in the browser's settings." : "No messages are shown on this device.";
  on.hidden = Boolean(known) || denied;
  off.hidden = test.hidden = !known;
}

async function subscribe() {
  const person = box.querySelector("[name=person]");
  if (person && !person.reportValidity()) return;
  if (await Notification.requestPermission() !== "granted") return showPush();
  const { key, ready } = await (await fetch("/push/key")).json();
  if (!ready) throw new Error("Messages to devices are not set up on this server.");
  const worker = await navigator.serviceWorker.ready;
  const made = await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(key) });
  const label = `${navigator.userAgentData?.platform ?? navigator.platform ?? ""} ${matchMedia("(display-mode: standalone)").matches ? "app" : "browser"}`.trim();
  const answer = await post("/push/subscribe", { ...made.toJSON(), label });
  if (!answer.ok) {
    await made.unsubscribe();
    throw new Error((await answer.json()).detail);
  }
  await showPush();
}

async function unsubscribe() {
  const worker = await navigator.serviceWorker.ready;
  const known = await worker.pushManager.getSubscription();
  if (known) {
    await post("/push/unsubscribe", { endpoint: known.endpoint });
    await known.unsubscribe();
  }
  await showPush();
}

async function test() {
  const answer = await post("/push/test", {});
  if (!answer.ok) throw new Error((await answer.json()).detail);
  window.watchkeeper?.toast("Sent. It should appear in a moment.");
}

if (box) {
  const told = (act) => () => act().catch((error) => window.watchkeeper?.toast(error.message, "bad"));
  box.querySelector("[data-push-on]").addEventListener("click", told(subscribe));
  box.querySelector("[data-push-off]").addEventListener("click", told(unsubscribe));
  box.querySelector("[data-push-test]").addEventListener("click", told(test));
  showPush().catch(() => undefined);
  const install = box.querySelector("[data-install]");
  window.addEventListener("beforeinstallprompt", (event) => {
    event.preventDefault();
    install.hidden = false;
    install.onclick = () => event.prompt();
  });
}
