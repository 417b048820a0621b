"""The pages by which a person comes in: signing in, the first set-up, and single sign-on."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from agent.domain.errors import Conflict, InvalidInput, NotAllowed, TooMany, WatchkeeperError
from agent.doors.access import Principal, address_of, cookie_name, is_open, is_secure, needs, principal_of, public
from agent.doors.access import PrincipalDep as Who
from agent.doors.api import problems
from agent.doors.api.inputs import ServicesDep, Word
from agent.doors.console import page
from agent.doors.limits import Limits
from agent.doors.redirects import safe_next
from agent.pipeline import passwords, people, provided, sessions, set_up
from agent.pipeline.services import Services
from agent.store.tables import Person
from tools.clean import clean_text

if TYPE_CHECKING:
    from agent.doors.oidc import Asking

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
FORM, LEAVING = "watchkeeper_form", "watchkeeper_leaving"
WRONG = "This name and password do not belong together."
MOST_FIELDS = 20
ADDRESS, ACCOUNT = (1 / 6, 10), (1 / 30, 15)
"""Attempts: so many a second and so many at once, from one address and at one account."""


class Attempts:
    """How often somebody may try to sign in, by where they come from and by whom they say they are."""

    def __init__(self) -> None:
        self.address, self.account = Limits(*ADDRESS), Limits(*ACCOUNT)

    def spend(self, address: str, name: str) -> None:
        """Raises: TooMany, before any work is done."""
        self.address.spend(address)
        if name:
            self.account.spend(hashlib.sha256(name.strip().casefold().encode("utf-8", "replace")).hexdigest())


async def read_secret_form(request: Request) -> dict[str, str]:
    """The fields as they were typed, bounded: a password is not cleaned. Checks that the form is one of ours."""
    body = await request.body()
    if len(body) > 20_000:
        raise InvalidInput("This form is longer than a form here can be.")
    try:
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise InvalidInput(f"A form has at most {MOST_FIELDS} fields here.") from None
    given, expected = fields.get("csrf", ""), _form_token(request)
    if not expected or not hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode()):
        raise NotAllowed("This form is not one that this browser was given, or cookies are off; load the page again.")
    return fields


SecretForm = Annotated[dict[str, str], Depends(read_secret_form)]


@router.get("/sign-in", dependencies=[public()])
def show_sign_in(
    request: Request, services: ServicesDep, next: Word = "/", again: bool = False, failed: Word = ""
) -> Response:
    known = _who(request, services)
    if is_open(request) or (known.kind == "person" and not again):
        return RedirectResponse(safe_next(next), 303)
    return _sign_in_page(request, services, known, next=next, again=again)


@router.post("/sign-in", dependencies=[public()])
def sign_in(request: Request, services: ServicesDep, form: SecretForm) -> Response:
    known = _who(request, services)
    name, next = form.get("name", ""), safe_next(form.get("next", "/"))
    again = known.kind == "person" and bool(form.get("again"))
    try:
        _attempts(request).spend(address_of(request.scope), name)
        person = passwords.who(services, name, form.get("password", ""))
        if person is None or (again and person.id != known.person_id):
            raise NotAllowed(WRONG)
    except (NotAllowed, TooMany) as error:
        return _sign_in_page(request, services, known, next=next, again=again, name=name, error=error)
    return _come_in(request, services, person, how="password", next=next)


@router.post("/sign-out", dependencies=[needs("viewer")])
def sign_out(request: Request, services: ServicesDep, principal: Who) -> Response:
    if principal.kind == "person":
        with services.store.write() as session:
            sessions.end(session, services, session.get_one(Person, principal.person_id), principal.through)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(cookie_name(request), secure=is_secure(request), httponly=True, samesite="lax")
    answer.headers["clear-site-data"] = '"cache"'
    return answer


@router.get("/set-up", dependencies=[public()])
def show_set_up(
    request: Request,
    services: ServicesDep,
    code: Word = "",
    purpose: Annotated[Word, Query(alias="for")] = "setup",
) -> Response:
    _attempts(request).spend(address_of(request.scope), "")
    person = set_up.look(services, _purpose(purpose), code)
    return _set_up_page(request, services, person, code=code, purpose=purpose)


@router.post("/set-up", dependencies=[public()])
def do_set_up(request: Request, services: ServicesDep, form: SecretForm) -> Response:
    code, purpose = form.get("code", ""), form.get("for", "setup")
    name, password = clean_text(form.get("name", "")), form.get("password", "")
    _attempts(request).spend(address_of(request.scope), "")
    known = set_up.look(services, _purpose(purpose), code)
    try:
        if not hmac.compare_digest(
            password.encode("utf-8", "replace"), form.get("again", "").encode("utf-8", "replace")
        ):
            raise InvalidInput("password: the two do not match; type it twice the same.")
        person = set_up.redeem(services, _purpose(purpose), code, name=name, password=password)
    except (InvalidInput, Conflict) as error:
        return _set_up_page(request, services, known, code=code, purpose=purpose, name=name, error=error)
    return _come_in(request, services, person, how="set-up link", next="/profile")


@router.get("/sign-in/oidc", dependencies=[public()])
def leave_for_provider(request: Request, services: ServicesDep, next: Word = "/", again: bool = False) -> Response:
    _attempts(request).spend(address_of(request.scope), "")
    url, cookie = asking_of(request, services).leave(safe_next(next), again=again)
    return left(request, url, cookie)


@router.get("/sign-in/oidc/callback", dependencies=[public()])
def come_back(request: Request, services: ServicesDep) -> Response:
    """Whoever the provider has sent: in, or told why not. A code in the address is used up by then."""
    _attempts(request).spend(address_of(request.scope), "")
    asking, known = asking_of(request, services), _who(request, services)
    try:
        claims, leaving = asking.come_back(
            request.cookies.get(cookie_name(request, LEAVING), ""), dict(request.query_params)
        )
        person = _person_from(services, asking, claims, leaving.bind, known)
        if leaving.again and person.id != known.person_id:
            raise NotAllowed("You have signed in there as somebody else; sign out first.")
    except WatchkeeperError as error:
        answer = _sign_in_page(request, services, known, next="/", again=False, error=error)
    else:
        signed = claims.get("auth_time")
        at = datetime.fromtimestamp(signed, UTC) if isinstance(signed, int) else services.wall() - sessions.FRESH
        answer = _come_in(request, services, person, how="single sign-on", next=leaving.next, at=at)
    name = cookie_name(request, LEAVING)
    answer.delete_cookie(name, path="/", secure=is_secure(request), httponly=True, samesite="lax")
    return answer


def left(request: Request, url: str, cookie: str) -> Response:
    """Send a browser to the provider, with what it must bring back."""
    answer = RedirectResponse(url, 303)
    answer.set_cookie(
        cookie_name(request, LEAVING),
        cookie,
        max_age=600,
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="lax",
    )
    return answer


def asking_of(request: Request, services: Services) -> Asking:
    """The provider of this app. Raises: NotAllowed where there is none."""
    from agent.doors.oidc import Asking

    if services.sign_in.provider is None:
        raise NotAllowed("There is no single sign-on here; sign in with name and password.")
    state = request.app.state
    if getattr(state, "asking", None) is None:
        base = services.public_url.rstrip("/")
        state.asking = Asking(services.sign_in.provider, f"{base}/sign-in/oidc/callback", services.secret)
    return cast("Asking", state.asking)


def _person_from(services: Services, asking: Asking, claims: Any, bind: str, known: Principal) -> Person:
    with services.store.write() as session:
        if not bind:
            return provided.person_from(session, services, asking.provider, claims)
        if known.kind != "person" or known.person_id != bind:
            raise NotAllowed("You have signed out meanwhile; sign in, and connect it again.")
        person = session.get_one(Person, bind)
        label = str(claims.get(asking.provider.name_claim) or claims["sub"])
        people.bind(session, services, person, "oidc", provided.key_of(claims), label)
        return person


def _come_in(
    request: Request, services: Services, person: Person, *, how: str, next: str, at: datetime | None = None
) -> Response:
    """A new session with a new secret, whatever cookie the browser came with."""
    before = request.cookies.get(cookie_name(request), "")
    with services.store.write() as session:
        opened = sessions.open_session(
            session,
            services,
            session.get_one(Person, person.id),
            how=how,
            address=address_of(request.scope),
            browser=request.headers.get("user-agent", ""),
            instead_of=before,
        )
        if at is not None:
            opened.row.signed_in_at = min(at, opened.row.signed_in_at)
    answer = RedirectResponse(safe_next(next), 303)
    answer.set_cookie(
        cookie_name(request),
        opened.secret,
        max_age=int(sessions.LIFE / timedelta(seconds=1)),
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="lax",
    )
    answer.delete_cookie(
        cookie_name(request, FORM), path="/", secure=is_secure(request), httponly=True, samesite="strict"
    )
    return answer


def _sign_in_page(
    request: Request,
    services: Services,
    known: Principal,
    *,
    next: str,
    again: bool,
    name: str = "",
    error: WatchkeeperError | None = None,
) -> Response:
    provider = services.sign_in.provider
    next = safe_next(next)
    there = f"/sign-in/oidc?{urlencode({'next': next, **({'again': 'true'} if again else {})})}" if provider else ""
    return _form_page(
        request,
        "signin/sign_in.html",
        error,
        next=next,
        again=again and known.kind == "person",
        name=known.name if known.kind == "person" else clean_text(name)[:100],
        provider=provider,
        there=there,
    )


def _set_up_page(
    request: Request,
    services: Services,
    person: Person | None,
    *,
    code: str,
    purpose: str,
    name: str = "",
    error: WatchkeeperError | None = None,
) -> Response:
    return _form_page(
        request,
        "signin/set_up.html",
        error,
        code=code,
        purpose=purpose,
        person=person,
        name=name,
        names=sorted(services.policy().people),
        shortest=passwords.SHORTEST,
    )


def _form_page(request: Request, template: str, error: WatchkeeperError | None, **context: Any) -> Response:
    """A form for somebody who is not in yet: its token is bound to a cookie of its own."""
    secret = request.cookies.get(cookie_name(request, FORM)) or secrets.token_urlsafe(24)
    request.state.form = secret
    status = problems.status_of(error) if error else 200
    answer = page.fragment(
        request, template, status=status, error=str(error or ""), form_csrf=_form_token(request), **context
    )
    if isinstance(error, TooMany):
        answer.headers["retry-after"] = str(error.wait)
    answer.set_cookie(
        cookie_name(request, FORM),
        secret,
        max_age=3600 * 12,
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="strict",
    )
    return answer


def _form_token(request: Request) -> str:
    services: Services = request.app.state.services
    secret = getattr(request.state, "form", None) or request.cookies.get(cookie_name(request, FORM), "")
    return hmac.new(services.secret, f"csrf:form:{secret}".encode(), hashlib.sha256).hexdigest() if secret else ""


def _who(request: Request, services: Services) -> Principal:
    """Who is here already; somebody with a token that opens nothing is nobody."""
    return principal_of(request, services)


def _attempts(request: Request) -> Attempts:
    attempts: Attempts = request.app.state.attempts
    return attempts


def _purpose(text: str) -> Any:
    if text not in ("setup", "password"):
        raise NotAllowed("This link is not whole; copy all of it.")
    return text
