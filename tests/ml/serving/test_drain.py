from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ml.data.known_ids import KnownIds
from ml.data.prediction_log import PredictionLog
from ml.errors import Unavailable
from ml.results import Window
from ml.serving.backlog import Drained, behind, status
from ml.serving.drain import Drain, drain_lock
from ml.serving.journal import Journal, Limits, folders, size_of
from ml.serving.records import segments
from ml.serving.rows import Answers, Rows
from ml.spec import parse_spec

SPEC = parse_spec("""
name: loans
task: binary
entity: customer
features:
  income: {type: numeric}
  region: {type: categorical}
  owner: {type: boolean}
  since: {type: datetime}
""")
START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START.timestamp()


def write(
    journal: Journal,
    *ids: str,
    at: float = NOW,
    route: str = "champion",
    version: str = "3",
    model: str = "loans",
    **other: list,
) -> None:
    n = len(ids)
    columns = {
        "income": [1.5] * n,
        "region": ["north"] * n,
        "owner": [None] * n,
        "since": ["2020-01-01T00:00:00+00:00"] * n,
        "customer": ["c1"] * n,
    } | other
    journal.record(model, route, version, Rows(columns, ids), Answers(["1"] * n, [0.25] * n), 0.002, at)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    return PredictionLog(tmp_path / "log")


@pytest.fixture
def drain(journal: Journal, log: PredictionLog) -> Drain:
    return Drain(journal.root, log, {"loans": SPEC}.get)


def test_what_was_answered_comes_into_the_log(journal: Journal, log: PredictionLog, drain: Drain) -> None:
    write(journal, "p1")
    write(journal, "p2", "p3", at=NOW + 1, route="canary", version="4")
    assert drain.once() == 3
    frame = log.read(SPEC, None)
    assert frame["prediction_id"].tolist() == ["p1", "p2", "p3"]
    assert frame["model_version"].tolist() == ["3", "4", "4"]
    assert frame["route"].tolist() == ["champion", "canary", "canary"]
    assert frame["latency"].tolist() == [0.002] * 3
    assert frame["customer"].tolist() == ["c1"] * 3
    assert frame["timestamp"].iloc[0].isoformat() == "2026-01-01T00:00:00+00:00"
    assert behind(journal.root) == 0
    assert drain.once() == 0
    write(journal, "p4")
    assert drain.once() == 1


class Dying(PredictionLog):
    """A log whose connection breaks off after so many appends have landed, before they are acknowledged."""

    left = 0

    def append_predictions(self, *args: Any, **kwargs: Any) -> Any:
        done = super().append_predictions(*args, **kwargs)
        return self._die(done)

    def append_shadow(self, *args: Any, **kwargs: Any) -> Any:
        return self._die(super().append_shadow(*args, **kwargs))

    def append_labels(self, *args: Any, **kwargs: Any) -> Any:
        return self._die(super().append_labels(*args, **kwargs))

    def _die(self, done: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise Unavailable("gone")
        return done


@pytest.mark.parametrize("landed", range(6))
def test_a_crash_after_any_append_doubles_and_loses_nothing(journal: Journal, tmp_path: Path, landed: int) -> None:
    """The drain dies once an append has landed; records come in; another drain goes on."""
    specs = {"loans": SPEC, "cars": SPEC.model_copy(update={"name": "cars"})}
    for model in specs:
        write(journal, "p1", "p2", model=model)
        write(journal, "p1", "p2", model=model, route="shadow", version="9")
        journal.record_labels(model, ["p1"], [1], [None], NOW)
    dying = Dying(tmp_path / "log")
    dying.left = landed
    with pytest.raises(Unavailable, match="gone"):
        Drain(journal.root, dying, specs.get).once()
    for model in specs:
        write(journal, "p3", model=model)
        write(journal, "p3", model=model, route="shadow", version="9")
    log = PredictionLog(tmp_path / "log")
    Drain(journal.root, log, specs.get).once()
    for spec in specs.values():
        assert log.read(spec, None)["prediction_id"].tolist() == ["p1", "p2", "p3"]
        assert log.read(spec, None)["label"].tolist() == ["1", None, None]
        assert log.read(spec, None)["model_version"].tolist() == ["3"] * 3
        assert log.read_shadow(spec, None)["prediction_id"].tolist() == ["p1", "p2", "p3"]
        assert log.read_shadow(spec, None)["model_version"].tolist() == ["9"] * 3


def test_shadow_answers_are_compared_by_label_and_never_taken_for_served_ones(
    journal: Journal, log: PredictionLog, drain: Drain
) -> None:
    write(journal, "p1")
    write(journal, "p1", route="shadow", version="4")
    write(journal, "p2", route="shadow", version="4", at=NOW + 3600)
    journal.record_labels("loans", ["p1"], [0], [None], NOW)
    drain.once()
    assert log.read(SPEC, None)["prediction_id"].tolist() == ["p1"]
    assert log.versions_seen(SPEC)["model_version"].tolist() == ["3"]
    assert log.count(SPEC) == (1, 1)
    shadow = log.read_shadow(SPEC, Window(START, START + timedelta(hours=1)), columns=["prediction_id", "label"])
    assert shadow.values.tolist() == [["p1", "0"]]
    assert log.read_shadow(SPEC, None, as_of=START + timedelta(minutes=1))["route"].tolist() == ["shadow"]


def test_an_id_that_comes_again_is_one_prediction(journal: Journal, log: PredictionLog, drain: Drain) -> None:
    write(journal, "p1", "p2")
    write(journal, "p2", at=NOW + 1, version="4")
    drain.once()
    write(journal, "p1", at=NOW + 2, version="4")
    drain.once()
    assert log.read(SPEC, None)["model_version"].tolist() == ["3", "3"]
    assert drain.did.duplicates == 2


def test_a_large_backlog_is_taken_in_several_commits_and_its_segments_are_deleted(
    tmp_path: Path, log: PredictionLog
) -> None:
    journal = Journal(tmp_path / "journal", Limits(segment_bytes=2_000))
    for k in range(100):
        write(journal, f"p{k}", at=NOW + k)
    assert len(segments(journal.folder)) > 5
    drain = Drain(journal.root, log, {"loans": SPEC}.get, max_rows=30)
    assert drain.once() == 100
    assert drain.did.commits == 4
    assert len(segments(journal.folder)) == 1
    write(journal, "later")
    assert drain.once() == 1


def test_small_files_are_joined_now_and_then(
    journal: Journal, log: PredictionLog, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.serving.drain.MANY", 4)
    for k in range(9):
        write(journal, f"p{k}")
        drain.once()
    table = log._table("loans", "predictions").open()
    assert len(table.file_uris()) == 2
    assert log.count(SPEC) == (9, 0)
    write(journal, "p3")
    drain.once()
    assert drain.did.duplicates == 1, "ids are known in joined files too"


def test_an_id_of_long_ago_is_not_looked_for(journal: Journal, log: PredictionLog, drain: Drain) -> None:
    write(journal, "p1")
    drain.once()
    write(journal, "p1", at=NOW + 47 * 3600)
    drain.once()
    write(journal, "p1", at=NOW + 49 * 3600)
    drain.once()
    assert log.count(SPEC) == (2, 0)


def test_long_texts_are_taken_in_smaller_commits(
    journal: Journal, log: PredictionLog, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.serving.drain.MOST_BYTES", 5_000)
    for k in range(10):
        write(journal, f"p{k}", region=["n" * 1_000])
    assert drain.once() == 10
    assert drain.did.commits == 2


def test_steady_rows_are_committed_at_a_pace(
    journal: Journal, log: PredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr("ml.serving.drain.time.monotonic", lambda: now)
    drain = Drain(journal.root, log, {"loans": SPEC}.get, pace=10)
    taken = []
    for second in range(31):
        now = 1_000.0 + second
        write(journal, f"p{second}")
        taken.append(drain.once())
    assert taken == [1, *[0] * 9, 10, *[0] * 9, 10, *[0] * 9, 10]
    monkeypatch.setattr("ml.serving.drain.ENOUGH", 300)
    write(journal, "much", region=["n" * 300])
    assert drain.once() == 1, "more than enough"
    write(journal, "last")
    stop = threading.Event()
    stop.set()
    drain._run(stop)
    assert log.count(SPEC) == (33, 0), "the end does not wait"


def test_a_folder_that_was_never_finished_is_removed(journal: Journal, drain: Drain) -> None:
    old, new = journal.root / ".old", journal.root / ".new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "lock").touch()
    os.utime(old, (NOW, NOW))
    drain.once()
    assert (old.exists(), new.exists()) == (False, True)


def test_the_log_taken_away_and_given_back(journal: Journal, log: PredictionLog, tmp_path: Path) -> None:
    drain = Drain(journal.root, log, {"loans": SPEC}.get)
    write(journal, "p1")
    drain.once()
    (tmp_path / "log").rename(tmp_path / "away")
    write(journal, "p2")
    for again in (drain, Drain(journal.root, log, {"loans": SPEC}.get)):
        with pytest.raises(Unavailable, match="the table that was here is gone; give back the prediction log"):
            again.once()
    assert not (tmp_path / "log").exists(), "no new log is begun in its place"
    write(journal, "p3")
    assert behind(journal.root) > 0
    (tmp_path / "away").rename(tmp_path / "log")
    assert drain.once() == 2
    assert log.count(SPEC) == (3, 0)


def test_a_log_that_vanishes_while_it_is_written_to(journal: Journal, tmp_path: Path) -> None:
    """Delta makes the folder anew; what it wrote there is not taken for the log, and does not stand in its way."""

    class Vanishing(KnownIds):
        def among(self, *arguments: Any) -> set[str]:
            found = super().among(*arguments)
            (tmp_path / "log").rename(tmp_path / "away")
            return found

    log = PredictionLog(tmp_path / "log")
    drain = Drain(journal.root, log, {"loans": SPEC}.get)
    write(journal, "p1")
    drain.once()
    write(journal, "p2")
    log._ids = Vanishing()
    with pytest.raises(Unavailable, match="vanished while it was written to"):
        drain.once()
    assert not (tmp_path / "log").exists()
    (tmp_path / "away").rename(tmp_path / "log")
    log._ids = KnownIds()
    assert drain.once() == 1
    assert log.read(SPEC, None)["prediction_id"].tolist() == ["p1", "p2"]


def test_what_the_log_will_not_have_is_put_aside_and_keeps_nothing_else_out(
    journal: Journal, log: PredictionLog, drain: Drain
) -> None:
    write(journal, "p1")
    write(journal, "p2", region=[["nested"]])
    write(journal, "p3", model="unknown")
    write(journal, "p5", income=["much"])
    write(journal, "p4")
    assert drain.once() == 2
    assert log.read(SPEC, None)["prediction_id"].tolist() == ["p1", "p4"]
    files = sorted((journal.root / "refused").iterdir())
    aside = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert [(line["ids"], line["why"].split(";")[0]) for line in aside] == [
        (["p2"], "predictions of 'loans': column 'region', row 1: holds ['nested'], and a cell holds one value"),
        (["p5"], "The rows cannot be made a table (ValueError: could not convert string to float: 'much')."),
        (["p3"], "There is no spec of the model 'unknown'."),
    ]
    assert drain.did.refused == 3
    assert size_of(journal.root) > sum(file.stat().st_size for file in files), "they count as the journal's"
    assert behind(journal.root) == 0


def test_a_record_of_a_newer_form_is_put_aside(journal: Journal, log: PredictionLog, drain: Drain) -> None:
    write(journal, "p1")
    with journal._lock:
        journal._write(journal._encoder._framed((7, "loans", "later")))
    write(journal, "p2")
    assert drain.once() == 2
    (file,) = (journal.root / "refused").iterdir()
    aside = json.loads(file.read_text())
    assert aside["why"] == "It is a record of kind 7 with 3 parts."
    assert bytes.fromhex(aside["payload"]).endswith(b"later")


def test_every_folder_has_its_turn(journal: Journal, log: PredictionLog) -> None:
    """However much one process writes, what another wrote is not kept waiting for it to end."""
    other = Journal(journal.root)
    first, second = sorted([journal, other], key=lambda one: one.folder.name)
    for k in range(9):
        write(first, f"p{k}")
    write(second, "other")

    class Watching(PredictionLog):
        def append_predictions(self, spec: Any, frame: Any, **kwargs: Any) -> Any:
            order.append(frame["prediction_id"].iloc[0])
            return super().append_predictions(spec, frame, **kwargs)

    order: list[str] = []
    Drain(journal.root, Watching(log.uri), {"loans": SPEC}.get, max_rows=3).once()
    assert order == ["p0", "other", "p3", "p6"]


def test_a_feature_that_changed_its_type_is_put_aside_whole(journal: Journal, log: PredictionLog) -> None:
    write(journal, "p1")
    Drain(journal.root, log, {"loans": SPEC}.get).once()
    changed = parse_spec("{name: loans, task: binary, features: {income: {type: text}}}")
    write(journal, "p2", "p3", income=["much"] * 2)
    drain = Drain(journal.root, log, {"loans": changed}.get)
    assert drain.once() == 0
    assert drain.did.refused == 2


def test_a_damaged_cursor_starts_anew_and_the_log_refuses_what_it_has(
    journal: Journal, log: PredictionLog, drain: Drain
) -> None:
    write(journal, "p1")
    drain.once()
    write(journal, "p2")
    (journal.folder / "cursor").write_bytes(b"\0" * 20)
    drain.once()
    assert log.read(SPEC, None)["prediction_id"].tolist() == ["p1", "p2"]


def test_one_process_drains_a_root(journal: Journal, drain: Drain) -> None:
    with drain_lock(journal.root) as held, drain_lock(journal.root) as again:
        assert (held, again) == (True, False)
    stop = threading.Event()
    with drain_lock(journal.root):
        waiting = threading.Thread(target=drain.run, args=(stop,))
        waiting.start()
        write(journal, "p1")
        stop.set()
        waiting.join(5)
    assert behind(journal.root) > 0


def test_the_drain_says_how_far_it_is(journal: Journal, log: PredictionLog, drain: Drain, tmp_path: Path) -> None:
    assert status(journal.root) == Drained()
    write(journal, "p1", at=NOW + 7)
    (tmp_path / "log").write_text("a file, where the log should be")
    stop = threading.Event()
    stop.set()
    drain._run(stop)
    said = status(journal.root)
    assert (said.failures, said.waiting_since, said.rows) == (1, NOW + 7, 0)
    assert said.behind == size_of(journal.root)
    assert "cannot be reached" in str(said.failure)
    (tmp_path / "log").unlink()
    drain._run(stop)
    said = status(journal.root)
    assert (said.failure, said.waiting_since, said.behind, said.rows) == (None, None, 0, 1)


def test_a_folder_whose_process_is_gone_is_drained_and_removed(
    journal: Journal, log: PredictionLog, drain: Drain
) -> None:
    write(journal, "p1")
    other = Journal(journal.root)
    write(other, "p2")
    other.close()
    assert drain.once() == 2
    assert folders(journal.root) == [journal.folder]
    assert log.count(SPEC) == (2, 0)
