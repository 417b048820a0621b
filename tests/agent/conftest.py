"""A workspace for the agent's tests: a real database, a real log, a real MLflow; only the clock stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agent.domain.policy import Person, Policy, Rule
from agent.pipeline.services import Services
from agent.store import audit, queries
from agent.store.session import Store
from agent.store.tables import Deployment, Incident, Model, Proposal
from ml.data.prediction_log import PredictionLog
from ml.models import deployment, recipes, training
from ml.models.registry import Registry
from ml.spec import ModelSpec, parse_spec
from notifications.journal import Journal
from tests.furnish import furnish
from tools import actions
from tools.actions import Action, Risk

SPEC = """
name: churn
task: binary
features:
  age: {type: numeric}
  plan: {type: categorical}
metric: accuracy
trainer: sklearn:LogisticRegression
window: 2d
training: {min_labels: 50, window: 10d}
verification: {rows: 40, time: 3d}
owner: "#churn"
data_owner: "#feeds"
"""

POLICY = Policy(
    people={
        "ann": Person(),
        "ben": Person(),
        "cat": Person(roles=("viewer",)),
        "dan": Person(models=("other-*",)),
    },
    risk={risk: Rule(approvals=1) for risk in Risk},
    cooldown=timedelta(hours=1),
)


def rows(start: datetime, count: int, *, seed: int = 0, version: str = "1", flip: bool = False) -> pd.DataFrame:
    """Labelled rows, ten minutes apart; the label follows age. `flip`: the relation is turned round."""
    rng = np.random.default_rng(seed)
    age = rng.normal(50, 10, count)
    label = (age + rng.normal(0, 4, count) > 50).astype(int)
    return pd.DataFrame(
        {
            "prediction_id": [f"{start:%m%d%H%M}-{seed}-{i}" for i in range(count)],
            "timestamp": pd.date_range(start, periods=count, freq="10min", tz=None if start.tzinfo else "UTC"),
            "age": age,
            "plan": rng.choice(["a", "b"], count),
            "label": 1 - label if flip else label,
            "model_version": version,
        }
    )


@dataclass
class Bench:
    """A workspace under test, with the moves that tests make again and again."""

    services: Services
    spec: ModelSpec
    clock: Any
    policy: Policy = POLICY
    counter: list[int] = field(default_factory=lambda: [0])

    def add_versions(self, *flips: bool) -> list[str]:
        """Register one version for each flag (True: a bad one), the first of them champion."""
        found = []
        for number, flip in enumerate(flips):
            past = rows(self.clock() - timedelta(days=8 + number), 300, seed=number)
            model = recipes.fit(self.spec, past.assign(label=1 - past["label"]) if flip else past)
            held_out = rows(self.clock() - timedelta(days=5), 120, seed=50)
            candidate = training.register_external(
                self.spec, model, registry=self.services.registry, run_tag=f"test-{number}", reference=held_out
            )
            found.append(candidate.version)
        deployment.promote(self.services.registry, "churn", found[0], expected=None)
        with self.services.store.write() as session:
            session.add(Deployment(model="churn", version=found[0], kind="first", at=self.clock() - timedelta(days=6)))
        return found

    def retrained_by(self, trainer: str) -> None:
        """From now on the spec names another trainer."""
        text = SPEC.replace("sklearn:LogisticRegression", trainer)
        self.spec = parse_spec(text)
        with self.services.store.write() as session:
            session.get_one(Model, self.spec.name).spec = text

    def serve(self, start: datetime, count: int, **options: Any) -> None:
        """Rows arrive, are answered by the champion, and their labels are known at once."""
        frame = rows(start, count, **options)
        champion = self.services.registry.champion("churn")
        assert champion is not None
        model = self.services.registry.load("churn", champion.version, self.spec)
        answers = model.predict(frame)
        logged = frame.assign(prediction=answers["prediction"], score=answers["score"], model_version=champion.version)
        self.services.log.append_predictions(self.spec, logged.drop(columns="label"), batch_id=f"{start}-{options}")
        labels = frame[["prediction_id", "label"]].assign(label_timestamp=frame["timestamp"])
        self.services.log.append_labels(self.spec, labels, batch_id=f"{start}-{options}", as_of=self.clock())

    def propose(self, action: Action, *, incident: bool = False, requested_by: str = "watchkeeper") -> str:
        """A pending proposal, as the watch would file it."""
        with self.services.store.write() as session:
            from agent.pipeline.propose import file_proposal

            row = None
            if incident:
                row = Incident(
                    model="churn", state="diagnosed", severity="critical", title="test", opened_at=self.clock()
                )
                session.add(row)
                session.flush()
            filed = file_proposal(
                self.services,
                session,
                self.spec,
                action,
                None,
                row,
                at=self.clock(),
                requested_by=requested_by,
                why="because",
            )
            return filed.id

    def proposal(self, wanted: str) -> Proposal:
        with self.services.store.read() as session:
            return queries.by_id(session, Proposal, wanted)

    def events(self, subject: str) -> list[str]:
        """The audit's events about a subject, in order; the whole chain is checked on the way."""
        from sqlalchemy import select

        from agent.store.tables import AuditEvent

        with self.services.store.read() as session:
            assert audit.verify(session).whole
            return list(
                session.scalars(select(AuditEvent.event).where(AuditEvent.subject == subject).order_by(AuditEvent.seq))
            )

    def rollback(self, expected: str = "2", to: str = "1") -> Action:
        return actions.Rollback(model="churn", expected_version=expected, to_version=to)


@pytest.fixture(scope="session")
def registry_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow store, migrated once (it takes seconds) and copied for each test."""
    folder = tmp_path_factory.mktemp("mlflow")
    Registry(f"sqlite:///{folder / 'mlflow.db'}").versions("nothing")
    return folder / "mlflow.db"


@contextmanager
def opened_bench(database_url: str, folder: Path, template: Path, clock: Callable[[], datetime]) -> Iterator[Bench]:
    """A workspace in an empty folder, with an empty database and a copy of an empty MLflow store."""
    (folder / "mlflow.db").write_bytes(template.read_bytes())
    store = Store(database_url)
    furnish(store)
    made: list[Bench] = []
    services = Services(
        home=folder,
        store=store,
        log=PredictionLog(str(folder / "log")),
        registry=Registry(f"sqlite:///{folder / 'mlflow.db'}"),
        policy=lambda: made[0].policy,
        channel=Journal(folder / "notifications.jsonl"),
        wall=clock,
    )
    spec = parse_spec(SPEC)
    with store.write() as session:
        session.add(Model(name=spec.name, spec=SPEC, registered_at=clock()))
    made.append(Bench(services, spec, clock))
    yield made[0]
    store.close()


@pytest.fixture
def bench(database_url: str, tmp_path: Path, registry_template: Path, clock: Callable[[], datetime]) -> Iterator[Bench]:
    with opened_bench(database_url, tmp_path, registry_template, clock) as made:
        yield made
