"""A token that somebody makes for themselves: in a browser, and within what they may."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from agent.domain.errors import NotAllowed
from agent.domain.roles import Role, Scope, reaches
from agent.doors.access import Principal, require_fresh
from agent.pipeline import tokens
from agent.pipeline.services import Services

BEYOND = {Scope.DECIDE: Role.APPROVER, Scope.ADMIN: Role.ADMIN, Scope.PROPOSE: Role.OPERATOR}
"""The role that a scope takes; for others every role will do."""
STRONG = frozenset({Scope.DECIDE, Scope.ADMIN})
"""Scopes whose token takes a sign-in of the last minutes, as what it may be used for does."""


def scopes_of(principal: Principal) -> list[Scope]:
    """What a token of theirs may be used for."""
    return [scope for scope in Scope if reaches(principal.role, BEYOND.get(scope, Role.VIEWER))]


def make_own(
    services: Services,
    principal: Principal,
    *,
    name: str,
    scopes: Sequence[str],
    models: Sequence[str],
    days: int,
    agent: bool,
) -> tokens.Made:
    """Made by a person in a browser, never by a token. Raises: NotAllowed, SignInAgain, InvalidInput."""
    if principal.kind != "person":
        raise NotAllowed("A token is made by a person who is signed in, or with `watchkeeper token create`.")
    for scope in scopes:
        if scope in set(Scope) and Scope(scope) not in scopes_of(principal):
            raise NotAllowed(f"The scope {scope!r} is more than your role {principal.role} may.")
    if not STRONG.isdisjoint(scopes):
        require_fresh(principal)
    return tokens.create(
        services,
        name=name,
        person=principal.name,
        scopes=scopes,
        models=models,
        audience=tokens.api_audience(services.public_url),
        life=timedelta(days=days),
        agent=agent,
    )
