"""Who asks: a person, a token, or whoever sits at this machine; what they may, and in whose name they act."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from sqlalchemy import ColumnElement, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from agent.domain.errors import InvalidInput, NotAllowed, NotFound, SignInAgain
from agent.domain.policy import folded
from agent.domain.roles import NEVER_AN_AGENTS, Role, Scope, reaches
from agent.store.tables import Model
from tools.context import Caller

Kind = Literal["person", "token", "agent", "anonymous", "local"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. models: patterns of names that they may see; None is all. fresh: they signed in within ten minutes.
    through: the token or the session they come with."""

    name: str
    kind: Kind
    role: Role | None
    models: tuple[str, ...] | None = None
    fresh: bool = False
    scopes: frozenset[str] | None = None
    through: str = ""
    person_id: str = ""
    csrf: str = field(default="", repr=False)

    def sees(self, model: str) -> bool:
        return self.models is None or any(fnmatchcase(model, pattern) for pattern in self.models)

    def may(self, role: Role | str, scope: Scope | str = Scope.READ) -> bool:
        """Whether they have this role, and their token this scope. Who sees some models only is no admin of people:
        they could give themselves the others."""
        if self.kind == "agent" and scope in NEVER_AN_AGENTS:
            return False
        if scope == Scope.ADMIN and self.models is not None:
            return False
        return reaches(self.role, role) and (self.scopes is None or scope in self.scopes)

    @property
    def caller(self) -> Caller:
        """The same for a tool or a conversation."""
        models = None if self.models is None else frozenset(self.models)
        kind: Literal["person", "token", "agent"] = self.kind if self.kind in ("token", "agent") else "person"
        return Caller(self.name, kind, models, may_propose=self.may("operator", "propose"), through=self.through)


ANONYMOUS = Principal("", "anonymous", None)
LOCAL = Principal("", "local", Role.ADMIN)


def require_fresh(principal: Principal) -> None:
    """Raises: SignInAgain unless whoever asks has signed in within ten minutes; not asked while nobody signs in."""
    if principal.kind != "local" and not principal.fresh:
        raise SignInAgain("This takes a person who has signed in within the last ten minutes. Sign in again.")


def acting(principal: Principal, said: str | None) -> str:
    """In whose name something is done: who is signed in; where nobody signs in, who they say they are.

    Raises: InvalidInput when nobody is named, NotAllowed when somebody names another.
    """
    if principal.kind == "local":
        if not said:
            raise InvalidInput("person: say who you are, by the name that approvals.yaml has for you.")
        return said
    if said and folded(said) != folded(principal.name):
        raise NotAllowed(f"You are {principal.name!r} here and cannot act as {said[:100]!r}.")
    return principal.name


def within(principal: Principal, session: Session, column: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
    """The condition that a row is of a model which they may see."""
    if principal.models is None:
        return true()
    return column.in_([name for name in session.scalars(select(Model.name)) if principal.sees(name)])


def require_sight(principal: Principal, model: str | None, said: str) -> None:
    """Raises: NotFound, as if it were not there, for what is of a model that they may not see."""
    if not (principal.models is None if model is None else principal.sees(model)):
        raise NotFound(said)
