"""What every request passes first: is it meant for this machine, from one of our own pages, and of a sane size?

There is no sign-in yet, so whoever reaches the port may decide. Until there is one, the port is for this machine only:
the address is loopback, the name that was asked for is loopback (a foreign name that resolves to this machine is an
attack by DNS rebinding), and a browser writes only from our own pages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.domain.errors import InvalidInput, NotAllowed

MOST_BYTES = 16 * 1024 * 1024
SAFE = ("GET", "HEAD", "OPTIONS")
CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

Refuse = Callable[[Scope, Exception], ASGIApp]


def split_bind(bind: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:8000` or `[::1]:8000`. Raises: InvalidInput."""
    host, colon, port = bind.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InvalidInput(f"bind: {bind!r} is not an address; write it like 127.0.0.1:8000.")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether a host, by name or number, can only be this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def require_loopback(bind: str) -> tuple[str, int]:
    """Host and port of an address that only this machine can reach. Raises: InvalidInput for any other."""
    host, port = split_bind(bind)
    if not is_loopback(host):
        raise InvalidInput(
            f"bind: {bind!r} could be reached from other machines, and there is no sign-in yet: anybody could approve. "
            f"Use 127.0.0.1:{port}, and a tunnel (`ssh -L {port}:127.0.0.1:{port} HOST`) from elsewhere."
        )
    return host, port


class Guard:
    """ASGI middleware: refuses what is not for us, bounds bodies, and adds the headers that keep pages ours."""

    def __init__(self, app: ASGIApp, refuse: Refuse) -> None:
        self.app = app
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        length = Headers(scope=scope).get("content-length", "0")
        try:
            require_ours(scope)
            if not length.isdigit() or int(length) > MOST_BYTES:
                raise HTTPException(413, _too_long())
        except (NotAllowed, HTTPException) as error:
            await self.refuse(scope, error)(scope, receive, send_with_headers)
        else:
            await self.app(scope, _bounded(receive), send_with_headers)


def require_ours(scope: Scope) -> None:
    """Raises: NotAllowed unless this machine is asked for by a loopback name, and writes come from our own pages."""
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if not is_loopback(_hostname(host)):
        raise NotAllowed(
            f"This server answers to loopback names only, not to {host[:100]!r}; open http://127.0.0.1 with its port."
        )
    if scope["method"] in SAFE:
        return
    origin = headers.get("origin")
    site = headers.get("sec-fetch-site", "same-origin")
    if (origin is not None and origin != f"{scope['scheme']}://{host}") or site not in ("same-origin", "none"):
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


def _hostname(host: str) -> str:
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
