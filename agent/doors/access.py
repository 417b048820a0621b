"""Who asks, and whether they may: every route declares its rule, and a route without one fails the build.

OPEN: while there is no person and no OpenID provider, and only this machine can reach the port, whoever is at this
machine is `local` and may do what the command line may. SIGN-IN: from then on a session's cookie, or an API token as
`Authorization: Bearer`. What policy says about deciding is asked beside this, in `pipeline.approve`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, urlsplit

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope as AsgiScope

from agent.domain.errors import NotAllowed, NotSignedIn
from agent.domain.roles import NEVER_AN_AGENTS, Role, Scope
from agent.doors.api.inputs import ServicesDep
from agent.doors.guard import SAFE, host_name, is_loopback
from agent.doors.limits import Limits
from agent.doors.principal import ANONYMOUS, LOCAL, Principal, acting, require_fresh, require_sight, within
from agent.doors.sight import require_path_in_sight
from agent.pipeline import people, sessions, tokens
from agent.pipeline.services import Services
from agent.store.tables import Model

__all__ = [
    "Principal",
    "PrincipalDep",
    "acting",
    "check_once",
    "csrf_of",
    "needs",
    "public",
    "require_fresh",
    "require_sight",
    "signed",
    "within",
]

COOKIE = "watchkeeper"
API = "/api/v1"
RoleName = Literal["viewer", "operator", "approver", "admin"]
ScopeName = Literal["read", "propose", "ingest", "decide", "admin"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a route asks for. how: `needs` a role and a scope; `public`; `signed`: the handler checks a signature."""

    how: Literal["needs", "public", "signed"]
    role: Role | None = None
    scope: Scope | None = None

    def __str__(self) -> str:
        return self.how if self.role is None else f"{self.role}, {self.scope}"


def is_open(request: Request) -> bool:
    """Whether nobody needs to sign in here yet. Once somebody does, it never opens again."""
    state, services = request.app.state, request.app.state.services
    if services.sign_in.required or services.sign_in.provider is not None or getattr(state, "closed", False):
        return False
    with services.store.read() as session:
        state.closed = people.anybody(session)
    return not state.closed


def principal_of(request: Request, services: ServicesDep) -> Principal:
    """Who asks. Raises: NotSignedIn for a token that opens nothing; no token and no session is `anonymous`."""
    known: Principal | None = getattr(request.state, "principal", None)
    if known is None:
        known = request.state.principal = _find(request, services)
    return known


def _find(request: Request, services: Services) -> Principal:
    given = request.headers.getlist("authorization")
    if given:
        kind, _, secret = given[0].partition(" ")
        if len(given) > 1 or kind.lower() != "bearer":
            raise NotSignedIn("Send one header `Authorization: Bearer TOKEN`, or sign in in a browser.")
        return _by_token(services, secret.strip())
    secret = request.cookies.get(cookie_name(request), "")
    if secret and not is_open(request):
        with services.store.read() as session:
            found = sessions.find(session, secret, services.wall())
        if found is not None:
            row, person = found
            sessions.note_seen(services, row)
            models = tuple(map(str, person.models)) or None
            fresh = sessions.is_fresh(row, services.wall())
            return Principal(
                person.name, "person", Role(person.role), models, fresh, None, row.id, person.id,
                _signature(services, "session", secret),
            )  # fmt: skip
    if not is_open(request):
        return ANONYMOUS
    if any(name in request.headers for name in FORWARDED) or not is_loopback(host_name(request.headers["host"])):
        raise NotSignedIn(
            "A proxy stands in front of this server, and nobody has to sign in here yet: make the first person with "
            "`watchkeeper user add NAME --role admin`."
        )
    return LOCAL


FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


def _by_token(services: Services, secret: str) -> Principal:
    row = tokens.find(services, secret)
    if row is None or not _is_for_us(services, row.audience):
        raise NotSignedIn("This token opens nothing here: it is unknown, expired, revoked, or made for another door.")
    with services.store.read() as session:
        owner = people.found(session, row.person)
        strict = services.sign_in.required or services.sign_in.provider is not None or people.anybody(session)
        if strict and (owner is None or not owner.active):
            raise NotSignedIn("The person whom this token belongs to may not come in.")
        models = _narrowed(session, row.models, owner.models if owner else [])
    return Principal(
        owner.name if owner else row.person,
        "agent" if row.agent else "token",
        Role(owner.role) if owner else Role.ADMIN,
        models,
        scopes=frozenset(map(str, row.scopes)),
        through=row.id,
        person_id=owner.id if owner else "",
    )


def _is_for_us(services: Services, audience: str) -> bool:
    ours = tokens.api_audience(services.public_url)
    return not ours or audience.removesuffix("/") == ours


def _narrowed(session: Session, first: list[Any], second: list[Any]) -> tuple[str, ...] | None:
    """Patterns that stand for what both lists cover; where both limit, the names themselves."""
    if not first or not second:
        return tuple(map(str, first or second)) or None
    both = (Principal("", "token", None, tuple(map(str, patterns))) for patterns in (first, second))
    one, other = both
    return tuple(name for name in session.scalars(select(Model.name)) if one.sees(name) and other.sees(name))


PrincipalDep = Annotated[Principal, Depends(principal_of)]


def needs(role: RoleName, scope: ScopeName = "read", *, fresh: bool = False) -> Any:
    """A route for people of at least this role, and for tokens that have this scope too.

    fresh: a person must have signed in lately; what a left-behind browser could give away for good.
    """

    async def check(request: Request, services: ServicesDep, principal: PrincipalDep) -> None:
        if getattr(request.state, "checked", False):
            return
        caller = principal.through or principal.name or f"address {address_of(request.scope)}"
        _limits(request).spend(caller, free=principal.kind == "local")
        if principal.kind == "anonymous":
            raise NotSignedIn("Sign in first, or send an API token as `Authorization: Bearer TOKEN`.")
        if not principal.may(role, scope):
            raise NotAllowed(_refusal(principal, role, scope))
        if principal.kind == "person" and request.method not in SAFE:
            await require_csrf(request, principal.csrf)
        if fresh and principal.kind == "person":
            require_fresh(principal)
        if principal.models is not None:
            await run_in_threadpool(require_path_in_sight, request, services, principal)

    return _declared(check, Rule("needs", Role(role), Scope(scope)))


async def check_once(route: Any, request: Request, services: Services, principal: Principal) -> None:
    """Ask the rule of a route now, before its handler would; the handler does not ask again."""
    for part in route.dependencies:
        if (rule := getattr(part.dependency, "rule", None)) is not None and rule.how == "needs":
            await part.dependency(request, services, principal)
            request.state.checked = True


def public() -> Any:
    """A route for everybody: health, static files, the pages by which one signs in."""

    async def check() -> None:
        return None

    return _declared(check, Rule("public"))


def signed() -> Any:
    """A route whose handler checks a signature itself: Slack, webhooks."""

    async def check() -> None:
        return None

    return _declared(check, Rule("signed"))


def _declared(check: Callable[..., Awaitable[None]], rule: Rule) -> Dependency:
    check.rule = rule  # type: ignore[attr-defined]
    return Dependency(check)


def rules_of(route: Any) -> list[Rule]:
    """What a route declares; it should be one rule."""
    found = (getattr(part.dependency, "rule", None) for part in getattr(route, "dependencies", ()))
    return [rule for rule in found if rule is not None]


def _refusal(principal: Principal, role: str, scope: str) -> str:
    if principal.kind == "agent" and scope in NEVER_AN_AGENTS:
        return "A token that a language model holds never decides; a person does, on the page or in Slack."
    if scope == Scope.ADMIN and principal.models is not None:
        return "Who sees some models only does not administer people, tokens and settings: an admin of all does."
    if principal.scopes is not None and scope not in principal.scopes:
        return f"This token lacks the scope {scope!r}; it has {', '.join(sorted(principal.scopes)) or 'none'}."
    return f"This takes the role {role} (or above), and {principal.name!r} is {principal.role}; an admin can change it."


def csrf_of(request: Request) -> str:
    """What a form of this browser must bring back; empty where nobody signs in."""
    principal: Principal | None = getattr(request.state, "principal", None)
    return principal.csrf if principal is not None else ""


async def require_csrf(request: Request, expected: str) -> None:
    """Raises: NotAllowed unless the header `x-csrf-token`, or the form's field `csrf`, is what the page was given."""
    given = request.headers.get("x-csrf-token", "")
    if not given and request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        try:
            fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=200)
        except ValueError:
            fields = {}
        given = fields.get("csrf", [""])[0]
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise NotAllowed("This form is not one of this sign-in; load the page again, then send it.")


def cookie_name(request: Request, name: str = COOKIE) -> str:
    """With TLS a name that no other host or port can set for us; such a cookie is for every path."""
    return f"__Host-{name}" if is_secure(request) else name


def is_secure(request: Request) -> bool:
    services: Services = request.app.state.services
    return request.url.scheme == "https" or urlsplit(services.public_url).scheme == "https"


def _signature(services: Services, what: str, secret: str) -> str:
    return hmac.new(services.secret, f"csrf:{what}:{secret}".encode(), hashlib.sha256).hexdigest()


def _limits(request: Request) -> Limits:
    limits: Limits = request.app.state.limits
    return limits


def address_of(scope: AsgiScope) -> str:
    """Where a request comes from, as the connection says; forwarded headers count only from a trusted proxy."""
    client = scope.get("client")
    return str(client[0]) if client else ""
