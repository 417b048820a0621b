"""Change the spec of a model under watch: what it says is checked, what changes is shown, then it is kept."""

from __future__ import annotations

import difflib
import hashlib

from sqlalchemy.orm import Session

from agent.domain.errors import Conflict, InvalidInput, NotFound
from agent.pipeline.services import Services
from agent.store import audit
from agent.store.tables import Model
from ml.spec import ModelSpec, parse_spec

LONGEST = 200_000


def fingerprint(text: str) -> str:
    """What names a spec that somebody looked at, so that nobody overwrites what they have not seen."""
    return hashlib.sha256(text.encode()).hexdigest()


def checked(name: str, text: str) -> ModelSpec:
    """The spec, if it may stand in place of the one that there is. Raises: SpecError, InvalidInput."""
    if len(text) > LONGEST:
        raise InvalidInput(f"A spec has at most {LONGEST} characters.")
    spec = parse_spec(text, source=name)
    if spec.name != name:
        raise InvalidInput(f"{name}: the name of a model stays; this spec is of {spec.name!r}. Add that one instead.")
    return spec


def difference(before: str, after: str) -> list[tuple[str, str]]:
    """The lines that differ, with two around each: (`+`, `-`, ` ` or `@`, the line)."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
    return [("@" if line.startswith("@@") else line[0], line[1:]) for line in list(lines)[2:]]


def replace_spec(services: Services, session: Session, name: str, text: str, *, person: str, seen: str) -> ModelSpec:
    """Keep a spec. seen: the fingerprint of the one that was looked at. Raises: NotFound, Conflict, as `checked`."""
    row = session.get(Model, name, with_for_update=True)
    if row is None:
        raise NotFound(f"There is no model {name!r}.")
    if fingerprint(row.spec) != seen:
        raise Conflict("Somebody else has changed this spec meanwhile; look at it as it is now, then change it.")
    spec = checked(name, text)
    if text != row.spec:
        row.spec = text
        data = {"spec_sha256": fingerprint(text), "before_sha256": seen}
        at = services.now(session)
        audit.append(session, at=at, actor=person, event="model spec replaced", subject=name, data=data)
    return spec
