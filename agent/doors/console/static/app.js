// What every page needs: times in the viewer's zone, dialogs, messages, the csrf header, keys.
"use strict";

const zone = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" }).resolvedOptions().timeZone;
const pad = (n) => String(n).padStart(2, "0");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function localTimes(root) {
  for (const node of root.querySelectorAll?.("time[data-local]") ?? []) {
    const at = new Date(node.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const text = `${at.getDate()} ${MONTHS[at.getMonth()]} ${at.getFullYear()}, ${pad(at.getHours())}:${pad(at.getMinutes())}`;
    if (node.textContent !== text) node.textContent = text;
    if (!node.title.includes(zone) && zone !== "UTC") node.title = `${node.title} · shown in ${zone}`;
  }
}

function toast(text, kind = "") {
  const node = document.createElement("div");
  node.className = `toast ${kind}`;
  node.textContent = text;
  document.getElementById("toasts")?.append(node);
  setTimeout(() => node.remove(), kind === "bad" ? 9000 : 5000);
}

window.watchkeeper = { localTimes, toast };

document.addEventListener("DOMContentLoaded", () => {
  localTimes(document);
  const ask = new URLSearchParams(location.search).get("ask"), say = document.getElementById("say");
  if (ask && say && !say.value) { // a question that another page suggests; it is sent by hand
    say.value = ask.slice(0, 500);
    say.focus();
  }
});
document.addEventListener("htmx:load", (event) => localTimes(event.detail.elt.parentNode ?? document));
document.addEventListener("part:put", (event) => localTimes(event.target));
document.addEventListener("toast", (event) => toast(event.detail.value ?? String(event.detail)));
document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["x-csrf-token"] = document.querySelector("meta[name=csrf]")?.content ?? "";
});
document.addEventListener("htmx:responseError", async (event) => {
  const said = event.detail.xhr.responseText;
  let text = `That did not work (${event.detail.xhr.status}).`;
  try {
    text = JSON.parse(said).detail ?? text;
  } catch {
    text = new DOMParser().parseFromString(said, "text/html").querySelector("main p.detail")?.textContent.trim() || text;
  }
  toast(text, "bad");
});
document.addEventListener("htmx:sendError", () => toast("The server was not reached; nothing was changed.", "bad"));

document.addEventListener("click", (event) => {
  const opener = event.target.closest?.("[data-dialog]");
  if (opener) {
    document.querySelector("dialog[open]")?.close();
    const wanted = document.getElementById(opener.dataset.dialog);
    if (wanted && !wanted.open) {
      wanted.showModal();
      wanted.querySelector("select, input:not([type=hidden]), textarea, a")?.focus();
    }
  } else if (event.target instanceof HTMLDialogElement) {
    event.target.close(); // beside the box
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    const open = document.activeElement?.closest("details.ask[open]") ?? document.querySelector("details.ask[open]");
    if (open) {
      open.open = false;
      open.querySelector("summary").focus();
    }
  }
  if (event.key === "/" && !event.target.closest("input, textarea, select, [contenteditable]")) {
    const search = document.querySelector("input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
});
document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.("details.ask") || !event.target.open) return;
  for (const other of document.querySelectorAll("details.ask[open]")) if (other !== event.target) other.open = false;
  event.target.querySelector("select, input:not([type=hidden]), textarea")?.focus();
}, true);
// A long list of fields, narrowed to those whose name holds some words.
document.addEventListener("input", (event) => {
  const list = event.target.dataset?.narrows && document.getElementById(event.target.dataset.narrows);
  if (!list) return;
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const one of list.children) one.hidden = !words.every((word) => one.textContent.toLowerCase().includes(word));
});
// Filters apply as they are chosen; a form that is sent shows it.
document.addEventListener("change", (event) => {
  if (event.target.matches?.("form[data-auto] select, form[data-auto] input[type=checkbox]")) event.target.form.requestSubmit();
});
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (event.target.method === "post" && button && !event.target.hasAttribute("hx-post")) {
    if (button.dataset.sent) event.preventDefault();
    button.dataset.sent = "1";
    button.setAttribute("aria-busy", "true");
  }
});
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button[data-sent]")) {
    delete button.dataset.sent;
    button.removeAttribute("aria-busy");
  }
});
