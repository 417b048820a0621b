"""What every request passes first: is it meant for this server, from one of our own pages, and of a sane size?

The name that was asked for is loopback or that of PUBLIC_URL (another that resolves to this machine is an attack by
DNS rebinding), and a browser writes only from our own pages. Who asks is for `access` to find out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.domain.addresses import is_loopback, split_bind
from agent.domain.errors import NotAllowed

MOST_BYTES = 16 * 1024 * 1024
SAFE = ("GET", "HEAD", "OPTIONS")
SIGNED = ("/slack/events",)
"""What programs elsewhere call by whatever name reaches us; a signature that their route checks stands for the rest."""
CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
WITH_TLS: Mapping[str, str] = {"strict-transport-security": "max-age=31536000"}
"""Once seen over TLS, a browser never comes back without."""

__all__ = [
    "CONTENT_POLICY",
    "SAFE",
    "Guard",
    "host_name",
    "is_loopback",
    "only_this_machine",
    "require_ours",
    "split_bind",
]

Refuse = Callable[[Scope, Exception], ASGIApp]


class Guard:
    """ASGI middleware: refuses what is not for us, bounds bodies, and adds the headers that keep pages ours."""

    def __init__(self, app: ASGIApp, refuse: Refuse, public_url: str = "") -> None:
        self.app = app
        self.refuse = refuse
        self.public_url = public_url
        self.headers = {**HEADERS, **(WITH_TLS if public_url.startswith("https://") else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        length = Headers(scope=scope).get("content-length", "0")
        try:
            if scope["path"] in SIGNED:
                await self.app(scope, _bounded(receive), send_with_headers)
                return
            require_ours(scope, self.public_url)
            if not length.isdigit() or int(length) > MOST_BYTES:
                raise HTTPException(413, _too_long())
        except (NotAllowed, HTTPException) as error:
            await self.refuse(scope, error)(scope, receive, send_with_headers)
        else:
            await self.app(scope, _bounded(receive), send_with_headers)


def require_ours(scope: Scope, public_url: str = "") -> None:
    """Raises: NotAllowed unless we are asked for by a name of ours, and writes come from our own pages."""
    headers = Headers(scope=scope)
    hosts = headers.getlist("host")
    host = hosts[0] if len(hosts) == 1 else ""
    public = urlsplit(public_url)
    by_public_name = bool(public.netloc) and host.lower() == public.netloc.lower()
    if not by_public_name and not is_loopback(host_name(host)):
        raise NotAllowed(
            f"This server does not answer to {host[:100]!r}; open {public_url or 'http://127.0.0.1 with its port'}."
        )
    if scope["method"] in SAFE:
        return
    origin = headers.get("origin")
    site = headers.get("sec-fetch-site", "same-origin")
    ours = {f"{scope['scheme']}://{host}"} | ({f"{public.scheme}://{host}"} if by_public_name else set())
    if (origin is not None and origin not in ours) or site not in ("same-origin", "none"):
        raise NotAllowed(
            f"A page of {(origin or 'another site')[:100]!r} may not write here; use the page of this server itself."
        )


def only_this_machine(scope: Scope) -> None:
    """The same, remembering what was decided for the few names and origins that there are: for a busy server."""
    wanted = {b"host": b"", b"origin": None, b"sec-fetch-site": None}
    found = wanted | {name: value for name, value in scope["headers"] if name in wanted}
    _decide(scope["method"], scope["scheme"], *found.values())


@lru_cache(maxsize=256)
def _decide(method: str, scheme: str, *values: bytes | None) -> None:
    names = (b"host", b"origin", b"sec-fetch-site")
    headers = [(name, value) for name, value in zip(names, values, strict=True) if value is not None]
    require_ours({"method": method, "scheme": scheme, "headers": headers})


def host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _too_long() -> str:
    return f"The body is longer than {MOST_BYTES // 1024**2} MB; send fewer rows at once, or use `watchkeeper ingest`."


def _bounded(receive: Receive) -> Callable[[], Awaitable[Message]]:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MOST_BYTES:
            raise HTTPException(413, _too_long())
        return message

    return counted
