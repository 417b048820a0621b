"""Links by which a person sets their first password: printed where the server was started, or by an admin."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode

from sqlalchemy.orm import Session

from agent.domain.errors import Conflict, NotAllowed
from agent.domain.roles import Role
from agent.pipeline import codes, passwords, people
from agent.pipeline.services import Services
from agent.store.tables import OneTimeCode, Person

LIFE = timedelta(days=1)


def first_link(services: Services) -> str:
    """A link that makes whoever opens it the first admin. A new one ends the one before it."""
    with services.store.write() as session:
        return link_to(services, "setup", codes.make(session, services, "setup", None, LIFE))


def password_link(session: Session, services: Services, person: Person) -> str:
    """A link by which this person sets a password. Raises: NotAllowed when they are deactivated."""
    if not person.active:
        raise NotAllowed(f"{person.name!r} is deactivated; activate them first.")
    return link_to(services, "password", codes.make(session, services, "password", person, LIFE))


def link_to(services: Services, purpose: str, code: str) -> str:
    return f"{services.public_url.rstrip('/')}/set-up?{urlencode({'for': purpose, 'code': code})}"


def look(services: Services, purpose: codes.Purpose, code: str) -> Person | None:
    """Whom a link is for; None where it makes the first person. Raises: NotAllowed when it does not work."""
    with services.store.read() as session:
        row: OneTimeCode = codes.look(session, services, purpose, code)
        if row.person_id is None and people.anybody(session):
            raise NotAllowed("There is a first person already; ask an admin to add you.")
        return None if row.person_id is None else session.get_one(Person, row.person_id)


def redeem(services: Services, purpose: codes.Purpose, code: str, *, name: str, password: str) -> Person:
    """Use a link up: set the password, and make the person where it is the first.

    Raises: NotAllowed for a link that does not work, InvalidInput for a poor password or name (the link goes on).
    """
    known = look(services, purpose, code)
    hashed = passwords.hash_of(passwords.checked(password, known.name if known else name))
    with services.store.write() as session:
        row = codes.redeem(session, services, purpose, code)
        if row.person_id is None:
            if people.anybody(session):
                raise Conflict("There is a first person already; ask an admin to add you.")
            person = people.add(session, services, name, role=Role.ADMIN, by="set-up link")
        else:
            person = session.get_one(Person, row.person_id)
        passwords.keep(session, services, person, hashed, by=person.name)
        return person
