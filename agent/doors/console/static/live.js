// Keeps the page current: every two seconds the parts that changed are put in place, none that somebody is using.
"use strict";
const EVERY = 2000;
let missed = 0;

function inUse(part) {
  return part.contains(document.activeElement) && document.activeElement.closest("form, details.ask")
    || [...part.querySelectorAll("details.ask")].some((d) => d.open);
}

function keepOpen(from, to) {
  const open = [...from.querySelectorAll("details")].map((d) => d.open);
  [...to.querySelectorAll("details")].forEach((d, i) => { d.open = Boolean(open[i]); });
}

function put(page) {
  const seen = new Set();
  for (const fresh of page.querySelectorAll("[data-part]")) {
    seen.add(fresh.id);
    const old = document.getElementById(fresh.id);
    if (!old) {  // a part that was not there: the page has another shape now
      if (!document.querySelector("details.ask[open]")) location.reload();
      return;
    }
    if (old.dataset.html === fresh.innerHTML || inUse(old)) continue;
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    const html = fresh.innerHTML;
    keepOpen(old, fresh);
    old.className = fresh.className;
    old.replaceChildren(...fresh.childNodes);
    old.dataset.html = html;
    if (focused) document.getElementById(focused)?.focus();
  }
  for (const old of document.querySelectorAll("[data-part]")) {
    if (!seen.has(old.id) && !inUse(old)) old.remove();
  }
  document.title = page.title;
}

async function look() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.pathname, { headers: { accept: "text/html" } });
    if (!answer.ok) throw new Error(String(answer.status));
    put(new DOMParser().parseFromString(await answer.text(), "text/html"));
    missed = 0;
  } catch {
    missed += 1;
  }
  document.body.classList.toggle("lost", missed > 2);
}

for (const part of document.querySelectorAll("[data-part]")) part.dataset.html = part.innerHTML;
if (document.querySelector("[data-part]")) setInterval(look, EVERY);

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = document.activeElement?.closest("details.ask[open]") ?? document.querySelector("details.ask[open]");
  if (open) { open.open = false; open.querySelector("summary").focus(); }
});
document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.("details.ask") || !event.target.open) return;
  for (const other of document.querySelectorAll("details.ask[open]")) if (other !== event.target) other.open = false;
  event.target.querySelector("select, input:not([type=hidden]), textarea")?.focus();
}, true);
