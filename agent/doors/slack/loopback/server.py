"""A Slack on this machine: for tests, in a thread with a port of its own, and by hand with `watchkeeper dev slack`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from agent.doors.slack.loopback import payloads
from agent.doors.slack.loopback.delivery import Delivery, OverHttp, Sockets
from agent.doors.slack.loopback.surfaces import ApiError
from agent.doors.slack.loopback.web import Call, Fault, WebApi
from agent.doors.slack.loopback.workspace import BOT_USER, TEAM, Channel, Message, User, View, Workspace
from agent.doors.slack.scopes import NEEDED


class LoopbackSlack:
    """A pretended workspace behind the real protocols. Use as a context manager.

    For the app: `api_url` (SLACK_API_URL), `bot_token`, `app_token`, `signing_secret`.

    What people do; each returns a `Delivery` (`.wait()`, `.seconds`, `.status`, `.response`), or None where Slack would
    not tell the app (a message in a channel that does not mention it):
        add_user("ann") -> User        add_channel("#churn", "ann", "ben") -> Channel (the app is in it; app=False: not)
        say("ann", "#churn", "@watchkeeper why?", thread="") · click("ann", message, "approve") · open_home("ann")
        submit("ann", view, {"block": {"action": "typed"}}) · command("ann", "#churn", "/watch", "status")
        open_assistant("ann") · redeliver(delivery)
    A channel or a person is meant by id or name. "@ann" as channel is the app's direct conversation with ann.

    What is seen then: messages("#churn") (the top of a channel, with what only `seen_by` sees), thread("#churn", ts),
    modal("ann"), home("ann"), status("#churn", ts), calls (every call of the Web API with its error), called(method).

    What goes wrong: fail("chat.postMessage", error="not_in_channel" | status=500 | retry_after=2 | hang=5, times=1),
    `after=True`: done, and the answer is lost. `pace = 1.0` limits messages in a channel; disconnect(polite=False).
    `deliver_to("http://…/slack/events")` sends signed HTTP instead of Socket Mode; None goes back to sockets.
    """

    def __init__(self, *, port: int = 0, scopes: set[str] | None = None) -> None:
        self.workspace = Workspace()
        self.bot_token, self.app_token = "xoxb-loopback", "xapp-1-loopback"
        self.signing_secret = "loopback-signing-secret"  # noqa: S105 (of a workspace that does not exist)
        self.web = WebApi(
            self.workspace,
            bot_token=self.bot_token,
            app_token=self.app_token,
            scopes=set(NEEDED) if scopes is None else scopes,
        )
        self.sockets = Sockets()
        self.deliveries: list[Delivery] = []
        self._http: OverHttp | None = None
        self._port = port
        self._routes: list[BaseRoute] = []
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()

    # The server

    def __enter__(self) -> LoopbackSlack:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> LoopbackSlack:
        """Listen, in a thread; returns when it answers."""
        import uvicorn

        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self._port))
        listening.listen(256)
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self.web.base = self.url
        config = uvicorn.Config(
            self.app(), log_level="critical", access_log=False, ws="websockets-sansio", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listening]}, name="loopback-slack", daemon=True
        )
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the loopback Slack did not start")
        return self

    def stop(self) -> None:
        if self._http is not None:
            self._http.close()
        self.workspace.changed()  # whoever waits for news is answered
        self.disconnect(polite=False)
        self._server.should_exit = True
        assert self._thread is not None
        self._thread.join(5)

    def add_routes(self, routes: Sequence[BaseRoute]) -> None:
        """More to serve; before `start`."""
        self._routes = [*self._routes, *routes]

    def wait(self) -> None:
        """Until it is told to stop."""
        assert self._thread is not None
        self._thread.join()

    def app(self) -> Starlette:
        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            self.sockets.loop = asyncio.get_running_loop()
            self._ready.set()
            yield

        return Starlette(
            routes=[
                Route("/api/{method}", self.web.api, methods=["GET", "POST"]),
                Route("/upload/v1/{file}", self.web.upload, methods=["POST", "PUT"]),
                Route("/response/{token}", self.web.respond, methods=["POST"]),
                WebSocketRoute("/link/", self._link),
                *self._routes,
            ],
            lifespan=lifespan,
        )

    async def _link(self, websocket: WebSocket) -> None:
        ticket = websocket.query_params.get("ticket", "")
        if ticket not in self.web.tickets:
            await websocket.close(code=1008)
            return
        self.web.tickets.discard(ticket)
        await self.sockets.serve(websocket)

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/"

    # What goes wrong

    def fail(
        self,
        method: str,
        *,
        error: str = "",
        status: int = 0,
        retry_after: float = 0,
        hang: float = 0,
        times: int = 1,
        after: bool = False,
    ) -> None:
        """The next `times` calls of a method ("*": any) go wrong."""
        with self.workspace.lock:
            self.web.faults.append(Fault(method, times, error, status, retry_after, hang, after))

    def heal(self) -> None:
        with self.workspace.lock:
            self.web.faults.clear()

    def disconnect(self, *, polite: bool = True, reason: str = "refresh_requested") -> None:
        """End every socket: with the `disconnect` frame first, or without a word."""
        assert self.sockets.loop is not None
        asyncio.run_coroutine_threadsafe(self.sockets.disconnect(reason, polite=polite), self.sockets.loop).result(5)

    @property
    def pace(self) -> float:
        return self.web.pace

    @pace.setter
    def pace(self, seconds: float) -> None:
        self.web.pace = seconds

    def deliver_to(self, url: str | None, *, workers: int = 8) -> None:
        """Signed HTTP to this address, so many requests at once; None: Socket Mode."""
        self._http = OverHttp(url, self.signing_secret, workers=workers) if url else None

    @property
    def over_http(self) -> bool:
        return self._http is not None

    # What people do

    def add_user(self, name: str, **options: Any) -> User:
        with self.workspace.lock:
            return self.workspace.add_user(name, **options)

    def add_channel(self, name: str, *members: str, app: bool = True, private: bool = False) -> Channel:
        with self.workspace.lock:
            people = {self.workspace.user(member).id for member in members}
            return self.workspace.add_channel(name, members=people | ({BOT_USER} if app else set()), private=private)

    def say(self, who: str, where: str, text: str, *, thread: str = "") -> Delivery | None:
        """Somebody writes a message; `@watchkeeper` in it becomes a mention."""
        with self.workspace.lock:
            user, channel = self.workspace.user(who), self._where(where)
            text = text.replace("@watchkeeper", f"<@{BOT_USER}>")
            message = Message(channel.id, self.workspace.new_ts(), user.id, text=text, thread_ts=thread)
            self.workspace.messages.append(message)
            self.workspace.changed()
            mention = f"<@{BOT_USER}>" in text
            if not channel.is_im and (not mention or BOT_USER not in channel.members):
                return None
            payload = payloads.message_event(self.workspace, message, channel, mention=not channel.is_im)
        return self.send("event", payload)

    def click(
        self, who: str, holder: Message | View | dict[str, Any], action_id: str, *, value: str = "", **given: Any
    ) -> Delivery:
        """Somebody uses an element. holder: a message (or its JSON with `channel` and `ts`) or a view.

        value: which of several elements of that action, or the option that is chosen.
        """
        with self.workspace.lock:
            user = self.workspace.user(who)
            if isinstance(holder, dict):
                holder = self._message(holder["channel"], holder["ts"], user.id)
            block_id, element, chosen = self._element(holder, action_id, value)
            payload = payloads.action(self.workspace, user, element, block_id, {**chosen, **given}, holder)
            if isinstance(holder, Message):
                payload["response_url"] = self.web.response_url(user.id, holder.channel, holder)
        return self.send("interaction", payload)

    def submit(self, who: str, view: View, values: dict[str, dict[str, Any]]) -> Delivery:
        """Somebody sends a modal; a plain value is what was typed, a mapping is the state as Slack gives it."""
        with self.workspace.lock:
            kinds = {
                (block_id, element["action_id"]): element["type"]
                for block_id, element in payloads.elements_of(view.body["blocks"])
            }
            state: dict[str, Any] = {}
            for (block_id, action_id), kind in kinds.items():
                given = values.get(block_id, {}).get(action_id)
                plain = {"type": kind, "value": given}
                state.setdefault(block_id, {})[action_id] = given if isinstance(given, dict) else plain
            payload = payloads.submission(self.workspace, self.workspace.user(who), view, state)
        return self.send("interaction", payload, view=view)

    def close_modal(self, who: str, view: View) -> Delivery | None:
        with self.workspace.lock:
            view.open = False
            self.workspace.changed()
            payload = payloads.closed(self.workspace, self.workspace.user(who), view)
        return self.send("interaction", payload) if view.body.get("notify_on_close") else None

    def command(self, who: str, where: str, name: str, text: str = "") -> Delivery:
        with self.workspace.lock:
            user, channel = self.workspace.user(who), self._where(where)
            url = self.web.response_url(user.id, channel.id)
            payload = payloads.command(self.workspace, user, channel, name, text, url)
        return self.send("command", payload)

    def open_home(self, who: str, *, tab: str = "home") -> Delivery:
        """Somebody opens the app; tab "messages" is where they talk to it."""
        with self.workspace.lock:
            user = self.workspace.user(who)
            channel = self.workspace.direct(user.id)
            inner = {"type": "app_home_opened", "user": user.id, "channel": channel.id, "tab": tab}
            payload = payloads.event(self.workspace, {**inner, "event_ts": self.workspace.new_ts()})
        return self.send("event", payload)

    def open_assistant(self, who: str, *, about: str = "") -> Delivery:
        """Somebody opens the agent beside the channel `about`; the event names the thread that was made for it."""
        with self.workspace.lock:
            user = self.workspace.user(who)
            channel = self.workspace.direct(user.id)
            root = Message(channel.id, self.workspace.new_ts(), BOT_USER, text="New chat")
            self.workspace.add_message(root)
            context = {"channel_id": self._where(about).id, "team_id": TEAM} if about else {}
            thread = {"user_id": user.id, "context": context, "channel_id": channel.id, "thread_ts": root.ts}
            inner = {"type": "assistant_thread_started", "assistant_thread": thread, "event_ts": root.ts}
            payload = payloads.event(self.workspace, inner)
        return self.send("event", payload)

    def send(self, kind: str, payload: dict[str, Any], *, view: View | None = None) -> Delivery:
        """Hand anything to the app. kind: event, interaction or command."""
        delivery = Delivery(kind, json.loads(json.dumps(payload)))
        self.deliveries.append(delivery)
        if view is not None:
            delivery.acknowledge = self._closing(delivery, view)  # type: ignore[method-assign]
        self.redeliver(delivery)
        return delivery

    def redeliver(self, delivery: Delivery) -> Delivery:
        """Send it (again), as Slack does when nobody acknowledged."""
        delivery.done.clear()
        delivery.sent_at = time.monotonic()
        (self._http or self.sockets).send(delivery)
        return delivery

    def _closing(self, delivery: Delivery, view: View) -> Any:
        """What the answer to a submission does to the modal."""

        def acknowledge(status: int, response: dict[str, Any]) -> None:
            with self.workspace.lock:
                what = response.get("response_action", "")
                if status == 200 and what == "errors":
                    view.errors = response.get("errors", {})
                elif status == 200 and what == "update":
                    view.body = response["view"]
                elif status == 200:
                    view.open = False
                self.workspace.changed()
            Delivery.acknowledge(delivery, status, response)

        return acknowledge

    # What is seen

    @property
    def calls(self) -> list[Call]:
        return self.web.calls

    def called(self, method: str) -> list[Call]:
        """The calls of a method that were answered with ok."""
        return [call for call in self.web.calls if call.method == method and not call.error]

    def messages(self, where: str, *, seen_by: str = "") -> list[Message]:
        with self.workspace.lock:
            only = self.workspace.user(seen_by).id if seen_by else ""
            return self.workspace.in_channel(self._where(where).id, only=only)

    def thread(self, where: str, ts: str, *, seen_by: str = "") -> list[Message]:
        with self.workspace.lock:
            only = self.workspace.user(seen_by).id if seen_by else ""
            return self.workspace.in_channel(self._where(where).id, ts, only)

    def modal(self, who: str) -> View | None:
        """The modal that is open before somebody: the one on top."""
        with self.workspace.lock:
            user = self.workspace.user(who).id
            found = [view for view in self.workspace.views.values() if view.user == user and view.open]
            return found[-1] if found else None

    def home(self, who: str) -> View | None:
        with self.workspace.lock:
            return self.workspace.homes.get(self.workspace.user(who).id)

    def status(self, where: str, ts: str) -> str:
        with self.workspace.lock:
            return self.workspace.statuses.get((self._where(where).id, ts), "")

    def _where(self, key: str) -> Channel:
        if key.startswith("@"):
            return self.workspace.direct(self.workspace.user(key).id)
        return self.workspace.channel(key)

    def _message(self, channel: str, ts: str, user: str) -> Message:
        for message in self.workspace.messages:
            if (message.channel, message.ts) == (channel, ts) and message.only in ("", user) and not message.deleted:
                return message
        raise ApiError("message_not_found")

    def _element(
        self, holder: Message | View, action_id: str, value: str
    ) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """Block, element and what was chosen of it. Raises: LookupError when it cannot be seen."""
        blocks = holder.blocks if isinstance(holder, Message) else holder.body["blocks"]
        if isinstance(holder, Message):
            blocks = [*blocks, *(block for item in holder.attachments for block in item.get("blocks", []))]
        seen = payloads.elements_of(blocks)
        for block_id, element in seen:
            if element["action_id"] != action_id:
                continue
            options = [
                *element.get("options", []),
                *(option for group in element.get("option_groups", []) for option in group["options"]),
                *(element[key] for key in ("positive_button", "negative_button") if key in element),
            ]
            picked = next((option for option in options if option["value"] == value), None)
            if picked is not None and element["type"] == "feedback_buttons":
                return block_id, element, {"value": value, "text": picked["text"]}
            if picked is not None:
                return block_id, element, {"selected_option": picked}
            if not options and value in ("", element.get("value", "")):
                return block_id, element, {}
        names = ", ".join(f"{item['action_id']}={item.get('value', '')}" for _, item in seen) or "nothing"
        raise LookupError(f"{action_id} {value} is not there to be clicked, only {names}")
