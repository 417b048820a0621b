"""What there is to be named in a workspace, for a caller: models and their features."""

from __future__ import annotations

from sqlalchemy.orm import Session

from agent.store import queries
from tools.context import Caller


def features_of(session: Session, caller: Caller) -> dict[str, tuple[str, ...]]:
    """Each model that the caller may see, with its features."""
    return {name: tuple(spec.features) for name, spec in queries.specs(session).items() if caller.sees(name)}
