"""State machines are tables, applied by one function."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from agent.domain.errors import IllegalTransition

State = TypeVar("State", bound=StrEnum)
Event = TypeVar("Event", bound=StrEnum)


def next_state(table: Mapping[tuple[State, Event], State], state: State, event: Event, thing: str) -> State:
    """The state after `event`. Raises: IllegalTransition naming the thing, its state and the events that do apply."""
    if (state, event) not in table:
        applicable = sorted(str(e) for s, e in table if s == state)
        options = f"; what applies now: {', '.join(applicable)}" if applicable else "; it is final"
        raise IllegalTransition(f"{thing} is {state}, so it cannot {event}{options}.")
    return table[state, event]
