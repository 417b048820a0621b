// Stands behind every page: an offline page where the server is not reached, and messages with the page they open.
// No page and no answer is kept: what is shown is always what is so now.
"use strict";
const SHELL = "shell-1";
const KEPT = ["/offline", "/static/style.css", "/static/shell.css", "/static/icon.svg", "/static/icon-192.png",
  "/static/vendor/inter-5.3.0-latin.woff2"];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(SHELL).then((cache) => cache.addAll(KEPT)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if (name !== SHELL) await caches.delete(name);
    await self.clients.claim();
  })());
});

self.addEventListener("fetch", (event) => {
  const wanted = event.request;
  if (wanted.mode === "navigate" && wanted.method === "GET") {
    event.respondWith(fetch(wanted).catch(() => caches.match("/offline")));
  } else if (wanted.method === "GET" && new URL(wanted.url).pathname.startsWith("/static/")) {
    event.respondWith(fetch(wanted).catch(async () => (await caches.match(wanted, { ignoreSearch: true })) ?? Response.error()));
  }
});

// Only paths of this server are opened, whatever a message says.
function own(url) {
  try {
    const found = new URL(url, self.location.origin);
    return found.origin === self.location.origin ? found.href : self.location.origin + "/";
  } catch {
    return self.location.origin + "/";
  }
}

self.addEventListener("push", (event) => {
  let said = {};
  try { said = event.data?.json() ?? {}; } catch { said = { body: event.data?.text() }; }
  event.waitUntil(self.registration.showNotification(said.title || "Watchkeeper", {
    body: said.body || "", tag: said.tag || said.key || "watchkeeper", renotify: true,
    icon: "/static/icon-192.png", badge: "/static/icon-192.png", data: { url: own(said.url || "/") },
  }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const url = own(event.notification.data?.url || "/");
  event.waitUntil((async () => {
    const open = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    const one = open.find((client) => client.url === url) ?? open[0];
    if (!one) return self.clients.openWindow(url);
    if (one.url !== url) {
      try { await one.navigate(url); } catch { return self.clients.openWindow(url); }
    }
    return one.focus().catch(() => undefined);
  })());
});
