"""Whatever order people, clocks and workers come in, alone or two at the same moment: what the rulebook says happens.

A Hypothesis state machine plays moves on a real database and a real MLflow store, and on the rulebook. Two moves at the
same moment must end as one of the two orders would. CHAOS=10 plays twenty times as much.
"""

from __future__ import annotations

import copy
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select

from agent import executor
from agent.domain.errors import Conflict, Expired, NotAllowed, Unavailable
from agent.domain.policy import Person, Policy, Rule
from agent.pipeline import approve as decisions
from agent.pipeline.cancel import cancel
from agent.pipeline.freeze import freeze, kill_switch, unfreeze
from agent.store import audit, queries
from agent.store.tables import Approval, Deployment, Execution, Proposal, UnfitWindow
from ml.models import deployment
from tests.agent.chaos.rulebook import AGAINST, APPROVERS, DECIDE, MOST, NEEDED, PEOPLE, START, Move, Rulebook
from tools import actions
from tools.actions import Risk

SCALE = int(os.environ.get("CHAOS", "1"))
EXAMPLES = {"sqlite": 10, "postgresql": 6}
STEPS = 40

POLICY = Policy(
    people={name: Person(roles=("approver",) if name in APPROVERS else ("viewer",)) for name in PEOPLE},
    risk={risk: Rule(approvals=NEEDED, rejections=AGAINST) for risk in Risk},
    unfreeze=Rule(approvals=2),
    approval_expiry=DECIDE,
    execution_expiry=START,
    cooldown=timedelta(0),
    max_actions_per_hour=MOST,
)

people = st.sampled_from([*PEOPLE, "mallory", "watchkeeper"])
decisive = st.sampled_from(APPROVERS)
verdicts = st.tuples(st.sampled_from(["approve", "approve", "reject", "withdraw", "cancel"]), decisive)
at_once = st.one_of(verdicts, st.sampled_from([("expire",), ("supersede",), ("run",)]))
ALONE = {"run", "supersede", "cancel"}
"""Moves of several transactions, of which two at once may end as no order of the two would."""

PASSED_OVER = ((("run",), "0"), (("expire",), "nothing"))


State = tuple[str, bool, set[tuple[str, str]]]
"""Of the latest proposal, of the kill switch, and what everybody has said."""


class World:
    """Makes the moves for real."""

    def __init__(self, bench) -> None:
        self.bench, self.wanted = bench, ""

    def play(self, move: Move) -> str:
        """As a client does: again where the answer was `try again`."""
        name, *rest = move
        for _ in range(20):
            try:
                return str(getattr(self, name)(*rest))
            except Unavailable:
                continue
            except (Expired, NotAllowed) as error:
                return type(error).__name__
            except Conflict:
                return "Conflict"
        raise AssertionError(f"{move} was never answered")

    def propose(self, kind: str, requester: str) -> str:
        bench, now = self.bench, self.bench.clock()
        champion = self.champion()
        action = actions.FixData(model="churn", features=("age",), repair="-", onset=now, window_end=now)
        if kind == "rollback":
            action = bench.rollback(expected=champion, to="1" if champion == "2" else "2")
        self.wanted = bench.propose(action, requested_by=requester)
        return "pending"

    def approve(self, person: str) -> str:
        return decisions.approve(self.bench.services, self.wanted, person=person).state if self.wanted else "nothing"

    def reject(self, person: str) -> str:
        if not self.wanted:
            return "nothing"
        return decisions.reject(self.bench.services, self.wanted, person=person, reason="no").state

    def withdraw(self, person: str) -> str:
        if not self.wanted:
            return "nothing"
        return decisions.withdraw(self.bench.services, self.wanted, person=person, reason="no").state

    def cancel(self, person: str) -> str:
        if not self.wanted:
            return "nothing"
        with self.bench.services.store.write() as session:
            return cancel(self.bench.services, session, self.wanted, person=person, reason="no").state

    def expire(self) -> str:
        with self.bench.services.store.write() as session:
            return "expired" if decisions.expire(self.bench.services, session) else "nothing"

    def supersede(self) -> str:
        return "superseded" if decisions.supersede_overtaken(self.bench.services, "churn") else "nothing"

    def run(self) -> int:
        return executor.run_ready(self.bench.services, worker="w")

    def freeze(self) -> str:
        with self.bench.services.store.write() as session:
            freeze(self.bench.services, session, person="anyone", reason="fire")
        return "frozen"

    def unfreeze(self, person: str) -> str:
        with self.bench.services.store.write() as session:
            missing = unfreeze(self.bench.services, session, person=person, reason="").missing
        return "frozen" if missing else "free"

    def advance(self, minutes: str) -> str:
        self.bench.clock.advance(timedelta(minutes=int(minutes)))
        return "later"

    def deploy(self) -> str:
        current = self.champion()
        other = "1" if current == "2" else "2"
        deployment.promote(self.bench.services.registry, "churn", other, expected=current)
        return other

    def champion(self) -> str:
        return self.bench.services.registry.alias("churn", "champion") or ""

    def state(self) -> State:
        with self.bench.services.store.read() as session:
            row = session.get(Proposal, self.wanted) if self.wanted else None
            said = session.execute(
                select(Approval.person, Approval.decision).where(Approval.proposal_id == self.wanted)
            )
            return row.state if row else "", bool(kill_switch(session)), {(who, what) for who, what in said}


def state_of(book: Rulebook) -> State:
    card = book.card
    said = {(who, "approve") for who in card.yes} | {(who, "reject") for who in card.no} if card else set()
    return card.state if card else "", book.frozen, said


def machine(bench) -> type[RuleBasedStateMachine]:
    """The state machine on one workspace: each run begins where the last one ended, with nothing waiting."""

    class Deciding(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.world = World(bench)
            bench.clock.advance("2h")
            with bench.services.store.read() as session:
                live, frozen = queries.live_proposal(session, "churn"), kill_switch(session)
            if live is not None:
                self.world.wanted = live.id
                self.world.play(("cancel" if live.state == "approved" else "withdraw", "ben"))
                assert self.world.state()[0] == "withdrawn"
            for person in ("ann", "ben") if frozen else ():
                self.world.play(("unfreeze", person))
            self.world.wanted = ""
            self.book = Rulebook(bench.clock(), champion=self.world.champion())

        def both(self, *move: str) -> None:
            expected, found = self.book.play(move), self.world.play(move)
            assert found == expected, (move, found, expected, self.book.card)

        def live(self) -> bool:
            return self.book.card is not None and self.book.card.state in ("pending", "approved")

        def need_a_card(self) -> None:
            """Rules have no preconditions: who wins a race would decide what Hypothesis may draw next."""
            if not self.live():
                self.both("propose", "fix_data", "watchkeeper")

        @rule(kind=st.sampled_from(["rollback", "fix_data"]), requester=st.sampled_from(["watchkeeper"] * 3 + ["ann"]))
        def propose(self, kind: str, requester: str) -> None:
            if not self.live():
                self.both("propose", kind, requester)

        @rule(verb=st.sampled_from(["approve"] * 3 + ["reject"] * 2), person=decisive)
        def decide(self, verb: str, person: str) -> None:
            self.need_a_card()
            card = self.book.card
            said = card.yes if verb == "approve" else card.no
            self.both(verb, next((name for name in (person, *APPROVERS) if name not in said), person))

        @rule(first=st.sampled_from([None, "deploy", "freeze", "deploy"]))
        def work(self, first: str | None) -> None:
            if self.book.card is None or self.book.card.state != "approved":
                return
            if first is not None:
                self.both(first)
            self.both("run")

        @rule(person=decisive)
        def lift(self, person: str) -> None:
            if self.book.frozen:
                self.both("unfreeze", person)

        @rule(verb=st.sampled_from(["approve", "reject", "withdraw", "cancel", "unfreeze", "propose"]), person=people)
        def try_anything(self, verb: str, person: str) -> None:
            kind = self.book.card.kind if self.book.card is not None and self.live() else "fix_data"
            self.both(verb, person) if verb != "propose" else self.both(verb, kind, person)

        @rule(minutes=st.sampled_from(["1", "59", "360", "2880"]), then=st.sampled_from(["expire", "supersede", "run"]))
        def wait(self, minutes: str, then: str) -> None:
            self.both("advance", minutes)
            self.both(then)

        @rule(moves=st.lists(at_once, min_size=2, max_size=2))
        def at_the_same_moment(self, moves: list[Move]) -> None:
            self.need_a_card()
            if sum(name in ALONE for name, *_ in moves) > 1:
                moves = [moves[0], ("approve", "ann")]
            possible = []
            for order in ((0, 1), (1, 0)):
                rules = copy.deepcopy(self.book)
                ends = {place: rules.play(moves[place]) for place in order}
                possible.append(((ends[0], ends[1]), rules))
            with ThreadPoolExecutor(2) as pool:
                found = tuple(pool.map(self.world.play, moves))
            # A sweep passes over a row that somebody is deciding on (SKIP LOCKED) and looks again a second later.
            found = tuple(
                self.world.play(move) if (move, end) in PASSED_OVER else end
                for move, end in zip(moves, found, strict=True)
            )
            # A worker needs several transactions: in between, what is approved is being executed.
            found = tuple("approved" if end == "executing" else end for end in found)
            state = self.world.state()
            fits = [rules for ends, rules in possible if (ends, state_of(rules)) == (found, state)]
            assert fits, (moves, found, state, possible)
            self.book = fits[0]

        @invariant()
        def it_is_as_the_rules_say(self) -> None:
            assert self.world.state() == state_of(self.book)

        @invariant()
        def the_same_version_answers(self) -> None:
            assert self.world.champion() == self.book.champion

        def teardown(self) -> None:
            with bench.services.store.read() as session:
                assert audit.verify(session).whole
                done = session.scalar(select(func.count()).select_from(Execution).where(Execution.state == "done"))
                made = [session.scalar(select(func.count()).select_from(table)) for table in (Deployment, UnfitWindow)]
                assert done == sum(made) - 1, (
                    "each execution has its one effect (the first deployment was no execution)"
                )

    return Deciding


@pytest.mark.timeout(4 * 3600)
def test_whatever_comes_first_the_rulebook_is_kept(bench):
    bench.policy = POLICY
    bench.add_versions(False, True)
    deployment.promote(bench.services.registry, "churn", "2", expected="1")
    examples = EXAMPLES[bench.services.store.engine.dialect.name] * (20 if SCALE > 1 else 1)
    run_state_machine_as_test(
        machine(bench),
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=SCALE == 1,
            phases=[Phase.generate] if SCALE == 1 else [Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
