"""`/people` and `/tokens`: who may come in, and what opens a door to a program. For admins; `/me` for everybody."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from agent.domain.errors import NotAllowed, NotFound
from agent.doors.access import Principal, PrincipalDep, needs
from agent.doors.api.inputs import (
    MOST_ITEMS,
    CursorText,
    IdempotencyKey,
    RecordId,
    ServicesDep,
    WholeLimit,
    Word,
)
from agent.doors.api.paging import Page, part
from agent.doors.api.problems import RESPONSES
from agent.doors.changed import Changed
from agent.doors.idempotency import ApiRoute
from agent.doors.own_token import make_own
from agent.pipeline import people, set_up, tokens
from agent.pipeline.services import Services
from agent.store.tables import ApiToken, Person

router = APIRouter(tags=["people"], route_class=ApiRoute)
RoleName = Literal["viewer", "operator", "approver", "admin"]
ScopeName = Literal["read", "propose", "ingest", "decide", "admin"]
Patterns = Annotated[list[Word], Field(max_length=100, examples=[["churn-*"]])]
IfMatch = Annotated[Word | None, Header(description="the ETag that was read: nothing is done when it has changed")]


class MeOut(BaseModel):
    """Who asks, as the server sees it. `fresh`: signed in within ten minutes."""

    name: str = Field(examples=["ada"])
    kind: str = Field(examples=["person"])
    role: str | None = Field(examples=["approver"])
    models: list[str] | None = Field(description="patterns of the models that are seen; null is all")
    scopes: list[str] | None
    fresh: bool


class IdentityOut(BaseModel):
    id: str
    kind: str = Field(examples=["slack"])
    label: str


class PersonRow(BaseModel):
    """Somebody who may come in. `models`: patterns of the models that they see; none means all."""

    id: str = Field(examples=["u-7k2m9xq4c1"])
    name: str = Field(examples=["ada"])
    role: str = Field(examples=["approver"])
    models: list[str]
    active: bool
    password: bool = Field(description="whether they have one")
    created_at: datetime
    created_by: str
    identities: list[IdentityOut]


class PersonMade(PersonRow):
    link: str = Field(description="by which they set a password, once, within a day")


class PersonBody(BaseModel):
    name: Word = Field(min_length=1, examples=["ada"])
    role: RoleName = "viewer"
    models: Patterns = []


class PersonChange(BaseModel):
    """What is absent stays as it is."""

    role: RoleName | None = None
    models: Patterns | None = None
    active: bool | None = None


class TokenOut(BaseModel):
    """What opens a door to a program, in a person's name. Its secret is shown once, when it is made."""

    id: str = Field(examples=["k-7k2m9xq4c1"])
    name: str = Field(examples=["CI"])
    person: str
    scopes: list[str] = Field(examples=[["read", "ingest"]])
    models: list[str]
    audience: str
    agent: bool
    state: str = Field(examples=["live"])
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class TokenMade(TokenOut):
    token: str = Field(description="the secret; it is shown this once")


class TokenBody(BaseModel):
    """`agent`: a language model holds it, so it never decides."""

    name: Word = Field(min_length=1, examples=["CI"])
    scopes: list[ScopeName] = Field(["read"], min_length=1, max_length=5)
    models: Patterns = []
    days: int = Field(90, ge=1, le=366)
    agent: bool = False


def read_person(session: Session, row: Person) -> PersonRow:
    known = people.identities(session, row)
    return PersonRow(
        id=row.id,
        name=row.name,
        role=row.role,
        models=list(row.models),
        active=row.active,
        password=row.password is not None,
        created_at=row.created_at,
        created_by=row.created_by,
        identities=[IdentityOut(id=one.id, kind=one.kind, label=one.label or one.key) for one in known],
    )


def read_token(services: Services, row: ApiToken) -> TokenOut:
    told: dict[str, Any] = {name: getattr(row, name) for name in TokenOut.model_fields if name != "state"}
    return TokenOut(**told, state=tokens.state_of(row, services.wall()))


@router.get("/me", dependencies=[needs("viewer")], summary="Who asks")
def show_me(principal: PrincipalDep) -> MeOut:
    return MeOut(
        name=principal.name,
        kind=principal.kind,
        role=principal.role,
        models=None if principal.models is None else list(principal.models),
        scopes=None if principal.scopes is None else sorted(principal.scopes),
        fresh=principal.fresh,
    )


@router.get("/people", dependencies=[needs("admin", "admin")], summary="Everybody who may, or might, come in")
def list_people(services: ServicesDep, cursor: CursorText = None, limit: WholeLimit = MOST_ITEMS) -> Page[PersonRow]:
    with services.store.read() as session:
        shown, after = part(people.every(session), lambda row: row.id, cursor, limit)
        return Page(items=[read_person(session, row) for row in shown], next=after)


@router.post("/people", dependencies=[needs("admin", "admin", fresh=True)], summary="Add a person", status_code=201)
def add_person(
    services: ServicesDep, principal: PrincipalDep, body: PersonBody, idempotency_key: IdempotencyKey = None
) -> PersonMade:
    with services.store.write() as session:
        by = principal.name or "this machine"
        row = people.add(session, services, body.name, role=body.role, models=body.models, by=by)
        link = set_up.password_link(session, services, row)
        return PersonMade(**read_person(session, row).model_dump(), link=link)


@router.get("/people/{person_id}", dependencies=[needs("admin", "admin")], summary="One person")
def show_person(services: ServicesDep, person_id: RecordId, response: Response) -> PersonRow:
    with services.store.read() as session:
        row = people.by_name(session, person_id)
        response.headers["etag"] = etag_of(row)
        return read_person(session, row)


@router.patch(
    "/people/{person_id}",
    dependencies=[needs("admin", "admin", fresh=True)],
    summary="Another role, other models; let in again, or shut out at once",
    responses={412: RESPONSES[409]},
)
def change_person(
    services: ServicesDep,
    principal: PrincipalDep,
    person_id: RecordId,
    body: PersonChange,
    response: Response,
    if_match: IfMatch = None,
) -> PersonRow:
    by = principal.name or "this machine"
    with services.store.write() as session:
        row = people.by_name(session, person_id)
        if if_match is not None and if_match not in ("*", etag_of(row)):
            raise Changed(f"{row.name!r} was changed since you read it; read it again, then change it.")
        if body.role is not None or body.models is not None:
            people.change(session, services, row, role=body.role, models=body.models, by=by)
        if body.active is not None and body.active != row.active:
            (people.activate if body.active else people.deactivate)(session, services, row, by=by)
        response.headers["etag"] = etag_of(row)
        return read_person(session, row)


def etag_of(row: Person) -> str:
    return f'"{row.id}.{row.version}"'


@router.get("/tokens", dependencies=[needs("viewer")], summary="Your tokens; for admins everybody's")
def list_tokens(
    services: ServicesDep, principal: PrincipalDep, cursor: CursorText = None, limit: WholeLimit = MOST_ITEMS
) -> Page[TokenOut]:
    with services.store.read() as session:
        rows = [row for row in tokens.every(session) if _is_theirs(principal, row)]
    shown, after = part(rows, lambda row: row.id, cursor, limit)
    return Page(items=[read_token(services, row) for row in shown], next=after)


@router.post("/tokens", dependencies=[needs("viewer")], summary="Make a token for yourself", status_code=201)
def make_token(
    services: ServicesDep, principal: PrincipalDep, body: TokenBody, idempotency_key: IdempotencyKey = None
) -> TokenMade:
    """Made by a person in a browser, never by a token; within what they may themselves."""
    made = make_own(
        services,
        principal,
        name=body.name,
        scopes=body.scopes,
        models=body.models,
        days=body.days,
        agent=body.agent,
    )
    return TokenMade(**read_token(services, made.row).model_dump(), token=made.secret)


@router.delete("/tokens/{token_id}", dependencies=[needs("viewer")], summary="End a token now")
def revoke_token(services: ServicesDep, principal: PrincipalDep, token_id: RecordId) -> TokenOut:
    if principal.kind in ("token", "agent") and not principal.may("admin", "admin"):
        raise NotAllowed("A token is ended by a person who is signed in, or by a token with the scope admin.")
    with services.store.read() as session:
        found = session.get(ApiToken, token_id)
    if found is None or not _is_theirs(principal, found):
        raise NotFound(f"There is no token {token_id!r}; `GET /tokens` lists them.")
    return read_token(services, tokens.revoke(services, found.id, person=principal.name or "this machine"))


def _is_theirs(principal: Principal, row: ApiToken) -> bool:
    return principal.may("admin", "admin") or (principal.kind != "local" and row.person == principal.name)
