"""Where a page may send a browser on to: a path of this server, whatever the address says."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from agent.domain.errors import NotSignedIn, SignInAgain
from agent.doors.guard import SAFE


def safe_next(wanted: str, otherwise: str = "/") -> str:
    r"""A path of ours with its query; anything that a browser could read as another address is not followed.

    >>> safe_next("/incidents/i-1?tab=why"), safe_next("//evil.example"), safe_next("/\\evil.example")
    ('/incidents/i-1?tab=why', '/', '/')
    >>> safe_next("https://evil.example/"), safe_next("javascript:alert(1)"), safe_next("/\t/evil.example")
    ('/', '/', '/')
    """
    if len(wanted) > 1000 or not wanted.startswith("/") or wanted.startswith("//") or "\\" in wanted:
        return otherwise
    if any(not " " < char < "\x7f" for char in wanted):
        return otherwise
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return otherwise
    return otherwise if parts.scheme or parts.netloc or parts.path.startswith(("/sign-in", "/sign-out")) else wanted


def to_sign_in(request: Request, error: Exception) -> Response | None:
    """A browser whom nobody knows, or not freshly, is sent to sign in and comes back to where it was."""
    if not isinstance(error, (NotSignedIn, SignInAgain)) or request.headers.get("authorization"):
        return None
    if request.url.path == "/live":  # a stream has no page of its own; whoever reads it is told plainly
        return None
    query = {"next": _place(request)} | ({"again": "true"} if isinstance(error, SignInAgain) else {})
    there = f"/sign-in?{urlencode(query)}"
    if request.headers.get("hx-request"):
        return Response(status_code=401, headers={"hx-redirect": there})
    return RedirectResponse(there, 303)


def _place(request: Request) -> str:
    """The page that was asked for; of a form or a fragment, the page that it stands on."""
    if request.method in SAFE and not request.headers.get("hx-request"):
        return safe_next(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
    before = urlsplit(request.headers.get("hx-current-url") or request.headers.get("referer", ""))
    if before.netloc and before.netloc != request.headers.get("host"):
        return "/"
    return safe_next(before.path + (f"?{before.query}" if before.query else "") or "/")
