"""From an approval to the model server answering with the earlier version: the real worker, the real server.

How long it takes is measured by `make bench-rollback`; here it must happen, and to every request one answer is given.
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime

import httpx
import pytest

from agent.pipeline.approve import approve
from agent.scheduler import Scheduler
from ml.models import deployment
from tests.agent.conftest import SPEC
from tests.ml.serving.test_server import REPOSITORY

ROW = {"dataframe_records": [{"age": 30.0, "plan": "a"}]}
PATIENCE = 120.0


@pytest.fixture
def street(bench, tmp_path):
    """Version 2 answers, and is bad; the address of a model server over the same registry."""
    bench.add_versions(False, True)
    deployment.promote(bench.services.registry, "churn", "2", expected="1")
    home = tmp_path / "server"
    (home / "specs").mkdir(parents=True)
    (home / "specs/churn.yaml").write_text(SPEC)
    command = [sys.executable, "-m", "tests.ml.serving.serving_process", bench.services.registry.uri, home, home, "1"]
    with (home / "stderr").open("w") as errors:
        process = subprocess.Popen(
            list(map(str, command)), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        yield bench, f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_approved_rollback_reaches_who_asks_the_model_server(street):
    bench, address = street
    bench.clock.time = datetime.now(UTC)
    worker = Scheduler(bench.services)
    with httpx.Client(base_url=address, timeout=30) as client:
        _until(lambda: _answers(client) == "2")
        wanted = bench.propose(bench.rollback(), incident=True)
        worker.start()
        try:
            approve(bench.services, wanted, person="ann")
            answers: list[str | None] = []

            def back() -> bool:
                answers.append(_answers(client))
                return answers[-1] == "1"

            _until(back)
            _until(lambda: bench.proposal(wanted).state == "verifying")
        finally:
            worker.stop()
    assert set(answers) <= {"1", "2"}, "first the one, then the other; none failed"
    assert bench.services.registry.champion("churn").version == "1"


def _answers(client: httpx.Client) -> str | None:
    try:
        answer = client.post("/models/churn/invocations", json=ROW)
    except httpx.TransportError:  # it is starting
        return None
    return answer.headers.get("x-watchkeeper-version") if answer.status_code == 200 else None


def _until(reached) -> None:
    began = time.monotonic()
    while not reached():
        assert time.monotonic() - began < PATIENCE, "not reached"
        time.sleep(0.02)
