"""`python -m benchmarks.rollback`: seconds from an approval to the model server answering with the earlier version.

A workspace on SQLite with its own MLflow store; `watchkeeper worker` and `watchkeeper serve-model` run as processes. An
approval is given, and the server is asked fifty times a second over one connection until the other version answers.
The worker looks once a second, so half a second of the middle is waiting for its look.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

from benchmarks.measure import archive, table
from benchmarks.serving import world
from benchmarks.serving.servers import OURS, running

ROLLBACKS = 20
MOST = 30.0
PEOPLE = """
people: {ada: {roles: [approver]}}
risk: {medium: {approvals: 1}}
cooldown: 0
max_actions_per_hour: 1000
"""


def main() -> None:
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory(prefix="watchkeeper-") as folder:
        seconds, carried_out = measure(Path(folder))
    ordered = sorted(seconds)
    rows = [
        ["approval to the first answer of the earlier version", median(ordered), ordered[-2], ordered[-1]],
        ["of it, the execution (re-check, switch, read-back)", median(carried_out), *sorted(carried_out)[-2:]],
    ]
    title = f"{ROLLBACKS} rollbacks: seconds"
    sys.stdout.write(table(title, ["", "median", "95 %", "slowest"], rows) + "\n")
    path = archive("rollback", {"seconds": seconds, "execution_seconds": carried_out})
    sys.stdout.write(f"kept in {path}\n")


def measure(home: Path) -> tuple[list[float], list[float]]:
    from agent.bootstrap import build
    from agent.pipeline.approve import approve
    from agent.settings import load_settings
    from ml.models.deployment import promote
    from ml.models.training import register_external

    world.build(home)
    workspace, spec = home / "workspace", world.spec_of()
    (workspace / "approvals.yaml").write_text(PEOPLE)
    services = build(load_settings({}, home=workspace))
    other = register_external(
        spec, world.fitted(1), registry=services.registry, run_tag="other", reference=world.rows(500, 3)
    )
    promote(services.registry, spec.name, other.version, expected="1")
    program = str(Path(sys.executable).parent / "watchkeeper")
    found: list[float] = []
    with running(OURS, home) as server, (home / "worker.log").open("wb") as log:
        worker = subprocess.Popen([program, "worker", "--home", str(workspace)], stdout=log, stderr=log)
        try:
            ask = _asker(server.port)
            _until(lambda: ask() == other.version)
            time.sleep(5)  # the worker has started
            current, target = other.version, "1"
            for number in range(ROLLBACKS + 1):
                time.sleep(0.37 * (number % 3))  # wherever in its second the worker is
                wanted = _propose(services, spec, current, target)
                began = time.perf_counter()
                approve(services, wanted, person="ada")
                _until(lambda target=target: ask() == target)
                found.append(time.perf_counter() - began)
                current, target = target, current
                time.sleep(1.5)
        finally:
            worker.terminate()
            worker.wait(30)
    carried_out = _carried_out(services)
    services.store.close()
    return found[1:], carried_out[1:]  # the first one loads what the later ones find loaded


def _propose(services, spec, current: str, target: str) -> str:
    from agent.pipeline.propose import file_proposal
    from tools import actions

    action = actions.Rollback(model=spec.name, expected_version=current, to_version=target)
    with services.store.write() as session:
        at = services.now(session)
        return str(file_proposal(services, session, spec, action, None, None, at=at, requested_by="benchmark").id)


def _carried_out(services) -> list[float]:
    from sqlalchemy import select

    from agent.store.tables import Execution

    with services.store.read() as session:
        return list(session.scalars(select(Execution.seconds).order_by(Execution.created_at)))


def _asker(port: int):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    rows = world.rows(1, 9).drop(columns=["label", "timestamp"])
    body = json.dumps({"dataframe_split": {"columns": list(rows), "data": rows.values.tolist()}})

    def ask() -> str | None:
        try:
            connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
        except (http.client.HTTPException, OSError):  # it was closed after a pause; the next one is opened by itself
            connection.close()
            return None
        answer.read()
        return answer.getheader("x-watchkeeper-version")

    return ask


def _until(reached) -> None:
    began = time.perf_counter()
    while not reached():
        if time.perf_counter() - began > MOST:
            raise SystemExit(f"not reached in {MOST:.0f} s")
        time.sleep(0.02)
