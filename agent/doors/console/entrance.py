"""The forms of Settings about who and what may come in: people with their roles and links, tokens of one's own.

What is wrong in a form is said beside it, with what was typed still there. A link and a token are shown once, on the
answer to the form that made them: they stand in no address and no log.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from agent.domain.errors import Conflict, InvalidInput, NotAllowed, NotFound
from agent.doors.access import PrincipalDep, needs
from agent.doors.api.inputs import RecordId, ServicesDep
from agent.doors.console.forms import Form, person_of
from agent.doors.console.settings import settings_page
from agent.doors.own_token import make_own
from agent.pipeline import people, set_up, tokens
from agent.store.tables import ApiToken

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


def patterns(text: str) -> list[str]:
    """Names of models as people write them: with commas, spaces or both."""
    return text.replace(",", " ").split()


@router.post("/settings/people", dependencies=[needs("admin", "admin", fresh=True)])
def add_person(request: Request, services: ServicesDep, principal: PrincipalDep, form: Form) -> Response:
    try:
        by = person_of(principal, form)
        with services.store.write() as session:
            row = people.add(
                session, services, form.get("name", ""), role=form.get("role", ""),
                models=patterns(form.get("models", "")), by=by,
            )  # fmt: skip
            link = set_up.password_link(session, services, row)
    except (InvalidInput, Conflict) as wrong:
        return settings_page(request, services, principal, status=422, wrong=("person", str(wrong)), given=form)
    return settings_page(request, services, principal, made=("link", row.name, link))


@router.post("/settings/people/{id}/change", dependencies=[needs("admin", "admin", fresh=True)])
def change_person(
    request: Request, services: ServicesDep, principal: PrincipalDep, id: RecordId, form: Form
) -> Response:
    try:
        with services.store.write() as session:
            row, by = people.by_name(session, id), person_of(principal, form)
            models = patterns(form.get("models", ""))
            people.change(session, services, row, role=form.get("role", ""), models=models, by=by)
    except (InvalidInput, Conflict) as wrong:
        return settings_page(request, services, principal, status=422, wrong=(id, str(wrong)), given=form)
    return RedirectResponse("/settings#people", 303)


@router.post("/settings/people/{id}/active", dependencies=[needs("admin", "admin", fresh=True)])
def set_active(request: Request, services: ServicesDep, principal: PrincipalDep, id: RecordId, form: Form) -> Response:
    act = people.activate if form.get("active") == "yes" else people.deactivate
    try:
        with services.store.write() as session:
            act(session, services, people.by_name(session, id), by=person_of(principal, form))
    except Conflict as wrong:
        return settings_page(request, services, principal, status=409, wrong=(id, str(wrong)))
    return RedirectResponse("/settings#people", 303)


@router.post("/settings/people/{id}/link", dependencies=[needs("admin", "admin", fresh=True)])
def make_link(request: Request, services: ServicesDep, principal: PrincipalDep, id: RecordId, form: Form) -> Response:
    """A link for a new password, for somebody who lost theirs; the link before it works no more."""
    with services.store.write() as session:
        row = people.by_name(session, id)
        link = set_up.password_link(session, services, row)
    return settings_page(request, services, principal, made=("link", row.name, link))


@router.post("/settings/tokens", dependencies=[needs("viewer")])
def make_token(request: Request, services: ServicesDep, principal: PrincipalDep, form: Form) -> Response:
    days = form.get("days", "")
    try:
        if not (days.isascii() and days.isdigit() and len(days) < 4):
            raise InvalidInput("days: choose for how long the token lives.")
        made = make_own(
            services, principal, name=form.get("name", ""), days=int(days), agent=form.get("agent") == "yes",
            scopes=[name.removeprefix("scope_") for name in form if name.startswith("scope_")],
            models=patterns(form.get("models", "")),
        )  # fmt: skip
    except (InvalidInput, NotAllowed) as wrong:
        return settings_page(request, services, principal, status=422, wrong=("token", str(wrong)), given=form)
    return settings_page(request, services, principal, made=("token", made.row.name, made.secret))


@router.post("/settings/tokens/{id}/revoke", dependencies=[needs("viewer")])
def revoke_token(services: ServicesDep, principal: PrincipalDep, id: RecordId, form: Form) -> Response:
    person = person_of(principal, form)
    with services.store.read() as session:
        row = session.get(ApiToken, id)
    by_hand = principal.kind in ("person", "local")  # a token ends no token, unless it has the scope admin
    if row is None or not (principal.may("admin", "admin") or (by_hand and row.person == principal.name)):
        raise NotFound(f"You have no token {id!r}.")
    tokens.revoke(services, id, person=person)
    return RedirectResponse("/settings#tokens", 303)
