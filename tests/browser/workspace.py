"""A workspace for browsers, made in a few seconds: `churn` gets a bad version whose harm can be watched, approved
against and repaired, for real; `bike-demand` has a whole incident behind it, `idle` was never looked at.

The clock is the real one plus what a test adds, so that browsers and server agree on the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from agent import executor
from agent.bootstrap import build
from agent.commands.workspace import init_workspace
from agent.pipeline import people, watch
from agent.pipeline.services import Services
from agent.pipeline.sessions import open_session
from agent.settings import load_settings
from agent.store import queries
from agent.store.tables import Deployment, Model
from ml.models import deployment, recipes, training
from ml.spec import ModelSpec, parse_spec
from tests.agent.conftest import SPEC, rows
from tests.agent.reports.story import Story, day

POLICY = """
people:
  ann: {roles: [approver, lead]}
  ben: {roles: [approver, lead]}
  cat: {roles: [viewer]}
risk:
  low: {approvals: 1}
  medium: {approvals: 1}
  high: {approvals: 2}
cooldown: 0
max_actions_per_hour: 1000
"""
LOOK = timedelta(hours=6)


class MovingClock:
    """The real time, and what was added to it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def advance(self, span: timedelta) -> datetime:
        self.ahead += span
        return self()


@dataclass
class Place:
    """The workspace, and what the world outside it does."""

    services: Services
    spec: ModelSpec
    clock: MovingClock
    arrived: datetime

    def arrive(self, span: timedelta, *, seed: int) -> None:
        """Rows of the next span come in, are answered by the champion, and their labels are known at once."""
        start, registry = self.arrived, self.services.registry
        frame = rows(start, int(span / timedelta(minutes=10)), seed=seed)
        champion = registry.champion("churn")
        assert champion is not None
        answers = registry.load("churn", champion.version, self.spec).predict(frame)
        logged = frame.assign(prediction=answers["prediction"], score=answers["score"], model_version=champion.version)
        log, batch = self.services.log, f"{start}"
        log.append_predictions(self.spec, logged.drop(columns="label"), batch_id=batch)
        labels = frame[["prediction_id", "label"]].assign(label_timestamp=frame["timestamp"])
        log.append_labels(self.spec, labels, batch_id=batch, as_of=start + span)
        self.arrived = start + span

    def pass_time(self, span: timedelta, *, seed: int) -> None:
        """Time goes on, rows arrive, and the watch takes its turn."""
        self.arrive(span, seed=seed)
        self.clock.ahead = max(self.clock.ahead, self.arrived - datetime.now(UTC) + timedelta(seconds=1))
        watch.watch(self.services, "churn", self.arrived)

    def execute(self) -> int:
        return executor.run_ready(self.services, worker="browser-tests")

    def release_bad_version(self) -> None:
        """Somebody deploys version 2, which has learnt that the plan decides and was tested on such rows."""
        deployment.promote(self.services.registry, "churn", "2", expected="1")
        with self.services.store.write() as session:
            session.add(Deployment(model="churn", version="2", kind="promote", at=self.arrived, note="nightly build"))

    def go_wrong(self) -> str:
        """The bad version answers for a while; the proposal that the watch files."""
        self.release_bad_version()
        for turn in range(8):
            self.pass_time(LOOK, seed=100 + turn)
            with self.services.store.read() as session:
                found = queries.live_proposal(session, "churn")
            if found is not None and found.incident_id:
                return found.id
        raise AssertionError("the watch has proposed nothing")

    def sign_in(self, name: str) -> str:
        """The secret of a fresh session."""
        with self.services.store.write() as session:
            person = people.found(session, name)
            assert person is not None
            return open_session(session, self.services, person, how="test").secret


def make(folder: Path) -> Services:
    """The workspace on disk, before anything has happened to `churn`."""
    init_workspace(folder, person="ann")
    (folder / "models" / "example.yaml").unlink()
    (folder / "models" / "churn.yaml").write_text(SPEC)
    (folder / "approvals.yaml").write_text(POLICY)
    return build(load_settings({}, home=folder), migrate=True)


def _misled(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows, as if the plan decided: what the bad version has learnt, and was tested on."""
    return frame.assign(label=(frame["plan"] == "a").astype(int))


def reopen(folder: Path, begin: datetime) -> Place:
    """A copy of a furnished workspace, with a clock of its own."""
    clock = MovingClock()
    services = replace(build(load_settings({}, home=folder)), wall=clock)
    return Place(services, parse_spec(SPEC), clock, begin)


def furnish(services: Services) -> Place:
    """Two versions of `churn`, the good one champion with three days of rows; the other models' records."""
    spec, clock = parse_spec(SPEC), MovingClock()
    services = replace(services, wall=clock)
    begin = (clock() - timedelta(days=3)).replace(minute=0, second=0, microsecond=0)
    with services.store.write() as session:
        session.add(Model(name="churn", spec=SPEC, registered_at=begin))
        session.flush()
        session.add(Deployment(model="churn", version="1", kind="first", at=begin))
    for number, misled in enumerate((False, True)):
        past, held_out = (
            rows(begin - timedelta(days=8), 300, seed=number),
            rows(begin - timedelta(days=5), 120, seed=50),
        )
        if misled:
            past, held_out = _misled(past), _misled(held_out)
        model = recipes.fit(spec, past)
        training.register_external(
            spec, model, registry=services.registry, run_tag=f"test-{number}", reference=held_out
        )
    deployment.promote(services.registry, "churn", "1", expected=None)
    place = Place(services, spec, clock, begin)
    place.arrive(timedelta(days=3), seed=7)
    for hours in range(54, 73, 6):
        watch.watch(services, "churn", begin + timedelta(hours=hours))
    with services.store.write() as session:
        from agent.pipeline.report import write_report

        story = Story(session).whole()
        write_report(services, session, queries.spec_of(session, story.name), story.incident, day(43))
        text = "name: idle\ntask: binary\nfeatures:\n  a: {type: numeric}\nowner: '#idle'\n"
        session.add(Model(name="idle", spec=text, registered_at=day(0)))
        for name, role in (("ann", "admin"), ("ben", "approver"), ("cat", "viewer")):
            people.add(session, services, name, role=role, by="test")
    return place
