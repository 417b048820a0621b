"""Roles of people and scopes of tokens: what each may do at a door. Whether somebody may decide on a given action is
the policy's to say, beside this: a role opens the door, `approvals.yaml` says what may be done behind it."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a person may do, each what stands before it too. viewer: read. operator: what a shift does, from
    acknowledging to proposing. approver: decide, as far as `approvals.yaml` says so. admin: people and tokens."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


class Scope(StrEnum):
    """What a token may be used for, within the role of its owner."""

    READ = "read"
    PROPOSE = "propose"
    INGEST = "ingest"
    DECIDE = "decide"
    ADMIN = "admin"


MEANING = {
    Scope.READ: "look at everything that its owner may see",
    Scope.PROPOSE: "ask questions, propose, acknowledge, silence, stop the machine",
    Scope.INGEST: "send predictions and labels",
    Scope.DECIDE: "approve, reject, lift the kill switch; never where a fresh sign-in is needed",
    Scope.ADMIN: "people, tokens, settings",
}
NEVER_AN_AGENTS = (Scope.DECIDE, Scope.ADMIN)
"""What a token that a language model holds never has, whoever owns it."""


def reaches(role: Role | str | None, needed: Role | str) -> bool:
    """Whether a role is `needed` or above it.

    >>> reaches("approver", "operator"), reaches("viewer", "operator"), reaches(None, "viewer")
    (True, False, False)
    """
    order = list(Role)
    return role is not None and order.index(Role(role)) >= order.index(Role(needed))
