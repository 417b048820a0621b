"""Long batches: whatever the form, however often the process is killed, each row is answered once."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest

from ml.errors import NotFound
from ml.serving import state as states
from ml.serving.jobs import formats
from ml.serving.jobs.formats import read_parts
from ml.serving.jobs.running import JobsProcess, Place, run
from ml.serving.jobs.store import KEPT_SECONDS, Jobs, Progress, TooManyJobs
from ml.serving.journal import Journal
from ml.serving.problems import Refused
from ml.serving.records import decode, scan
from tests.ml.serving.conftest import Shop, subscribers

ROWS = subscribers(25)[["age", "plan"]]


@pytest.fixture
def place(shop: Shop, tmp_path: Path) -> Place:
    states.save(shop.state().models, tmp_path / "served.json")
    return Place(tmp_path / "jobs", shop.root, tmp_path / "journal", tmp_path / "served.json")


@pytest.fixture
def small_parts(monkeypatch) -> None:
    monkeypatch.setattr(formats, "ROWS", 4)
    monkeypatch.setattr(read_parts, "__defaults__", (4,))


def sent(place: Place, body: bytes, kind: str, model: str = "churn") -> str:
    new = Jobs(place.jobs).begin(model, "1", kind, None)
    new.write(body)
    return new.accept()


def carried_out(place: Place, job: str, told=lambda: False) -> Progress:
    journal = Journal(place.journal)
    try:
        return run(place, Jobs(place.jobs), job, journal, told)
    finally:
        journal.close()


def result(place: Place, job: str) -> pd.DataFrame:
    lines = b"".join(Jobs(place.jobs).read_result(job)).splitlines()
    return pd.DataFrame([orjson.loads(line) for line in lines])


def journalled(place: Place) -> list[str]:
    records = [
        decode(item.payload) for folder in place.journal.iterdir() for item in scan(folder, 0, live=True)
    ]  # fmt: skip
    return [name for record in records for name in record.ids]


FORMS = {
    "csv": (lambda: ROWS.to_csv(index=False).encode(), "text/csv"),
    "csv with empty lines": (lambda: ROWS.to_csv(index=False).replace("\n", "\n\n\n\n\n").encode(), "text/csv"),
    "lines": (lambda: ROWS.to_json(orient="records", lines=True).encode(), "application/x-ndjson"),
    "parquet": (lambda: ROWS.to_parquet(), "application/vnd.apache.parquet"),
    "split": (lambda: json.dumps({"dataframe_split": ROWS.to_dict("split")}).encode(), "application/json"),
    "records": (lambda: json.dumps({"dataframe_records": ROWS.to_dict("records")}).encode(), "application/json"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_file_gives_the_models_own_answers(place, shop, small_parts, form) -> None:
    body, kind = FORMS[form]
    job = sent(place, body(), kind)
    done = carried_out(place, job)
    assert (done.state, done.rows, done.share) == ("done", 25, 1.0)
    got = result(place, job)
    own = shop.registry.load("churn", "1", shop.churn).predict(ROWS)
    assert got["prediction"].tolist() == own["prediction"].tolist()
    np.testing.assert_allclose(got["score"], own["score"], atol=1e-5)
    assert got["prediction_id"].tolist() == [f"{job}.{row}" for row in range(25)] == journalled(place)


def test_rows_that_break_a_rule_end_it_and_are_named_by_their_place_in_the_file(place, small_parts) -> None:
    wrong = ROWS.astype({"age": object}).copy()
    wrong.loc[9, "age"] = "old"
    job = sent(place, wrong.to_csv(index=False).encode(), "text/csv")
    done = carried_out(place, job)
    assert (done.state, done.rows) == ("failed", 8)
    assert done.problem is not None
    assert done.problem["errors"][0] == {
        "row": 9, "column": "age", "rule": "wrong type", "what": "is not a number; correct the value, or send null.",
    }  # fmt: skip
    assert len(result(place, job)) == 8, "what was answered before stays"


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b"", "text/csv", "missing"),
        (b"age,plan\n1", "text/csv", "has 1 values and the header has 2"),
        (b'age,plan\n"1', "text/csv", "cannot be read as CSV"),
        (b"\xff\xfe\x00", "text/csv", "not text in UTF-8"),
        (b"{}\n{", "application/x-ndjson", "row 1: is no line of JSON"),
        (b"PAR1", "application/vnd.apache.parquet", "cannot be read as Parquet"),
        (b"[]", "application/json", "exactly one of dataframe_split"),
    ],
)
def test_what_cannot_be_read_fails_with_a_reason(place, body, kind, said) -> None:
    done = carried_out(place, sent(place, body, kind))
    if body == b"":
        assert (done.state, done.rows) == ("done", 0), "no rows, no answers"
        return
    assert done.state == "failed"
    assert done.problem is not None
    assert said.lower() in done.problem["detail"].lower()


def test_another_kind_of_file_is_refused_at_once() -> None:
    with pytest.raises(Refused, match="not as 'application/zip'"):
        formats.kind_of("application/zip")


def test_it_is_cancelled_before_and_while_it_runs(place, small_parts) -> None:
    jobs = Jobs(place.jobs)
    body = ROWS.to_csv(index=False).encode()
    early = sent(place, body, "text/csv")
    assert jobs.cancel(early).state == "cancelled"
    assert jobs.progress(early).state == "cancelled"
    running = sent(place, body, "text/csv")
    asked = iter([False, False])
    stopped = carried_out(place, running, told=lambda: next(asked, True))
    assert (stopped.state, stopped.rows) == ("running", 8)
    jobs.cancel(running)
    ended = carried_out(place, running)
    assert (ended.state, ended.rows) == ("cancelled", 8)
    assert len(result(place, running)) == 8
    assert jobs.cancel(running).state == "cancelled"


def test_what_ended_is_kept_for_a_day(place) -> None:
    jobs = Jobs(place.jobs)
    job = sent(place, ROWS.to_csv(index=False).encode(), "text/csv")
    waiting = sent(place, b"age,plan\n", "text/csv")
    carried_out(place, job)
    ended = jobs.progress(job).ended
    assert ended is not None
    assert jobs.expire(ended + KEPT_SECONDS - 1) == []
    assert jobs.expire(ended + KEPT_SECONDS + 1) == [job]
    with pytest.raises(NotFound, match="may have expired"):
        jobs.asked(job)
    assert jobs.ids() == [waiting]


def test_only_so_many_wait_and_a_half_sent_job_is_none(place) -> None:
    jobs = Jobs(place.jobs)
    dropped = jobs.begin("churn", "1", "text/csv", None)
    dropped.write(b"age")
    assert jobs.ids() == []
    dropped.drop()
    for _ in range(100):
        jobs.begin("churn", "1", "text/csv", None).accept()
    with pytest.raises(TooManyJobs, match="100 jobs wait already"):
        jobs.begin("churn", "1", "text/csv", None)


def test_killed_again_and_again_each_row_is_answered_once(place) -> None:
    jobs = Jobs(place.jobs)
    rows = subscribers(60_000)[["age", "plan"]]
    job = sent(place, rows.to_csv(index=False).encode(), "text/csv")
    process = JobsProcess(place)
    chance, kills = random.Random(0), 0
    until = time.monotonic() + 90
    while jobs.progress(job).state not in ("done", "failed"):
        assert time.monotonic() < until
        process.ensure()
        assert process._process is not None
        before = jobs.progress(job).rows
        while jobs.progress(job).rows == before and process._process.is_alive() and time.monotonic() < until:
            time.sleep(0.005)
        if kills < 3 and process._process.is_alive():
            time.sleep(chance.random() / 50)
            os.kill(process._process.pid or 0, signal.SIGKILL)
            process._process.join()
            kills += 1
    process.stop()
    assert kills == 3
    assert jobs.progress(job).rows == 60_000
    assert result(place, job)["prediction_id"].tolist() == [f"{job}.{row}" for row in range(60_000)]
    assert set(journalled(place)) == {f"{job}.{row}" for row in range(60_000)}
