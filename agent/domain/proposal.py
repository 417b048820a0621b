"""A proposal's life: one action with its exact parameters, waiting for a person, carried out once, checked."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class ProposalState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    EXECUTING = "executing"
    EXECUTED = "executed"
    VERIFYING = "verifying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


class ProposalEvent(StrEnum):
    APPROVE = "be approved"
    REJECT = "be rejected"
    EXPIRE = "expire"
    SUPERSEDE = "be superseded"
    WITHDRAW = "be withdrawn"
    START = "start"
    FINISH = "finish"
    ABORT = "abort"
    WATCH = "be watched"
    SUCCEED = "succeed"
    FAIL = "fail"
    GIVE_UP = "end inconclusive"


S, E = ProposalState, ProposalEvent

TRANSITIONS: Mapping[tuple[ProposalState, ProposalEvent], ProposalState] = {
    (S.PENDING, E.APPROVE): S.APPROVED,
    (S.PENDING, E.REJECT): S.REJECTED,
    (S.PENDING, E.EXPIRE): S.EXPIRED,
    (S.PENDING, E.SUPERSEDE): S.SUPERSEDED,
    (S.PENDING, E.WITHDRAW): S.WITHDRAWN,
    (S.APPROVED, E.START): S.EXECUTING,
    (S.APPROVED, E.EXPIRE): S.EXPIRED,
    (S.APPROVED, E.SUPERSEDE): S.SUPERSEDED,
    (S.APPROVED, E.WITHDRAW): S.WITHDRAWN,
    (S.EXECUTING, E.FINISH): S.EXECUTED,
    (S.EXECUTING, E.SUPERSEDE): S.SUPERSEDED,
    (S.EXECUTING, E.ABORT): S.FAILED,
    (S.EXECUTED, E.WATCH): S.VERIFYING,
    (S.VERIFYING, E.SUCCEED): S.SUCCEEDED,
    (S.VERIFYING, E.FAIL): S.FAILED,
    (S.VERIFYING, E.GIVE_UP): S.INCONCLUSIVE,
}

LIVE = (S.PENDING, S.APPROVED, S.EXECUTING)
"""States in which a model has room for no other proposal that changes it."""

ENDED = (S.SUCCEEDED, S.FAILED, S.INCONCLUSIVE, S.REJECTED, S.EXPIRED, S.SUPERSEDED, S.WITHDRAWN)
