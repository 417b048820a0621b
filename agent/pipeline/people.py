"""People: who may come in, in which role, for which models, and who they are elsewhere (Slack, an OpenID provider).

Nobody is deleted: who is deactivated loses every session and token at once, and their name stays theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from agent.domain.errors import Conflict, InvalidInput, NotAllowed, NotFound
from agent.domain.policy import RESERVED, folded
from agent.domain.roles import Role
from agent.pipeline import codes
from agent.pipeline.services import Services
from agent.store import audit
from agent.store.tables import Identity, OneTimeCode, Person, WebSession
from tools.clean import clean_text

IdentityKind = Literal["slack", "oidc"]
LINK_LIFE = timedelta(minutes=10)
LONGEST_NAME = 100


def anybody(session: Session) -> bool:
    """Whether there is a person at all; from then on nobody comes in without signing in."""
    return bool(session.scalar(select(exists().where(Person.id.is_not(None)))))


def every(session: Session) -> Sequence[Person]:
    """Everybody there ever was, by name."""
    return session.scalars(select(Person).order_by(Person.folded)).all()


def by_name(session: Session, name: str) -> Person:
    """A person by name or id. Raises: NotFound."""
    row = found(session, name)
    if row is None:
        raise NotFound(f"There is no person {name!r}; `watchkeeper user list` shows them.")
    return row


def found(session: Session, name: str) -> Person | None:
    """The same, or None."""
    if "\0" in name:  # PostgreSQL takes no such text, and nobody is called so
        return None
    return session.scalar(select(Person).where((Person.folded == folded(name)) | (Person.id == name)))


def person_of(session: Session, kind: IdentityKind, key: str) -> Person | None:
    """Whose identity this is, also when they are deactivated (`.active`). Slack's key is TEAM/USER."""
    query = select(Person).join(Identity, Identity.person_id == Person.id)
    return session.scalar(query.where(Identity.kind == kind, Identity.key == key))


def identities(session: Session, person: Person) -> Sequence[Identity]:
    return session.scalars(select(Identity).where(Identity.person_id == person.id).order_by(Identity.created_at)).all()


def add(
    session: Session,
    services: Services,
    name: str,
    *,
    role: Role | str,
    models: Sequence[str] = (),
    by: str,
) -> Person:
    """A new person, who cannot sign in until they have a password or an identity. Raises: InvalidInput, Conflict."""
    name, at = clean_text(name).strip(), services.wall()
    if not 0 < len(name) <= LONGEST_NAME or any(not part.isprintable() for part in name):
        raise InvalidInput(f"name: a person has a name of at most {LONGEST_NAME} printable characters.")
    if not folded(name) or folded(name) in RESERVED:
        raise InvalidInput(f"{name!r} belongs to Watchkeeper itself; take another name.")
    if (known := found(session, name)) is not None:
        raise Conflict(f"There is a person {known.name!r} already; one person has one name.")
    row = Person(
        name=name, folded=folded(name), role=_role(role), models=_patterns(models), created_at=at, created_by=by
    )
    session.add(row)
    session.flush()
    _tell(session, at, by, "person added", row, role=row.role, models=row.models)
    return row


def change(
    session: Session,
    services: Services,
    person: Person,
    *,
    role: Role | str | None = None,
    models: Sequence[str] | None = None,
    by: str,
) -> Person:
    """Another role, or other models. Raises: InvalidInput, Conflict for the last admin."""
    if role is not None and _role(role) != person.role:
        _keep_an_admin(session, person)
        person.role = _role(role)
    if models is not None:
        person.models = _patterns(models)
    session.flush()
    _tell(session, services.wall(), by, "person changed", person, role=person.role, models=person.models)
    return person


def deactivate(session: Session, services: Services, person: Person, *, by: str) -> Person:
    """Shut somebody out now: sessions, tokens and codes end with it. Raises: Conflict for the last admin."""
    at = services.wall()
    if not person.active:
        raise Conflict(f"{person.name!r} was deactivated already.")
    _keep_an_admin(session, person)
    person.active, person.ended_at = False, at
    end_sessions(session, person, at)
    session.execute(delete(OneTimeCode).where(OneTimeCode.person_id == person.id))
    session.flush()
    _tell(session, at, by, "person deactivated", person)
    return person


def activate(session: Session, services: Services, person: Person, *, by: str) -> Person:
    """Let somebody in again; they sign in anew. Raises: Conflict."""
    if person.active:
        raise Conflict(f"{person.name!r} is active.")
    person.active, person.ended_at = True, None
    session.flush()
    _tell(session, services.wall(), by, "person activated", person)
    return person


def end_sessions(session: Session, person: Person, at: datetime, *, but: str = "") -> int:
    """Sign somebody out everywhere; `but`: the id of the session that goes on. Gives how many ended."""
    query = update(WebSession).where(
        WebSession.person_id == person.id, WebSession.ended_at.is_(None), WebSession.id != but
    )
    return int(session.execute(query.values(ended_at=at)).rowcount)  # type: ignore[attr-defined]


def make_link_code(session: Session, services: Services, person: Person) -> str:
    """A code that binds one identity to a person, once, within ten minutes. Raises: NotAllowed."""
    if not person.active:
        raise NotAllowed(f"{person.name!r} is deactivated; a code is for somebody who may come in.")
    return codes.make(session, services, "link", person, LINK_LIFE, short=True)


def redeem_link_code(session: Session, services: Services, code: str, kind: IdentityKind, key: str) -> Person:
    """Bind an identity to whom the code was made for; to bind it again is the same as once.

    Raises: NotAllowed for a code that was used, is too old or never was; Conflict when it is somebody else's identity.
    """
    if not key or len(key) > 500:
        raise InvalidInput("key: an identity has a key of at most 500 characters, for Slack TEAM/USER.")
    row = codes.redeem(session, services, "link", code)
    person = session.get_one(Person, row.person_id)
    if not person.active:
        raise NotAllowed("This code does not work any more; ask for a new one.")
    bind(session, services, person, kind, key)
    return person


def bind(session: Session, services: Services, person: Person, kind: IdentityKind, key: str, label: str = "") -> None:
    """This person is that one elsewhere. Raises: Conflict when it is somebody else's."""
    owner = person_of(session, kind, key)
    if owner is not None and owner.id != person.id:
        raise Conflict(f"This {kind} identity belongs to {owner.name!r} already; an admin can take it from them.")
    if owner is None:
        at = services.wall()
        session.add(Identity(person_id=person.id, kind=kind, key=key, label=clean_text(label)[:200], created_at=at))
        session.flush()
        _tell(session, at, person.name, "identity bound", person, kind=kind, key=key)


def unbind(session: Session, services: Services, person: Person, identity_id: str, *, by: str) -> None:
    """Take an identity from a person. Raises: NotFound."""
    row = session.get(Identity, identity_id)
    if row is None or row.person_id != person.id:
        raise NotFound(f"{person.name!r} has no identity {identity_id!r}.")
    session.delete(row)
    session.flush()
    _tell(session, services.wall(), by, "identity unbound", person, kind=row.kind, key=row.key)


def _keep_an_admin(session: Session, person: Person) -> None:
    """Raises: Conflict when nobody would be left who can let others in. Admins are locked, so that two cannot go."""
    if person.role != Role.ADMIN or not person.active:
        return
    query = select(Person.id).where(Person.role == Role.ADMIN, Person.active.is_(True)).with_for_update()
    if set(session.scalars(query)) <= {person.id}:
        raise Conflict(f"{person.name!r} is the only admin; make another one first.")


def _role(role: Role | str) -> str:
    if role not in list(Role):
        raise InvalidInput(f"role: {str(role)[:40]!r} is none; use {', '.join(Role)}.")
    return str(role)


def _patterns(models: Sequence[str]) -> list[str]:
    cleaned = sorted({clean_text(pattern).strip() for pattern in models} - {""})
    if len(cleaned) > 100 or any(len(pattern) > 200 for pattern in cleaned):
        raise InvalidInput("models: at most 100 patterns of at most 200 characters, such as `churn-*`.")
    return [] if "*" in cleaned else cleaned


def _tell(session: Session, at: datetime, actor: str, event: str, person: Person, **data: object) -> None:
    audit.append(session, at=at, actor=actor, event=event, subject=person.id, data={"name": person.name, **data})
