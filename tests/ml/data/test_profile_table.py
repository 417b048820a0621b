"""One aggregate, several engines: what PostgreSQL and Spark count is what memory counts."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sqlalchemy.engine import make_url

from ml.data.bins import BinSet, make_bins
from ml.data.profile_table import profile_table
from ml.data.profiles import MAX_UNSEEN, Profile, merge, profile_hours
from ml.data.sample import sample_frame, sample_table
from ml.data.tables import normalize
from ml.errors import InvalidInput
from ml.monitors.drift import drift
from ml.results import Status, Window
from ml.spec import ModelSpec, parse_spec

START = datetime(2026, 1, 1, tzinfo=UTC)
FEATURES = """
features:
  income: {type: numeric}
  share: {type: numeric, range: [0, 1]}
  region: {type: categorical}
  customer: {type: categorical}
  owner: {type: boolean}
  since: {type: datetime}
  note: {type: text}
  gone: {type: numeric}
"""
SPECS = {task: parse_spec(f"name: loans\ntask: {task}\n{FEATURES}") for task in ("binary", "multiclass", "regression")}
ABSURD = [0.0, -0.0, np.inf, -np.inf, 1e300, -1e300, 1.7e308, 5e-324, np.nan, None]


def rows(spec: ModelSpec, n: int = 4_000) -> pd.DataFrame:
    """Everything that engines disagree about, over three hours that begin in the middle of one."""
    rng = np.random.default_rng(0)
    income = rng.lognormal(8, 2, n).astype(object)
    income[: 5 * len(ABSURD)] = ABSURD * 5
    regression = spec.name and spec.task == "regression"
    answers = rng.normal(size=n) if regression else rng.choice(["0", "1", "2"], n)
    frame = pd.DataFrame(
        {
            "prediction_id": [f"p{k}" for k in range(n)],
            "timestamp": pd.Timestamp(START)
            + pd.to_timedelta(np.sort(rng.integers(30 * 60 * 10**6, 200 * 60 * 10**6, n)), unit="us"),
            "income": income,
            "share": rng.choice([0.0, 0.05, 0.1, 0.3, 1.0, 1.5, np.nan], n),
            "region": rng.choice(np.array(["north", "Süd-West", "new'one", "", " padded ", "北", None], object), n),
            "customer": [f"c{k}" for k in rng.integers(0, 3_000, n)],
            "owner": rng.choice(np.array([True, False, None], object), n),
            "since": pd.Timestamp("2024-03-30 23:59:59.999999+00:00") + pd.to_timedelta(rng.integers(0, 10**9, n), "s"),
            "note": rng.choice(np.array(["late again", "ÜBER late, 3 times", "", None, "一 二"], object), n),
            "prediction": answers,
            "score": rng.choice([0.0, 0.05, 0.15, 0.5, 0.95, 1.0, np.nan], n),
            "label": pd.Series(rng.permutation(answers), dtype=object).mask(rng.random(n) < 0.3),
        }
    )
    return normalize(frame, spec, role="current")


def bins_of(spec: ModelSpec, frame: pd.DataFrame) -> BinSet:
    """Edges that are observed values, so that a comparison that is off by a bit is seen."""
    return make_bins(spec, frame.sample(1_500, random_state=1).assign(gone=1.0, customer="c1"))


def assert_same(here: dict[datetime, Profile], there: dict[datetime, Profile]) -> None:
    assert list(here) == list(there)
    for a, b in zip(here.values(), there.values(), strict=True):
        for column in a.bins.index:
            assert a.column(column).slots.tolist() == b.column(column).slots.tolist(), column
        assert (a.rows, a.first, a.last, a.duplicates) == (b.rows, b.first, b.last, b.duplicates)
        assert {c: dict(v) for c, v in a.unseen.items()} == {c: dict(v) for c, v in b.unseen.items()}
        assert a.extremes.tolist() == b.extremes.tolist()
        tame = [a.bins.index[c] for c in a.bins.index if c != "income"]  # 1.7e308 and its square are infinite
        np.testing.assert_allclose(b.sums[tame], a.sums[tame], rtol=1e-9, atol=1e-9)
        assert b.joint[:, 0].tolist() == a.joint[:, 0].tolist()
        np.testing.assert_allclose(b.joint, a.joint, rtol=1e-9, atol=1e-9)


def stored(frame: pd.DataFrame) -> pa.Table:
    """As a warehouse holds it: without the columns that are not there."""
    return pa.Table.from_pandas(frame.drop(columns=["gone", "label_timestamp"], errors="ignore"), preserve_index=False)


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Any]:
    import ibis

    address = make_url(postgres_url)
    engine = ibis.postgres.connect(
        user=address.username, password=address.password, host=address.query["host"], database=address.database
    )
    # The session's zone must not move the hours.
    engine.raw_sql("SET timezone = 'Asia/Kolkata'").close()
    yield engine
    engine.disconnect()


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip(
            "pyspark is not installed (it is no dependency): pip install pyspark, and Java 17, to test on Spark"
        )
    if shutil.which("java") is None:
        pytest.skip("there is no Java for Spark to run on")
    import ibis
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.sql.session.timeZone", "Asia/Kolkata")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        .getOrCreate()
    )
    yield ibis.pyspark.connect(session)
    session.stop()


@pytest.mark.parametrize("task", sorted(SPECS))
def test_postgres_counts_what_memory_counts(postgres: Any, task: str) -> None:
    spec = SPECS[task]
    frame = rows(spec)
    bins = bins_of(spec, frame)
    table = postgres.create_table("log", stored(frame))
    here = profile_hours(frame.drop(columns="gone", errors="ignore"), bins)
    there = profile_table(table, bins)
    assert_same(here, there)
    assert len(there) == 4
    assert max(len(profile.unseen["customer"]) for profile in there.values()) <= MAX_UNSEEN
    assert merge(there.values()).labelled > 2_000


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # Spark's own
@pytest.mark.parametrize("task", sorted(SPECS))
def test_spark_counts_what_memory_counts(spark: Any, task: str, tmp_path: Path) -> None:
    spec = SPECS[task]
    frame = rows(spec)
    bins = bins_of(spec, frame)
    stored(frame).to_pandas().to_parquet(tmp_path / "log.parquet")
    table = spark.read_parquet(tmp_path / "log.parquet")
    here = profile_hours(frame.drop(columns="gone", errors="ignore"), bins)
    assert_same(here, profile_table(table, bins))
    assert sample_table(table, 20)["prediction_id"].tolist() == sample_frame(frame, 20)["prediction_id"].tolist()


def test_a_sample_is_the_same_wherever_it_is_taken(postgres: Any) -> None:
    frame = rows(SPECS["binary"], 500)
    there = sample_table(postgres.create_table("log", stored(frame)), 20)["prediction_id"].tolist()
    assert there == sample_frame(frame, 20)["prediction_id"].tolist()
    halves = pd.concat([sample_frame(frame.iloc[k::2], 20) for k in (0, 1)])
    assert there == sample_frame(halves, 20)["prediction_id"].tolist()


def test_a_table_in_other_types_is_still_profiled(postgres: Any) -> None:
    """Whole numbers and booleans for classes, decimals for numbers, times without a zone, ids that repeat."""
    spec = SPECS["binary"]
    frame = rows(spec, 300)
    bins = bins_of(spec, rows(spec))
    given = stored(frame).to_pandas().assign(income=1.5)
    given.loc[:9, "prediction_id"] = "again"
    given.loc[10:11, "prediction_id"] = None
    given = given[given["label"].notna()].assign(prediction_id=lambda f: f["prediction_id"].astype(object))
    postgres.create_table("given", pa.Table.from_pandas(given, preserve_index=False))
    table = postgres.table("given")
    table = table.mutate(
        prediction=table["prediction"] == "1",
        label=table["label"].cast("int64").cast("float64"),
        income=table["income"].cast("decimal(10, 2)"),
        share=table["share"].cast("string"),
        owner=table["owner"].cast("int32"),
        since=table["since"].cast("string"),
    )
    there = merge(profile_table(table, bins).values())
    whole = merge(profile_hours(given.assign(prediction=np.where(given["prediction"] == "1", "1", "0")), bins).values())
    assert there.joint[:, 0].tolist() == whole.joint[:, 0].tolist()
    assert there.column("prediction").slots.tolist() == whole.column("prediction").slots.tolist()
    assert there.column("owner").slots.tolist() == whole.column("owner").slots.tolist()
    assert there.column("income").slots.tolist() == whole.column("income").slots.tolist()
    assert there.column("share").invalid == given["share"].notna().sum()
    assert there.column("share").null == given["share"].isna().sum()
    assert there.column("since").invalid == len(given)
    assert there.duplicates == whole.duplicates > 0


def test_texts_stay_inside_if_told(postgres: Any) -> None:
    spec = SPECS["binary"]
    frame = rows(spec, 300)
    bins = bins_of(spec, rows(spec))
    table = postgres.create_table("log", stored(frame))
    out, inside = (merge(profile_table(table, bins, texts=texts).values()) for texts in (True, False))
    assert out.column("note").tokens[0] > 0
    assert inside.column("note").tokens == (0, 0)
    assert inside.column("note").inner.tolist() == out.column("note").inner.tolist()
    found = drift(spec, out, inside, window=Window(START, START + timedelta(hours=4)))
    assert [m.status for m in found if m.monitor == "drift.vocabulary"] == [Status.NO_DATA]


def test_a_table_without_times_is_refused(postgres: Any) -> None:
    frame = rows(SPECS["binary"], 60)
    table = postgres.create_table("log", stored(frame)).rename(scored_at="timestamp")
    with pytest.raises(InvalidInput, match="has no column `timestamp`"):
        profile_table(table, bins_of(SPECS["binary"], rows(SPECS["binary"])))
    with pytest.raises(InvalidInput, match="whole seconds"):
        profile_table(
            table.rename(timestamp="scored_at"),
            bins_of(SPECS["binary"], rows(SPECS["binary"])),
            every=timedelta(milliseconds=1500),
        )


def test_the_page_on_warehouses_runs(
    postgres: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    page = Path(__file__).parents[3] / "docs/how-to/warehouse.md"
    connect, work = re.findall(r"^```python\n(.+?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert "ibis.postgres.connect" in connect
    spec = SPECS["binary"]
    frame = rows(spec)
    later = frame.assign(timestamp=frame["timestamp"] + timedelta(days=61), prediction_id="l" + frame["prediction_id"])
    given = pd.concat([frame, later.assign(share=1.0)]).rename(
        columns={"timestamp": "answered_at", "prediction": "answer"}
    )
    (tmp_path / "models").mkdir()
    (tmp_path / "models/loans.yaml").write_text(f"name: loans\ntask: binary\n{FEATURES}")
    monkeypatch.chdir(tmp_path)
    exec(compile(work, str(page), "exec"), {"table": postgres.create_table("answers", stored(given))})
    said = capsys.readouterr().out
    assert "breach share" in said
    assert "ok region" in said
