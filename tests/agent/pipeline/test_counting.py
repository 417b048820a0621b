"""The test over all looks counts every labelled row once: late, corrected, after a restart, after a deployment."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
from sqlalchemy import select

from agent.pipeline.watch import watch
from agent.store.session import Store
from agent.store.tables import Alert, Deployment, MeasurementRow, MonitorRun
from ml.models import deployment

DAY = timedelta(days=1)


def turn(bench, days=1.0):
    bench.clock.advance(f"{int(days * 24)}h")
    return watch(bench.services, "churn", bench.clock())


def counted(bench):
    """Rows that the test has counted so far, by the latest look."""
    with bench.services.store.read() as session:
        run = session.scalars(select(MonitorRun).order_by(MonitorRun.window_end.desc())).first()
        return max(channel[3]["rows"] for channel in run.state["rise"]["channels"]) if run.state else 0


def serve(bench, count, *, labelled=None, prefix="r", flip=False, seed=0):
    """Rows of the last day are answered and logged; the labels of the first `labelled` of them are known at once."""
    rng = np.random.default_rng(seed)
    age = rng.normal(50, 10, count)
    start = bench.clock() - DAY
    label = ((age > 50) != flip).astype(int)
    frame = pd.DataFrame(
        {
            "prediction_id": [f"{prefix}{i}" for i in range(count)],
            "timestamp": pd.date_range(start, periods=count, end=bench.clock() - timedelta(minutes=1)),
            "age": age,
            "plan": rng.choice(["a", "b"], count),
        }
    )
    champion = bench.services.registry.champion("churn")
    answers = bench.services.registry.load("churn", champion.version, bench.spec).predict(frame)
    logged = frame.assign(prediction=answers["prediction"], score=answers["score"], model_version=champion.version)
    bench.services.log.append_predictions(bench.spec, logged, batch_id=f"{prefix}-rows")
    labels = frame[["prediction_id"]].assign(label=label, label_timestamp=frame["timestamp"])
    known = count if labelled is None else labelled
    bench.services.log.append_labels(bench.spec, labels.head(known), batch_id=f"{prefix}-labels", as_of=bench.clock())
    return labels


def ready(bench):
    bench.add_versions(False, True)
    bench.clock.advance("24h")


def test_each_row_counts_once_whatever_is_late_or_corrected(bench):
    ready(bench)
    labels = serve(bench, 100, labelled=60)
    watch(bench.services, "churn", bench.clock())
    assert counted(bench) == 60
    turn(bench, 0.25)
    assert counted(bench) == 60, "nothing new"
    late = labels.iloc[60:90]  # known long ago by their own stamp, and only now in the log
    bench.services.log.append_labels(bench.spec, late, batch_id="late", as_of=bench.clock())
    turn(bench, 0.25)
    assert counted(bench) == 90
    corrected = labels.head(10).assign(label=1 - labels["label"].head(10), label_timestamp=bench.clock())
    bench.services.log.append_labels(bench.spec, corrected, batch_id="corrected", as_of=bench.clock())
    turn(bench, 0.25)
    assert counted(bench) == 90, "a correction is no new row"


def test_a_restart_goes_on_where_the_last_look_stopped(bench):
    ready(bench)
    serve(bench, 80)
    watch(bench.services, "churn", bench.clock())
    before = counted(bench)
    bench.services.store.close()
    object.__setattr__(bench.services, "store", Store(bench.services.store.url))
    turn(bench, 0.5)
    assert counted(bench) == before == 80


def test_a_watch_that_slept_for_weeks_skips_no_row(bench):
    ready(bench)
    serve(bench, 50, prefix="a")
    watch(bench.services, "churn", bench.clock())
    for k in range(8):
        bench.clock.advance("24h")
        serve(bench, 30, prefix=f"sleep{k}-", seed=k)
    watch(bench.services, "churn", bench.clock())
    assert counted(bench) == 50 + 8 * 30, "the window is two days, the rows of all eight count"


def test_another_champion_begins_anew_with_its_own_rows(bench):
    ready(bench)
    serve(bench, 80)
    watch(bench.services, "churn", bench.clock())
    assert counted(bench) == 80
    deployment.promote(bench.services.registry, "churn", "2", expected="1")
    with bench.services.store.write() as session:
        session.add(Deployment(model="churn", version="2", kind="promote", at=bench.clock()))
    bench.clock.advance("24h")
    serve(bench, 30, prefix="new")
    watch(bench.services, "churn", bench.clock())
    assert counted(bench) == 30


def test_harm_is_an_alert_with_its_beginning_and_the_windows_interval_beside_it(bench):
    ready(bench)
    serve(bench, 150)
    watch(bench.services, "churn", bench.clock())
    began = bench.clock()
    bench.clock.advance("24h")
    serve(bench, 150, prefix="bad", flip=True, seed=5)
    watch(bench.services, "churn", bench.clock())
    with bench.services.store.read() as session:
        alert = session.scalars(select(Alert).where(Alert.monitor == "performance.rise")).one()
        measured = session.scalars(
            select(MeasurementRow)
            .where(MeasurementRow.monitor == "performance.rise")
            .order_by(MeasurementRow.window_end.desc())
        ).first()
        accuracy = session.scalars(
            select(MeasurementRow)
            .where(MeasurementRow.monitor == "performance.accuracy")
            .order_by(MeasurementRow.window_end.desc())
        ).first()
    assert alert.severity == "critical"
    assert "rose to" in alert.detail
    assert measured.status == "breach"
    assert abs(pd.Timestamp(measured.facts["since"]) - pd.Timestamp(began)) < pd.Timedelta("3h")
    assert accuracy.status == "breach"
    assert accuracy.low < accuracy.value < accuracy.high < accuracy.threshold
