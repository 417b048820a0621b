"""The page of the loopback Slack: what there is as JSON, what a person does as JSON, and the files that show it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from agent.doors.slack.loopback.others import view_json
from agent.doors.slack.loopback.server import LoopbackSlack
from agent.doors.slack.loopback.surfaces import ApiError
from agent.doors.slack.loopback.workspace import BOT_USER, Message

STATIC = Path(__file__).parent / "static"
PATIENCE = 3.0
"""Seconds that a person's click waits to be acknowledged, as in Slack."""
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; "
    "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
}


def routes(slack: LoopbackSlack) -> list[BaseRoute]:
    """To be added to a LoopbackSlack before it starts."""
    page = Page(slack)
    return [
        Route("/", page.index),
        Route("/state", page.state),
        Route("/do", page.do, methods=["POST"]),
        Route("/file/{file}", page.file),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]


class Page:
    """What the browser asks for. Only pages of this very server may write."""

    def __init__(self, slack: LoopbackSlack) -> None:
        self.slack = slack

    async def index(self, _: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers=HEADERS)

    async def file(self, request: Request) -> Response:
        file = self.slack.workspace.files.get(request.path_params["file"])
        if file is None or file.content is None:
            return Response(status_code=404)
        image = file.name.lower().endswith((".png", ".jpg", ".jpeg", ".gif"))
        kind = "image/png" if image else "application/octet-stream"
        named = {} if image else {"content-disposition": "attachment"}
        return Response(file.content, media_type=kind, headers={"x-content-type-options": "nosniff", **named})

    async def state(self, request: Request) -> Response:
        """What one person sees; waits until something is newer than `since`."""
        since = int(request.query_params.get("since", "-1"))
        for _ in range(100):
            if self.slack.workspace.version != since:
                break
            await asyncio.sleep(0.1)
        with self.slack.workspace.lock:
            return JSONResponse(self._seen(request.query_params.get("user", "")))

    def _seen(self, user: str) -> dict[str, Any]:
        workspace = self.slack.workspace
        people = [person for person in workspace.users.values() if not person.is_bot]
        who = workspace.users.get(user) or people[0]
        channels = [c for c in workspace.channels.values() if who.id in c.members]
        modals = [view for view in workspace.views.values() if view.user == who.id and view.open]
        home = workspace.homes.get(who.id)
        return {
            "version": workspace.version,
            "me": who.id,
            "app": BOT_USER,
            "users": {person.id: person.real_name for person in workspace.users.values()},
            "people": [person.id for person in people],
            "channels": [
                {"id": c.id, "name": c.name, "im": c.is_im, "member": BOT_USER in c.members} for c in channels
            ],
            "all_channels": {channel.id: channel.name for channel in workspace.channels.values()},
            "messages": [self._message(m) for m in workspace.messages if self._sees(m, who.id, channels)],
            "modal": {**view_json(modals[-1]), "errors": modals[-1].errors} if modals else None,
            "home": home.body if home else None,
            "prompts": {channel: prompts for (channel, _), prompts in workspace.prompts.items()},
            "statuses": [
                {"channel": channel, "thread": ts, "text": said} for (channel, ts), said in workspace.statuses.items()
            ],
            "sockets": len(self.slack.sockets.open),
            "http": self.slack.over_http,
            "calls": [
                {"method": call.method, "error": call.error}
                for call in self.slack.calls[-60:]
                if call.method != "auth.test"
            ],
        }

    def _sees(self, message: Message, who: str, channels: list[Any]) -> bool:
        mine = message.channel in {channel.id for channel in channels}
        return mine and not message.deleted and message.only in ("", who)

    def _message(self, message: Message) -> dict[str, Any]:
        files = [self.slack.workspace.files[item] for item in message.files if item in self.slack.workspace.files]
        return {
            "channel": message.channel,
            "ts": message.ts,
            "user": message.user,
            "text": message.text,
            "markdown": message.markdown,
            "blocks": message.blocks,
            "attachments": message.attachments,
            "thread": message.thread_ts,
            "only": bool(message.only),
            "broadcast": message.broadcast,
            "edited": message.edits,
            "streaming": message.streaming,
            "reactions": {name: len(who) for name, who in message.reactions.items()},
            "files": [{"id": f.id, "name": f.name, "title": f.title, "alt": f.alt, "length": f.length} for f in files],
        }

    async def do(self, request: Request) -> Response:
        """Somebody does something; whether the app acknowledged it."""
        if request.headers.get("origin", self.slack.url) != self.slack.url:
            return JSONResponse({"error": "a foreign page"}, status_code=403)
        asked = await request.json()
        try:
            delivery = await asyncio.to_thread(self._do, asked)
        except (ApiError, LookupError, KeyError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        if delivery is None:
            return JSONResponse({"sent": False})
        heard = await asyncio.to_thread(delivery.done.wait, PATIENCE)
        said = "" if heard and delivery.status == 200 else "Watchkeeper did not answer in time. Is it running?"
        return JSONResponse({"sent": True, "error": said, "seconds": delivery.seconds if heard else None})

    def _do(self, asked: dict[str, Any]) -> Any:
        slack, me, what = self.slack, asked["user"], asked["what"]
        if what == "say":
            if asked["text"].startswith("/"):
                name, _, rest = asked["text"].partition(" ")
                return slack.command(me, asked["channel"], name, rest)
            return slack.say(me, asked["channel"], asked["text"], thread=asked.get("thread", ""))
        if what == "click":
            holder: Any = slack.modal(me) if asked["in"] == "modal" else slack.home(me)
            if asked["in"] == "message":
                holder = {"channel": asked["channel"], "ts": asked["ts"]}
            return slack.click(me, holder, asked["action"], value=asked.get("value", ""))
        modal = slack.modal(me)
        if what == "submit" and modal is not None:
            return slack.submit(me, modal, asked["values"])
        if what == "close" and modal is not None:
            return slack.close_modal(me, modal)
        if what == "home":
            return slack.open_home(me)
        if what == "messages":
            return slack.open_home(me, tab="messages")
        if what == "channel":
            people = [person.id for person in slack.workspace.users.values() if not person.is_bot]
            slack.add_channel(asked["name"], *people)
        if what == "person":
            slack.add_user(asked["name"])
        if what == "disconnect":
            slack.disconnect()
        if what == "fault":
            slack.fail(asked.get("method", "*"), error=asked.get("error", ""), status=int(asked.get("status", 0)))
        return None
