from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest

from ml.data.bins import BinSet, make_bins
from ml.data.delta import Batch
from ml.data.prediction_log import PredictionLog
from ml.data.profiles import Profile, merge, profile_frame
from ml.data.tables import normalize
from ml.errors import Unavailable
from ml.results import Window
from ml.serving.drain import Drain
from ml.serving.journal import Journal
from ml.serving.rows import Answers, Rows
from ml.serving.sampling import in_sample
from ml.spec import parse_spec

SPEC = parse_spec("""
name: loans
task: binary
features: {income: {type: numeric}, region: {type: categorical}}
logging: {sample: 0.2}
""")
START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def given(n: int) -> pd.DataFrame:
    chance = np.random.default_rng(0)
    raw = pd.DataFrame(
        {
            "prediction_id": [f"p{k}" for k in range(n)],
            "timestamp": pd.Timestamp(START) + pd.to_timedelta(np.arange(n) * 20, unit="s"),
            "income": np.where(chance.random(n) < 0.1, np.nan, chance.normal(size=n)),
            "region": chance.choice(["north", "south", "new"], n),
            "prediction": chance.choice([0, 1], n),
            "score": chance.random(n),
            "model_version": np.where(np.arange(n) < n / 2, "3", "4"),
        }
    )
    return normalize(raw, SPEC)


ROWS = given(600)
BINS = make_bins(SPEC, ROWS[ROWS["region"] != "new"])


def write(journal: Journal, frame: pd.DataFrame, *, route: str = "champion") -> None:
    for row in frame.to_dict("records"):
        rows = Rows({"income": [row["income"]], "region": [row["region"]]}, [row["prediction_id"]])
        answers = Answers([row["prediction"]], [row["score"]])
        at = row["timestamp"].timestamp()
        journal.record("loans", route, row["model_version"], rows, answers, 0.001, at)


def assert_same(a: Profile, b: Profile) -> None:
    assert a.counts.tolist() == b.counts.tolist()
    assert (a.rows, a.first, a.last) == (b.rows, b.first, b.last)
    assert a.extremes.tolist() == b.extremes.tolist()
    assert a.unseen == b.unseen
    np.testing.assert_allclose(a.sums, b.sums, rtol=1e-9)


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    log = PredictionLog(tmp_path / "log")
    log.profiles.keep_bins("loans", BINS)
    return log


def whole(log: PredictionLog, window: Window | None = None) -> Profile:
    kept = log.read(SPEC, window)
    return merge([profile_frame(kept, BINS), log.profiles.total("loans", window, BINS)])


def test_a_share_is_kept_and_the_profile_is_that_of_all(tmp_path: Path, log: PredictionLog) -> None:
    journal = Journal(tmp_path / "journal")
    drain = Drain(journal.root, log, {"loans": SPEC}.get)
    for part in (ROWS[:200], ROWS[200:400], ROWS[400:]):
        write(journal, part)
        drain.once()
    kept = log.read(SPEC, None)
    assert kept["prediction_id"].tolist() == ROWS["prediction_id"][in_sample(ROWS["prediction_id"], 0.2)].tolist()
    assert (drain.did.rows, drain.did.unsampled) == (len(kept), 600 - len(kept))
    assert 80 < len(kept) < 160
    assert_same(whole(log), profile_frame(ROWS, BINS))
    window = Window(START + HOUR, START + 3 * HOUR)
    inside = ROWS[(ROWS["timestamp"] >= window.start) & (ROWS["timestamp"] < window.end)]
    assert_same(whole(log, window), profile_frame(inside, BINS))
    versions = {version for _, version in log.profiles.read("loans", None, BINS)}
    assert versions == {"3", "4"}


def test_joined_profiles_are_the_same_and_fewer(tmp_path: Path, log: PredictionLog) -> None:
    journal = Journal(tmp_path / "journal")
    drain = Drain(journal.root, log, {"loans": SPEC}.get)
    for part in (ROWS[start : start + 100] for start in range(0, 600, 100)):
        write(journal, part)
        drain.once()
    table = log._table("loans", "profiles")
    before = table.open().to_pyarrow_dataset().count_rows()
    log.compact("loans")
    assert table.open().to_pyarrow_dataset().count_rows() == 5 < before  # 4 hours, two versions in one of them
    assert_same(whole(log), profile_frame(ROWS, BINS))
    write(journal, ROWS.assign(prediction_id="again" + ROWS["prediction_id"]))
    drain.once()
    assert whole(log).rows == 1200


class Breaking(PredictionLog):
    """Lands what it is given, and breaks off before it says so."""

    def append_predictions(self, *args: Any, **kwargs: Any) -> NoReturn:
        super().append_predictions(*args, **kwargs)
        raise Unavailable("gone")


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_a_crash_counts_nothing_twice(tmp_path: Path, log: PredictionLog, share: float) -> None:
    """Not even where the share is changed, and more has come, before it is done again."""
    journal = Journal(tmp_path / "journal")
    write(journal, ROWS[:400])
    changed = SPEC.model_copy(update={"logging": SPEC.logging.model_copy(update={"sample": share})})
    with pytest.raises(Unavailable, match="gone"):
        Drain(journal.root, Breaking(tmp_path / "log"), {"loans": changed}.get).once()
    write(journal, ROWS[400:])
    Drain(journal.root, log, {"loans": SPEC}.get).once()
    assert_same(whole(log), profile_frame(ROWS, BINS))


def test_until_the_bins_are_known_everything_is_kept(tmp_path: Path) -> None:
    journal, log = Journal(tmp_path / "journal"), PredictionLog(tmp_path / "log")
    drain = Drain(journal.root, log, {"loans": SPEC}.get)
    write(journal, ROWS[:100])
    drain.once()
    assert drain.did.rows == 100
    log.profiles.keep_bins("loans", BINS)
    write(journal, ROWS[100:])
    drain.once()
    assert drain.did.unsampled > 300
    assert_same(whole(log), profile_frame(ROWS, BINS))


def test_labels_and_shadow_answers_go_the_way_of_their_prediction(tmp_path: Path, log: PredictionLog) -> None:
    journal = Journal(tmp_path / "journal")
    drain = Drain(journal.root, log, {"loans": SPEC}.get)
    ids = ROWS["prediction_id"].tolist()
    outside = next(name for name in ids if not in_sample([name], 0.2)[0])
    earlier = pd.DataFrame(ROWS[ROWS["prediction_id"] == outside])
    log.append_predictions(SPEC, earlier, batch_id="loaded from a file")
    write(journal, ROWS)
    write(journal, ROWS, route="shadow")
    journal.record_labels("loans", ids, [1] * len(ids), [None] * len(ids), START.timestamp() + 1e6)
    drain.once()
    kept = log.read(SPEC, None)
    assert kept["label"].tolist() == ["1"] * len(kept)
    assert set(kept["prediction_id"]) - {outside} == set(log.read_shadow(SPEC, None)["prediction_id"])
    assert drain.did.labels == len(kept)
    assert drain.did.labels_unsampled == 600 - len(kept)


def test_other_bins_are_not_added(log: PredictionLog) -> None:
    other = make_bins(SPEC, ROWS[:50])
    log.profiles.append("loans", {(START, "3"): profile_frame(ROWS, BINS)}, Batch("a"))
    log.profiles.keep_bins("loans", other)
    log.profiles.keep_bins("loans", other)
    assert log.profiles.bins("loans").id == other.id
    assert log.profiles.total("loans", None, other).rows == 0
    assert log.profiles.total("loans", None, BINS).rows == 600
    log.profiles.keep_bins("loans", BINS)
    assert log.profiles.bins("loans").id == BINS.id, "as they are again"
    assert log._table("loans", "bins").open().version() == 3
    assert isinstance(log.profiles.bins("loans"), BinSet)


def test_a_sample_holds_the_smaller_one_and_is_as_large_as_it_says() -> None:
    ids = [f"0197f3a2-{k}" for k in range(20_000)]
    tenth, half = in_sample(ids, 0.1), in_sample(ids, 0.5)
    assert abs(tenth.mean() - 0.1) < 0.01
    assert abs(half.mean() - 0.5) < 0.01
    assert (half | ~tenth).all()
    assert in_sample(ids, 1.0).all()
