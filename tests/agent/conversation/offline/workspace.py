"""A workspace that stands still: churn in trouble with a proposal that waits, bike-demand recovered, rainfall healthy,
fraud-score never looked at. Real tables, the real reading of them; only the registry and the trial are plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from agent.conversation.records import Sources, StoredRecords
from agent.domain.policy import Policy
from agent.reports.comparison import comparison_facts
from agent.reports.period import period_facts
from agent.reports.timeline import timeline
from agent.store.session import Store
from agent.store.tables import Deployment, MeasurementRow, Model, MonitorRun
from ml.models.registry import VersionInfo
from tests.agent.reports.story import Story, day
from tests.furnish import furnish
from tools import catalogue
from tools.context import Caller, Found, ToolContext, Wanted
from tools.results import ToolResult

NOW = day(45.5)
"""Sunday noon, 15 February 2026."""
CHURN = """name: churn
task: binary
metric: roc_auc
owner: '#growth'
label_delay: 14d
segments: [region]
features:
  tenure: {type: numeric}
  monthly_charges: {type: numeric}
  contract: {type: categorical}
  region: {type: categorical}
  support_calls: {type: numeric}
"""
DRIFT = {"tenure": 0.412, "monthly_charges": 0.031, "contract": 0.02, "region": 0.011, "support_calls": 0.008}
RUNBOOKS = {
    "drift": "# When an input drifts\n\nDrift alone is no reason to retrain: ask what the trial shows.\n",
    "labels": "# When labels are late\n\nAsk the warehouse team.\n",
}
POLICY = {"people": {"ana": {}, "rita": {}}, "risk": {risk: {"approvals": 1} for risk in ("high", "medium", "low")}}


def populate(session: Session) -> dict[str, str]:
    """Fill the tables; the ids that questions name stand for these."""
    bikes = Story(session, name="bike-demand")
    errors = {n: 14.0 if n <= 30 else 14.0 + 2 * (n - 30) for n in range(20, 42)} | dict.fromkeys(range(42, 46), 15.0)
    bikes.watched(values=errors).opened()
    done = bikes.proposed(diagnosis=bikes.diagnosed())
    bikes.judged(done, bikes.executed(done, bikes.approved(done)))
    Story(session, name="rainfall", title="none").watched(values=dict.fromkeys(range(40, 46), 14.0))
    Story(session, name="fraud-score").watched(values={})
    churn = Story(
        session, name="churn", metric="roc_auc", title="roc_auc 0.712 on 1900 labelled rows", features=("tenure",)
    )
    session.add(Model(name="churn", spec=CHURN, registered_at=day(0)))
    session.flush()
    for version, number, note in (("1", 0, ""), ("2", 10, ""), ("3", 28, "nightly build")):
        session.add(Deployment(model="churn", version=version, kind="promote", at=day(number), note=note))
    for number in range(25, 46):
        _look(session, number, 0.861 if number < 33 else 0.712)
    churn.opened(36)
    proposal = churn.proposed(44, diagnosis=churn.diagnosed(37))
    return {"i-7k2m9xq4c1": churn.incident.id, "p-4x9d2qk7wm": proposal.id, "i-bikes": bikes.incident.id}


def _look(session: Session, number: int, auc: float) -> None:
    """One look at churn: the metric, its slices, the drift of each feature, an estimate, how complete the data is."""
    run = MonitorRun(
        model="churn", window_start=day(number - 7), window_end=day(number), rows=4200, champion="3", seconds=0.2
    )
    session.add(run)
    session.flush()
    bad = auc < 0.8

    def measured(monitor: str, value: float, *, threshold: float | None, breach: bool = False, **more: Any) -> None:
        row: dict[str, Any] = {"n": 4200, "unit": "", "low": None, "high": None, "detail": "", "facts": {}, **more}
        status = "breach" if breach else "ok"
        start, end = run.window_start, run.window_end
        session.add(
            MeasurementRow(
                run_id=run.id,
                model="churn",
                monitor=monitor,
                window_start=start,
                window_end=end,
                value=value,
                threshold=threshold,
                status=status,
                **row,
            )
        )

    measured("performance.roc_auc", auc, threshold=0.8, breach=bad, low=auc - 0.02, high=auc + 0.02, n=1900)
    measured("performance.loss", 0.21 if bad else 0.01, threshold=0.05, breach=bad, n=1900)
    for segment, rise in (("region=north", 0.382), ("region=south", 0.014)):
        measured(
            "performance.segment",
            rise if bad else 0.01,
            threshold=0.05,
            breach=bad and rise > 0.1,
            segment=segment,
            n=950,
        )
    measured("estimation.loss", 0.173 if bad else 0.012, threshold=0.05, breach=bad, low=0.151, high=0.196)
    for feature, value in DRIFT.items():
        moved = feature == "tenure" and bad
        measured("drift.psi", value if bad else 0.01, threshold=0.1, breach=moved, feature=feature, unit="psi")
        measured("quality.nulls", 0.004, threshold=0.05, feature=feature, unit="share")
    session.flush()


def versions(model: str) -> list[VersionInfo]:
    """What the registry says, as the plain values that it gives."""
    if model == "fraud-score":
        return []
    count = 3 if model == "churn" else 2
    return [
        VersionInfo(
            model=model,
            version=str(n),
            created_at=day(9 * n),
            run_id=f"run{n}",
            metrics={"roc_auc": 0.8 + n / 50},
            params={"max_depth": str(2 + n)},
            aliases=("champion",) if n == count else (),
        )
        for n in range(count, 0, -1)
    ]


@dataclass
class Sink:
    """Keeps what was proposed; files nothing."""

    wanted: list[Wanted] = field(default_factory=list)

    def propose(self, wanted: Wanted, why: str, caller: Caller) -> Mapping[str, Any]:
        self.wanted.append(wanted)
        risk = {"retrain": "high", "promote": "high", "rollback": "medium", "recalibrate": "medium"}
        return {
            "id": "p-zz9d2qk7wm", "kind": str(wanted.kind), "risk": risk.get(str(wanted.kind), "low"),
            "state": "pending",
            "approve_by": NOW + timedelta(hours=24), "digest": "0" * 64,
        }  # fmt: skip


class Trial:
    """One trial on record, whatever is tried."""

    def what_if(self, model: str, action: str, to_version: str | None) -> Found:
        return Found(
            {
                "metric": "roc_auc", "better": "higher", "before": 0.712, "after": 0.843, "difference": 0.131,
                "low": 0.102, "high": 0.159, "n": 1900, "note": "",
            },
            n=1900,
        )  # fmt: skip


@dataclass
class Workspace:
    store: Store
    context: ToolContext
    ids: dict[str, str]
    sink: Sink

    def named(self, text: str) -> str:
        """A question with the ids of this workspace."""
        for written, real in self.ids.items():
            text = text.replace(written, real)
        return text

    def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        return catalogue.call(name, arguments, self.context)


def workspace(folder: Path) -> Workspace:
    store = Store(f"sqlite:///{folder / 'watchkeeper.db'}")
    furnish(store)
    with store.write() as session:
        ids = populate(session)
    (folder / "runbooks").mkdir()
    for name, text in RUNBOOKS.items():
        (folder / "runbooks" / f"{name}.md").write_text(text)
    policy = Policy.model_validate(POLICY)
    sources = Sources(store, folder, lambda: policy, versions, timeline, period_facts, comparison_facts)
    caller, sink = Caller("sam", may_propose=True), Sink()
    return Workspace(store, ToolContext(NOW, caller, StoredRecords(sources, caller, NOW), sink, Trial()), ids, sink)
