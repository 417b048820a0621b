"""Passwords: argon2id, the same work whether a name is known or not, hashed anew when the parameters have grown.

Parameters (RFC 9106's second choice, in one lane): 64 MiB, three passes, about a tenth of a second. At most four are
at work at once, so that a storm of attempts takes 256 MiB and no more.
"""

from __future__ import annotations

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy.orm import Session

from agent.domain.errors import InvalidInput, NotAllowed
from agent.domain.policy import folded
from agent.pipeline import people
from agent.pipeline.services import Services
from agent.store import audit
from agent.store.tables import Person

SHORTEST, LONGEST = 12, 500
HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
NOBODYS = "$argon2id$v=19$m=65536,t=3,p=1$3VJn963WW0TJ2mNNvZX10g$R7K06kPxzibwmU7igg1DBm8hlyCWkPingIQmr2TtneQ"
"""What a password for an unknown name is compared with: it costs the same and is never right."""
_AT_ONCE = threading.BoundedSemaphore(4)


def checked(password: str, name: str) -> str:
    """A new password in the form that is hashed. Raises: InvalidInput saying what is wrong with it."""
    plain = unicodedata.normalize("NFKC", password)
    if not SHORTEST <= len(plain) <= LONGEST:
        raise InvalidInput(f"password: it has {SHORTEST} to {LONGEST} characters; three or four words are a good one.")
    if len(set(plain)) < 5 or folded(plain).replace(folded(name), "").strip() == "":
        raise InvalidInput("password: this one is guessed at once; three or four words are a good one.")
    return plain


def set_password(services: Services, person_id: str, password: str, *, by: str) -> None:
    """Give a person a password; every session that they have ends. Raises: InvalidInput."""
    with services.store.read() as session:
        name = session.get_one(Person, person_id).name
    hashed = hash_of(checked(password, name))
    with services.store.write() as session:
        keep(session, services, session.get_one(Person, person_id), hashed, by=by)


def keep(session: Session, services: Services, person: Person, hashed: str, *, by: str) -> None:
    """Store what `hash_of` gave; every session that the person has ends. Raises: NotAllowed when deactivated."""
    if not person.active:
        raise NotAllowed("This account is deactivated.")
    at, person.password = services.wall(), hashed
    people.end_sessions(session, person, at)
    session.flush()
    audit.append(session, at=at, actor=by, event="password set", subject=person.id, data={"name": person.name})


def who(services: Services, name: str, password: str) -> Person | None:
    """The active person whose name and password these are; the same work for every other answer."""
    plain = unicodedata.normalize("NFKC", password[:LONGEST])
    with services.store.read() as session:
        person = people.found(session, name[: people.LONGEST_NAME]) if not name.startswith("u-") else None
    known = person.password if person is not None and person.password else NOBODYS
    if not _is_right(known, plain) or person is None or not person.password or not person.active:
        return None
    if HASHER.check_needs_rehash(person.password):
        better = hash_of(plain)
        with services.store.write() as session:
            again = session.get_one(Person, person.id)
            if again.password == person.password:
                again.password = better
    return person


def hash_of(plain: str) -> str:
    with _AT_ONCE:
        return HASHER.hash(plain)


def _is_right(known: str, plain: str) -> bool:
    try:
        with _AT_ONCE:
            return HASHER.verify(known, plain)
    except (VerificationError, InvalidHashError):
        return False
