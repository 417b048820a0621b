"""The tables of states: every state is reachable, every end is an end, and what does not apply is refused."""

from typing import Any

import pytest

from agent.domain import incident, proposal
from agent.domain.errors import IllegalTransition
from agent.domain.states import next_state


@pytest.mark.parametrize(
    ("table", "start", "ends"),
    [
        (proposal.TRANSITIONS, proposal.ProposalState.PENDING, set(proposal.ENDED)),
        (incident.TRANSITIONS, incident.IncidentState.OPEN, {incident.IncidentState.RESOLVED}),
    ],
)
def test_every_state_is_reached_and_only_ends_have_no_way_out(table, start, ends):
    reached = {start}
    while more := {after for (before, _), after in table.items() if before in reached} - reached:
        reached |= more
    states: list[Any] = list(type(start).__members__.values())
    assert reached == set(states)
    assert {state for state in states if not any(before == state for before, _ in table)} == ends


def test_an_event_that_does_not_apply_names_the_thing_its_state_and_what_does():
    with pytest.raises(IllegalTransition, match=r"Proposal p-1 is rejected, so it cannot be approved; it is final\."):
        next_state(
            proposal.TRANSITIONS, proposal.ProposalState.REJECTED, proposal.ProposalEvent.APPROVE, "Proposal p-1"
        )
    with pytest.raises(IllegalTransition, match="what applies now: be approved, be rejected"):
        next_state(proposal.TRANSITIONS, proposal.ProposalState.PENDING, proposal.ProposalEvent.FINISH, "Proposal p-1")
