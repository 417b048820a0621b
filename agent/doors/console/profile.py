"""`/profile`: who is signed in sees where, ends what is not theirs any more, and says who they are elsewhere."""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from agent.domain.errors import InvalidInput, NotAllowed
from agent.doors.access import Principal, PrincipalDep, address_of, needs, require_fresh
from agent.doors.api.inputs import RecordId, ServicesDep
from agent.doors.console import page
from agent.doors.console.signin import asking_of, left
from agent.pipeline import passwords, people, sessions
from agent.pipeline.services import Services
from agent.store.tables import Person

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
MEANING = {
    "viewer": "You look at everything and change nothing.",
    "operator": "You look at everything, acknowledge, silence, ask and propose.",
    "approver": "You do what an operator does, and decide where approvals.yaml says so.",
    "admin": "You do everything here, people and tokens too; you decide where approvals.yaml says so.",
}


@router.get("/profile", dependencies=[needs("viewer")])
def show_profile(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    return _page(request, services, principal)


@router.post("/profile/sessions/{session_id}/end", dependencies=[needs("viewer")])
def end_session(services: ServicesDep, principal: PrincipalDep, session_id: RecordId) -> Response:
    _require_person(principal)
    with services.store.write() as session:
        sessions.end(session, services, session.get_one(Person, principal.person_id), session_id)
    return RedirectResponse("/profile#sessions", 303)


@router.post("/profile/sign-out-everywhere", dependencies=[needs("viewer")])
def end_every_session(services: ServicesDep, principal: PrincipalDep) -> Response:
    _require_person(principal)
    with services.store.write() as session:
        sessions.end_all(session, services, session.get_one(Person, principal.person_id), by=principal.name)
    return RedirectResponse("/sign-in", 303)


@router.post("/profile/link-code", dependencies=[needs("viewer")])
def make_code(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    """The code stands on this answer alone: it is in no address and no log."""
    _require_person(principal)
    with services.store.write() as session:
        code = people.make_link_code(session, services, session.get_one(Person, principal.person_id))
    return _page(request, services, principal, code=code)


@router.post("/profile/connect", dependencies=[needs("viewer")])
def connect(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    _require_person(principal)
    require_fresh(principal)
    url, cookie = asking_of(request, services).leave("/profile", bind=principal.person_id)
    answer = left(request, url, cookie)
    # A form may not lead to another site (form-action of our policy): a header of its own sends the browser on.
    answer.status_code, answer.headers["refresh"] = 200, f"0; url={url}"
    del answer.headers["location"]
    return answer


@router.post("/profile/identities/{identity_id}/remove", dependencies=[needs("viewer")])
def remove_identity(services: ServicesDep, principal: PrincipalDep, identity_id: RecordId) -> Response:
    _require_person(principal)
    with services.store.write() as session:
        person = session.get_one(Person, principal.person_id)
        people.unbind(session, services, person, identity_id, by=person.name)
    return RedirectResponse("/profile#identities", 303)


@router.post("/profile/password", dependencies=[needs("viewer")])
async def change_password(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    _require_person(principal)
    fields = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), max_num_fields=20))
    return await run_in_threadpool(_change_password, request, services, principal, fields)


def _change_password(request: Request, services: Services, principal: Principal, fields: dict[str, str]) -> Response:
    with services.store.read() as session:
        known = session.get_one(Person, principal.person_id)
    try:
        if known.password:
            request.app.state.attempts.spend(address_of(request.scope), principal.name)
            if passwords.who(services, known.name, fields.get("now", "")) is None:
                raise NotAllowed("The present password is another one.")
        else:
            require_fresh(principal)
        passwords.set_password(services, principal.person_id, fields.get("new", ""), by=principal.name)
    except (InvalidInput, NotAllowed) as error:
        return _page(request, services, principal, error=str(error), status=422)
    return RedirectResponse("/sign-in?next=/profile", 303)


def _page(
    request: Request, services: Services, principal: Principal, *, code: str = "", error: str = "", status: int = 200
) -> Response:
    _require_person(principal)
    provider, policy = services.sign_in.provider, services.policy()
    with services.store.read() as session:
        person = session.get_one(Person, principal.person_id)
        known = people.identities(session, person)
        return page.render(
            request,
            "signin/profile.html",
            session=session,
            status=status,
            person=person,
            meaning=MEANING[person.role],
            models=list(principal.models or ()),
            decides=list(policy.people[person.name].roles) if person.name in policy.people else [],
            sessions=(live := sessions.live(session, person, services.wall())),
            browsers={one.id: browser_name(one.browser) for one in live},
            this_one=principal.through,
            identities=known,
            provider_name=provider.name if provider else "single sign-on",
            connectable=provider is not None and not any(one.kind == "oidc" for one in known),
            code=code,
            error=error,
            shortest=passwords.SHORTEST,
        )


BROWSERS = (
    ("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("CriOS/", "Chrome"),
    ("Safari/", "Safari"), ("curl/", "curl"), ("python", "Python"),
)  # fmt: skip
SYSTEMS = (
    ("iPhone", "an iPhone"), ("iPad", "an iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS", "a Mac"),
    ("Linux", "Linux"),
)  # fmt: skip


def browser_name(said: str) -> str:
    """What a browser says of itself, as a person would: nobody recognises theirs in the whole of it.

    >>> browser_name("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36")
    'Chrome on Linux'
    >>> browser_name("somebody/1.0 with a very long name indeed, which is cut"), browser_name("")
    ('somebody/1.0 with a very long name indee…', 'unknown')
    """
    browser = next((name for mark, name in BROWSERS if mark in said), "")
    system = next((name for mark, name in SYSTEMS if mark in said), "")
    if browser:
        return f"{browser} on {system}" if system else browser
    return (said if len(said) <= 40 else f"{said[:40]}…") or "unknown"


def _require_person(principal: Principal) -> None:
    """Raises: NotAllowed for a token, and where nobody signs in."""
    if principal.kind != "person":
        raise NotAllowed("This page is of somebody who has signed in in a browser.")
