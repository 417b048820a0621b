"""An incident's life: the alerts of one model that belong together, from opening to closing."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class IncidentState(StrEnum):
    OPEN = "open"
    DIAGNOSED = "diagnosed"
    WAITING = "waiting"
    ACTING = "acting"
    VERIFYING = "verifying"
    RESOLVED = "resolved"


class IncidentEvent(StrEnum):
    DIAGNOSE = "be diagnosed"
    STAND_DOWN = "stand down"
    PROPOSE = "wait for a decision"
    APPROVE = "be acted on"
    DECLINE = "be declined"
    EXECUTE = "be watched after the action"
    ABORT = "abort"
    RECOVER = "recover"
    PERSIST = "persist"


S, E = IncidentState, IncidentEvent

TRANSITIONS: Mapping[tuple[IncidentState, IncidentEvent], IncidentState] = {
    (S.OPEN, E.DIAGNOSE): S.DIAGNOSED,
    (S.DIAGNOSED, E.DIAGNOSE): S.DIAGNOSED,
    (S.OPEN, E.STAND_DOWN): S.RESOLVED,
    (S.DIAGNOSED, E.STAND_DOWN): S.RESOLVED,
    (S.DIAGNOSED, E.PROPOSE): S.WAITING,
    (S.WAITING, E.APPROVE): S.ACTING,
    (S.WAITING, E.DECLINE): S.DIAGNOSED,
    (S.ACTING, E.DECLINE): S.DIAGNOSED,
    (S.ACTING, E.EXECUTE): S.VERIFYING,
    (S.ACTING, E.ABORT): S.DIAGNOSED,
    (S.VERIFYING, E.RECOVER): S.RESOLVED,
    (S.VERIFYING, E.PERSIST): S.DIAGNOSED,
}

SEEKING = (S.OPEN, S.DIAGNOSED)
"""Nobody decides on it or acts on it: its cause may still turn out to be another one."""
UNRESOLVED = tuple(state for state in S if state is not S.RESOLVED)
