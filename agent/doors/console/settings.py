"""Settings: who may come in and who they are elsewhere, what opens the doors, what the policy allows, and the specs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.deciding import Request as Asked
from agent.domain.deciding import may_decide
from agent.domain.errors import Conflict, InvalidInput
from agent.domain.policy import Policy
from agent.domain.roles import MEANING, Role
from agent.doors.access import Principal, PrincipalDep, needs
from agent.doors.api.inputs import ModelName, ServicesDep
from agent.doors.console import page
from agent.doors.console.forms import person_of
from agent.doors.own_token import scopes_of
from agent.pipeline import people, tokens
from agent.pipeline.respec import checked, difference, fingerprint, replace_spec
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import ApiToken, Device, Identity, Model, Person, Preference
from ml.errors import SpecError
from tools.actions import CHARACTER, ActionKind, Risk
from tools.clean import clean_text

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
QUIET = (ActionKind.NO_ACTION, ActionKind.WAIT_FOR_LABELS)


@dataclass(frozen=True, slots=True)
class Effect:
    """What the policy means for one kind of action: who may decide, and how many it takes."""

    kind: str
    risk: str
    needed: int
    roles: list[str]
    reason: bool
    who: list[str]
    itself: bool


@dataclass(frozen=True, slots=True)
class SettingsPage:
    me: Person | None
    people: list[Person]
    identities: dict[str, list[Identity]]
    tokens: list[tuple[ApiToken, str]]
    devices: list[Device]
    channels: list[tuple[str, bool]]
    preferences: list[Preference]
    effects: list[Effect]
    policy: Policy
    models: list[str]
    public_url: str
    required: bool


def read_settings(services: Services, session: Session, principal: Principal) -> SettingsPage:
    """What whoever asks may see: an admin everything, others what is theirs and what holds for all."""
    admin = principal.may("admin", "admin")
    me = people.found(session, principal.name) if principal.name else None
    everybody = list(people.every(session)) if admin else [me] if me else []
    known: dict[str, list[Identity]] = {row.id: [] for row in everybody}
    for one in session.scalars(select(Identity).where(Identity.person_id.in_(known)).order_by(Identity.created_at)):
        known[one.person_id].append(one)
    now, policy = services.wall(), services.policy()
    mine = [row for row in tokens.every(session) if admin or row.person == principal.name]
    owned = select(Device).order_by(Device.created_at)
    devices = session.scalars(owned if admin else owned.where(Device.person == principal.name)).all()
    told = session.scalars(select(Preference).order_by(Preference.person)).all()
    return SettingsPage(
        me=me,
        people=everybody,
        identities=known,
        tokens=[(row, tokens.state_of(row, now)) for row in mine[:100]],
        devices=list(devices),
        channels=[("journal", True), *((name, name in services.channels) for name in CHANNELS)],
        preferences=[row for row in told if admin or row.person == principal.name],
        effects=effects(policy),
        policy=policy,
        models=[name for name in queries.model_names(session) if principal.sees(name)],
        public_url=services.public_url,
        required=services.sign_in.required,
    )


ROLES = tuple(map(str, Role))
LIVES = (("30", "30 days"), ("90", "90 days"), ("366", "a year"))


def own_scopes(principal: Principal) -> list[tuple[str, str]]:
    """What a token that this person makes may be used for, with what it means; nothing for who has not signed in."""
    return [(str(one), MEANING[one]) for one in scopes_of(principal)] if principal.kind == "person" else []


CHANNELS = ("slack", "mail", "webhook", "apprise", "push")


def effects(policy: Policy) -> list[Effect]:
    """What approvals.yaml comes to, for each kind of action."""
    found = []
    for kind in (kind for kind in ActionKind if kind not in QUIET):
        risk = Risk(CHARACTER[kind].risk)
        rule = policy.rule(kind, risk)
        asked = Asked(model="*", kind=kind, risk=risk, requested_by="watchkeeper")
        who = [name for name in sorted(policy.people) if _may_somewhere(policy, asked, name)]
        auto = policy.auto_approve
        found.append(
            Effect(
                str(kind),
                str(risk),
                rule.approvals,
                list(rule.roles),
                rule.reason,
                who,
                auto is not None and kind in auto.actions,
            )
        )
    return found


def _may_somewhere(policy: Policy, asked: Asked, name: str) -> bool:
    """Whether somebody may decide for some model at least: on the first pattern of theirs."""
    models = policy.people[name].models or ("*",)
    one = Asked(model=models[0].replace("*", "x"), kind=asked.kind, risk=asked.risk, requested_by=asked.requested_by)
    return may_decide(policy, one, name).allowed


@router.get("/settings", dependencies=[needs("viewer")])
def show_settings(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    return settings_page(request, services, principal)


def settings_page(
    request: Request,
    services: Services,
    principal: Principal,
    *,
    status: int = 200,
    wrong: tuple[str, str] = ("", ""),
    given: Mapping[str, str] = {},
    made: tuple[str, str, str] = ("", "", ""),
) -> Response:
    """wrong: which form, and what; given: what was typed in it; made: what is shown once (link or token, whose, it)."""
    with services.store.read() as session:
        return page.render(
            request, "settings.html", session=session, status=status, found=read_settings(services, session, principal),
            admin=principal.may("admin", "admin"), now=services.wall(), wrong=wrong, given=given, made=made,
            roles=ROLES, scopes=own_scopes(principal), lives=LIVES, by_hand=principal.kind in ("person", "local"),
        )  # fmt: skip


@router.get("/settings/models/{name}", dependencies=[needs("viewer")])
def show_spec(request: Request, services: ServicesDep, principal: PrincipalDep, name: ModelName) -> Response:
    with services.store.read() as session:
        return _spec_page(request, session, principal, _model(session, name))


def _model(session: Session, name: str) -> Model:
    queries.spec_of(session, name)
    return session.get_one(Model, name)


def _spec_page(
    request: Request, session: Session, principal: Principal, row: Model, *, status: int = 200, **said: Any
) -> Response:
    told = {"text": row.spec, "error": "", "changes": None, "notice": "", **said}
    return page.render(
        request, "spec.html", status=status, session=session, model=row.name, seen=fingerprint(row.spec),
        admin=principal.may("admin", "admin"), **told,
    )  # fmt: skip


async def read_spec_form(request: Request) -> dict[str, str]:
    """The fields of the spec's form, which is longer than others. Raises: InvalidInput for what is no form."""
    try:
        fields = parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        raise InvalidInput("Use the form of the page.") from None
    return {name: clean_text(value) for name, value in fields}


@router.post("/settings/models/{name}", dependencies=[needs("admin", "admin")])
def change_spec(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    name: ModelName,
    form: Annotated[dict[str, str], Depends(read_spec_form)],
) -> Response:
    """First the check and the difference; the same form again with `save` keeps it."""
    text = form.get("spec", "").replace("\r\n", "\n")
    with services.store.read() as session:
        row = _model(session, name)
        try:
            checked(name, text)
        except (SpecError, InvalidInput) as wrong:
            return _spec_page(request, session, principal, row, status=422, text=text, error=str(wrong))
        if form.get("save") != "yes":
            return _spec_page(request, session, principal, row, text=text, changes=difference(row.spec, text))
    try:
        with services.store.write() as session:
            person = person_of(principal, form)
            replace_spec(services, session, name, text, person=person, seen=form.get("seen", ""))
    except (Conflict, InvalidInput) as wrong:
        with services.store.read() as session:
            return _spec_page(
                request, session, principal, _model(session, name), status=409, text=text, error=str(wrong)
            )
    with services.store.read() as session:
        return _spec_page(request, session, principal, _model(session, name), notice="Saved. The next look uses it.")
