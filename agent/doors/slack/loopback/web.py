"""The Web API over HTTP: tokens, scopes, faults on demand, files, response URLs; and the socket's address."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from agent.doors.slack.loopback import chat, others  # noqa: F401 (they put their methods in the table)
from agent.doors.slack.loopback.methods import METHODS, Arguments, arguments_of
from agent.doors.slack.loopback.surfaces import ApiError, check_message
from agent.doors.slack.loopback.workspace import BOT_USER, Message, Workspace
from agent.doors.slack.scopes import APP_LEVEL
from agent.doors.slack.scopes import METHODS as SCOPES

PACED = ("chat.postMessage",)


@dataclass
class Fault:
    """What goes wrong with the next calls of a method ("*": any)."""

    method: str
    times: int = 1
    error: str = ""
    status: int = 0
    retry_after: float = 0
    hang: float = 0
    after: bool = False


@dataclass
class Call:
    """One call of the Web API as it was answered; `error` is "" for ok."""

    method: str
    arguments: Arguments
    error: str
    at: float = field(default_factory=time.monotonic)


@dataclass
class Response_:
    """Where a response URL leads: whom, in which channel, about which message."""

    user: str
    channel: str
    message: Message | None
    uses: int = 5
    until: float = field(default_factory=lambda: time.monotonic() + 1800)


class WebApi:
    """Answers calls. `pace`: seconds between two messages in a channel, 0 for any speed (Slack: about 1)."""

    def __init__(self, workspace: Workspace, *, bot_token: str, app_token: str, scopes: set[str]) -> None:
        self.workspace, self.scopes = workspace, scopes
        self.bot_token, self.app_token = bot_token, app_token
        self.base = ""
        self.calls: list[Call] = []
        self.faults: deque[Fault] = deque()
        self.pace = 0.0
        self.tickets: set[str] = set()
        self.responses: dict[str, Response_] = {}
        self.hanging = 0
        self._last: dict[str, float] = {}

    async def api(self, request: Request) -> Response:
        name = request.path_params["method"]
        token, arguments = await _read(request)
        fault = self._fault(name)
        if fault is not None and fault.hang and not fault.after:
            await self._hang(fault.hang)
        if fault is not None and not fault.after and (answer := self._broken(name, arguments, fault)) is not None:
            return answer
        answer = self._answer(name, token, arguments)
        if fault is not None and fault.hang and fault.after:
            await self._hang(fault.hang)
        if fault is not None and fault.after and (broken := self._broken(name, arguments, fault)) is not None:
            return broken  # done, and nobody hears of it
        return answer

    async def _hang(self, seconds: float) -> None:
        self.hanging += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self.hanging -= 1

    def _fault(self, name: str) -> Fault | None:
        with self.workspace.lock:
            for fault in self.faults:
                if fault.method in (name, "*") and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def _broken(self, name: str, arguments: Arguments, fault: Fault) -> Response | None:
        if fault.error == "ratelimited" or fault.retry_after:
            return self._limited(name, arguments, fault.retry_after or 1)
        if fault.status:
            self.calls.append(Call(name, arguments, f"http {fault.status}"))
            return PlainTextResponse("upstream trouble", status_code=fault.status)
        if fault.error:
            self.calls.append(Call(name, arguments, fault.error))
            return JSONResponse({"ok": False, "error": fault.error})
        return None

    def _limited(self, name: str, arguments: Arguments, seconds: float) -> Response:
        self.calls.append(Call(name, arguments, "ratelimited"))
        headers = {"retry-after": str(max(1, round(seconds)))}
        return JSONResponse({"ok": False, "error": "ratelimited"}, status_code=429, headers=headers)

    def _answer(self, name: str, token: str, given: dict[str, Any]) -> Response:
        headers = {"x-oauth-scopes": ",".join(sorted(self.scopes))}
        try:
            with self.workspace.lock:
                known = METHODS.get(name)
                self._authorize(name, token, known is not None)
                if name == "apps.connections.open":
                    return self._done(name, given, {"url": self._ticket()}, {"x-oauth-scopes": APP_LEVEL})
                assert known is not None
                arguments = arguments_of(known, given)
                if (wait := self._too_soon(name, arguments)) > 0:
                    return self._limited(name, arguments, wait)
                result = known.call(self.workspace, arguments)
        except ApiError as error:
            self.calls.append(Call(name, given, error.error))
            details = {"response_metadata": {"messages": error.messages}} if error.messages else {}
            body = {"ok": False, "error": error.error, **error.more, **details}
            return JSONResponse(body, headers=headers)
        if "upload_url" in result:
            result = {**result, "upload_url": result["upload_url"].format(base=self.base)}
        return self._done(name, arguments, result, headers)

    def _done(self, name: str, arguments: Arguments, result: dict[str, Any], headers: dict[str, str]) -> Response:
        self.calls.append(Call(name, arguments, ""))
        return JSONResponse({"ok": True, **result}, headers=headers)

    def _authorize(self, name: str, token: str, known: bool) -> None:
        """Raises: ApiError."""
        if not token:
            raise ApiError("not_authed")
        if token not in (self.bot_token, self.app_token):
            raise ApiError("invalid_auth")
        needs_app = SCOPES.get(name) == APP_LEVEL
        if not known and not needs_app:
            raise ApiError("unknown_method", req_method=name)
        if (token == self.app_token) is not needs_app:
            raise ApiError("not_allowed_token_type")
        scope = SCOPES.get(name, "")
        if scope and not needs_app and scope not in self.scopes:
            raise ApiError("missing_scope", needed=scope, provided=",".join(sorted(self.scopes)))

    def _too_soon(self, name: str, arguments: Arguments) -> float:
        """Seconds to wait until the channel takes another message."""
        if name not in PACED or not self.pace:
            return 0.0
        channel, now = str(arguments.get("channel")), time.monotonic()
        left = self._last.get(channel, 0.0) + self.pace - now
        if left <= 0:
            self._last[channel] = now
        return left

    def _ticket(self) -> str:
        ticket = secrets.token_hex(16)
        self.tickets.add(ticket)
        return f"{self.base.replace('http', 'ws', 1)}/link/?ticket={ticket}&app_id=A0WATCH"

    async def upload(self, request: Request) -> Response:
        content = await request.body()
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            form = await request.form()
            part = next((value for value in form.values() if not isinstance(value, str)), None)
            content = await part.read() if part is not None else b""
        with self.workspace.lock:
            file = self.workspace.files.get(request.path_params["file"])
            if file is None or len(content) != file.length:
                return PlainTextResponse("the length is not the one that was announced", status_code=400)
            file.content = content
        return PlainTextResponse(f"OK - {len(content)}")

    def response_url(self, user: str, channel: str, message: Message | None = None) -> str:
        """A new address for answers to one interaction."""
        token = secrets.token_hex(12)
        self.responses[token] = Response_(user, channel, message)
        return f"{self.base}/response/{token}"

    async def respond(self, request: Request) -> Response:
        """A response URL: five answers within half an hour."""
        known = self.responses.get(request.path_params["token"])
        if known is None or known.uses <= 0 or time.monotonic() > known.until:
            return PlainTextResponse("expired_url", status_code=404)
        known.uses -= 1
        given = json.loads(await request.body())
        try:
            with self.workspace.lock:
                self._respond(known, given)
        except ApiError as error:
            self.calls.append(Call("response_url", given, error.error))
            return JSONResponse({"ok": False, "error": error.error}, status_code=400)
        self.calls.append(Call("response_url", given, ""))
        return PlainTextResponse("ok")

    def _respond(self, known: Response_, given: dict[str, Any]) -> None:
        if given.get("delete_original") and known.message is not None:
            known.message.deleted = True
            return self.workspace.changed()
        check_message({**given, "unfurl_links": False})
        if given.get("replace_original") and known.message is not None:
            known.message.text, known.message.blocks = given.get("text", ""), given.get("blocks", [])
            return self.workspace.changed()
        only = "" if given.get("response_type") == "in_channel" else known.user
        thread = known.message.thread_ts if known.message else given.get("thread_ts", "")
        message = Message(known.channel, self.workspace.new_ts(), BOT_USER, text=given.get("text", ""), only=only)
        message.blocks, message.thread_ts = given.get("blocks", []), thread
        self.workspace.add_message(message)
        return None


async def _read(request: Request) -> tuple[str, dict[str, Any]]:
    """The token and the arguments, from the header and a JSON or form body."""
    body = await request.body()
    if request.headers.get("content-type", "").startswith("application/json"):
        given = json.loads(body or b"{}")
        arguments = given if isinstance(given, dict) else {}
    else:
        arguments = {**request.query_params, **(await request.form())}
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer":
        token = str(arguments.get("token", ""))
    return token, {key: value for key, value in arguments.items() if key != "token"}
