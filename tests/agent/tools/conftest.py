"""A workspace with a whole story in its records: an incident that was diagnosed, acted on and verified, a second one
that is open, a proposal that waits, a runbook, and a model that was never looked at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from agent.pipeline.tooling import tool_context
from agent.store.tables import MeasurementRow, Model, MonitorRun
from ml.models import deployment
from tests.agent.reports.story import Story, day
from tools.context import Caller, ToolContext

ANN = Caller("ann", "person", may_propose=True)


def tell(session: Any) -> None:
    """The records of `bike-demand`: 30 looks, two incidents."""
    one = Story(session).whole()
    session.add(
        Model(
            name="idle",
            spec="name: idle\ntask: binary\nfeatures:\n  a: {type: numeric}\nsegments: [a]\nowner: '#idle'\n",
            registered_at=day(0),
        )
    )
    run = session.query(MonitorRun).order_by(MonitorRun.window_end.desc()).first()
    for feature, monitor, segment, value, status in (
        ("temp", "drift.psi", None, 0.41, "breach"),
        ("hum", "drift.psi", None, 0.02, "ok"),
        ("wind", "drift.psi", None, None, "no_data"),
        (None, "performance.segment", "season=winter", 9.5, "breach"),
        (None, "performance.loss", None, 4.0, "breach"),
        (None, "estimation.loss", None, 3.5, "breach"),
    ):
        session.add(
            MeasurementRow(
                run_id=run.id, model="bike-demand", monitor=monitor, feature=feature, segment=segment,
                window_start=run.window_start, window_end=run.window_end, value=value, low=None, high=None, n=1000,
                unit="psi" if monitor == "drift.psi" else "loss", threshold=0.1, status=status,
                detail=f"{feature}: seen", facts={},
            )
        )  # fmt: skip
    one.title = "temp is broken"
    one.opened(48)
    one.proposed(49, diagnosis=one.diagnosed(48.5))


@pytest.fixture
def context(bench: Any, at: Callable[[str], Any]) -> ToolContext:
    """The tools as ann calls them; the records end at day 50 (2026-02-20), and the clock stands there."""
    bench.clock.time = day(50)
    with bench.services.store.write() as session:
        tell(session)
    (bench.services.home / "runbooks").mkdir()
    (bench.services.home / "runbooks" / "drift.md").write_text("# When inputs drift\n\nAsk the owner of the feed.\n")
    return tool_context(bench.services, ANN)


@pytest.fixture
def lived_in(bench: Any) -> Any:
    """`churn` with two versions, the second one champion, and labelled rows of the last days."""
    first, second = bench.add_versions(False, True)
    deployment.promote(bench.services.registry, "churn", second, expected=first)
    from agent.store.tables import Deployment

    with bench.services.store.write() as session:
        session.add(Deployment(model="churn", version=second, kind="promote", at=bench.clock() - timedelta(days=3)))
    bench.serve(bench.clock() - timedelta(days=2), 250, seed=7)
    return bench
