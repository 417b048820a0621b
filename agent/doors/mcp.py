"""The MCP server: the catalogue for other people's assistants, over stdio or streamable HTTP.

Over HTTP every request carries one of our tokens, made for exactly this address. Reading needs the scope `read`;
a call of a `propose_` tool needs `propose` too. There is nothing here that decides or acts.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from importlib.metadata import version
from urllib.parse import urlsplit

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from mcp.server.auth.settings import AuthSettings
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.conversation.guard.fence import explained, fenced_text
from agent.doors.guard import is_loopback
from agent.pipeline import tokens
from agent.pipeline.services import Services
from agent.pipeline.tooling import tool_context
from tools.catalogue import CATALOGUE
from tools.context import Caller, ToolContext
from tools.mcp import CatalogueServer, Who
from tools.results import ToolResult

PATH = "/mcp"
MOST_BYTES = 256 * 1024


def stdio_server(services: Services, caller: Caller) -> CatalogueServer:
    """The server for a program that a person starts on this machine; it calls in their name."""

    async def who() -> ToolContext:
        return await asyncio.to_thread(tool_context, services, caller)

    return _server(who)


def http_app(services: Services, resource: str) -> ASGIApp:
    """The server at the address `resource` (`http://127.0.0.1:8002/mcp`), for whoever has a token for it.

    No session is kept, so that any replica answers any request, and a token that is revoked opens nothing more.
    """
    url = AnyHttpUrl(resource)

    async def who() -> ToolContext:
        token = get_access_token()
        assert token is not None, "no request comes this far without one"
        row = await asyncio.to_thread(tokens.find, services, token.token)
        caller = Caller("nobody", "token", frozenset()) if row is None else tokens.caller_of(row)
        return await asyncio.to_thread(tool_context, services, caller)

    auth = AuthSettings(
        issuer_url=AnyHttpUrl(f"{url.scheme}://{urlsplit(resource).netloc}"),
        resource_server_url=url,
        validate_token_resource=True,
        required_scopes=["read"],
    )
    server = _server(who, auth=auth, verifier=_Verifier(services))
    netloc, host = urlsplit(resource).netloc, urlsplit(resource).hostname or ""
    named = [f"{name}:*" for name in ("127.0.0.1", "localhost", "[::1]")] if is_loopback(host) else [netloc]
    app = server.streamable_http_app(
        streamable_http_path=urlsplit(resource).path or PATH,
        stateless_http=True,
        json_response=True,
        max_request_body_size=MOST_BYTES,
        transport_security=TransportSecuritySettings(
            allowed_hosts=named, allowed_origins=[f"{url.scheme}://{name}" for name in named]
        ),
    )
    app.router.routes[:0] = create_protected_resource_routes(
        resource_url=url, authorization_servers=[auth.issuer_url], scopes_supported=list(tokens.FOR_MCP)
    )
    return _MayPropose(app, services, resource)


def _server(who: Who, *, auth: AuthSettings | None = None, verifier: TokenVerifier | None = None) -> CatalogueServer:
    nonce = secrets.token_hex(8)

    def fence(name: str, result: ToolResult) -> str:
        return fenced_text(result.document(), nonce)

    return CatalogueServer(
        who,
        version=version("watchkeeper"),
        fence=fence,
        explained=explained(nonce),
        auth=auth,
        verifier=verifier,
    )


class _Verifier:
    """Looks a bearer token up. Unknown, expired and revoked are the same to who asks: no."""

    def __init__(self, services: Services) -> None:
        self.services = services

    async def verify_token(self, token: str) -> AccessToken | None:
        row = await asyncio.to_thread(tokens.find, self.services, token)
        if row is None:
            return None
        scopes = [str(scope) for scope in row.scopes]
        return AccessToken(token=token, client_id=row.id, scopes=scopes, resource=row.audience, subject=row.person)


class _MayPropose:
    """Answers 403 with the scope that is missing, as MCP asks, where a token that only reads calls a `propose_` tool.

    All else (no token, a wrong one, another address) is the library's to refuse.
    """

    def __init__(self, app: ASGIApp, services: Services, resource: str) -> None:
        self.app, self.services, self.resource = app, services, resource
        self.resource_metadata = str(build_resource_metadata_url(AnyHttpUrl(resource)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        body, replay = await _read(receive)
        kind, _, secret = Headers(scope=scope).get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and _proposes(body):
            row = await asyncio.to_thread(tokens.find, self.services, secret)
            ours = row is not None and row.audience.removesuffix("/") == self.resource.removesuffix("/")
            if row is not None and ours and "read" in row.scopes and "propose" not in row.scopes:
                await self._refused()(scope, replay, send)
                return
        await self.app(scope, replay, send)

    def _refused(self) -> ASGIApp:
        said = "This token may read, not propose; make one with `watchkeeper token create NAME --propose`."
        challenge = (
            f'Bearer error="insufficient_scope", error_description="{said}", scope="{" ".join(tokens.FOR_MCP)}", '
            f'resource_metadata="{self.resource_metadata}"'
        )
        content = {"error": "insufficient_scope", "error_description": said}
        return JSONResponse(content, 403, {"www-authenticate": challenge})


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """The body, up to what a request may have, and a `receive` that gives it again and then the rest."""
    seen: list[Message] = []
    body = b""
    while len(body) <= MOST_BYTES:
        message = await receive()
        seen.append(message)
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body", False):
            break

    async def replay() -> Message:
        return seen.pop(0) if seen else await receive()

    return body, replay


def _proposes(body: bytes) -> bool:
    """Whether a request calls a tool that proposes."""
    try:
        asked = json.loads(body) if len(body) <= MOST_BYTES else None
    except (ValueError, RecursionError):
        return False
    params = asked.get("params") if isinstance(asked, dict) and asked.get("method") == "tools/call" else None
    tool = CATALOGUE.get(str(params.get("name"))) if isinstance(params, dict) else None
    return tool is not None and tool.effect == "propose"
