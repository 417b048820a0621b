"""The demo, whole, as a newcomer runs it: what the issue promises of each scenario, read from its own JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(900)
PROGRAM = [sys.executable, "-c", "from agent.cli import main; main()"]


def run(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, on a workspace."""
    return subprocess.run(
        [*PROGRAM, *words],
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "WATCHKEEPER_HOME": str(home), **environment},
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def document(home):
    played = run(home, "demo", "--headless", "--json")
    assert played.returncode == 0, played.stderr[-2000:]
    return json.loads(played.stdout)


@pytest.fixture(scope="module")
def scenario(document):
    return {item["name"]: item for item in document["scenarios"]}


def test_all_seven_scenarios_are_there(scenario):
    names = {"seasonal-failure", "bad-deployment", "unit-fault", "harmless-shift", "healthy", "rejected", "expired"}
    assert set(scenario) == names


def test_spring_is_retrained_for_and_the_error_falls_by_more_than_half(scenario):
    item = scenario["seasonal-failure"]
    assert item["proposal"]["action"] == "retrain"
    assert item["proposal"]["executed"] == 1
    assert item["proposal"]["decided_by"] == "maria"
    assert item["verification"] == "succeeded"
    assert item["metric"]["after"] < item["metric"]["do_nothing"] / 2
    assert item["metric"]["after"] < item["metric"]["during"] / 2
    assert item["proposal"]["trial"]["gain"] > 0


def test_the_bad_deployment_is_dated_and_rolled_back_in_seconds(scenario):
    item = scenario["bad-deployment"]
    assert item["incident"]["cause"] == "bad_deployment"
    assert item["incident"]["onset"] == "2026-02-14T00:00:00+00:00"
    assert item["proposal"]["action"] == "rollback"
    assert item["proposal"]["parameters"]["to_version"] == "1"
    assert item["proposal"]["seconds_to_execute"] < 5
    assert item["verification"] == "succeeded"
    assert item["metric"]["during"] < item["metric"]["before"] - 0.2
    assert item["metric"]["after"] > item["metric"]["do_nothing"] + 0.1


def test_the_unit_fault_is_named_with_feature_factor_hospital_and_hour(scenario):
    item = scenario["unit-fault"]
    assert item["incident"]["cause"] == "data_pipeline_fault"
    assert item["incident"]["features"] == ["chol"]
    assert "Hungary" in item["incident"]["segment"]
    assert item["proposal"]["parameters"]["repair"] == "multiply chol by 38.67"
    late = datetime.fromisoformat(item["incident"]["onset"]) - datetime.fromisoformat("2026-03-02T12:00:00+00:00")
    assert 0 <= late.total_seconds() <= 3600
    assert item["proposal"]["action"] == "fix_data"
    assert item["verification"] == "succeeded"


@pytest.mark.parametrize("name", ["healthy", "harmless-shift"])
def test_nothing_is_proposed_where_nothing_is_harmed(scenario, name):
    assert scenario[name]["proposal"] is None


@pytest.mark.parametrize("name", ["rejected", "expired"])
def test_what_nobody_approved_never_runs_and_is_recorded(scenario, name):
    proposal = scenario[name]["proposal"]
    assert (proposal["state"], proposal["executed"]) == (name, 0)
    assert proposal["reason"]


def test_the_workspace_is_an_ordinary_one(document, home):
    incident = next(i["incident"]["id"] for i in document["scenarios"] if i["name"] == "unit-fault")
    assert json.loads(run(home, "audit", "verify", "--json").stdout)["whole"] is True
    shown = json.loads(run(home, "incident", "show", incident, "--json").stdout)
    assert shown["state"] == "resolved"
    letters = (home / "notifications.jsonl").read_text()
    assert "#hospital-feeds" in letters
    assert "chol arrives broken since 2026-03-02" in letters
    asked = run(home, "ask", "what happened to heart-disease?")
    assert asked.returncode == 0
    assert incident in asked.stdout
    written = run(home, "report", "--incident", incident, "--out", str(home / "reports"), "--json")
    assert {Path(f).suffix for f in json.loads(written.stdout)["files"]} == {".html", ".md"}


def test_only_the_proposals_that_were_approved_were_executed(home):
    proposals = json.loads(run(home, "proposal", "list", "--all", "--json").stdout)
    executed = [p for p in proposals if p["execution"] and p["execution"]["state"] == "done"]
    assert executed
    assert all(any(a["decision"] == "approve" for a in p["approvals"]) for p in executed)


def test_the_loop_runs_on_postgresql_too(tmp_path, postgres_url):
    script = (
        "from pathlib import Path; from agent.commands.demo import prepare; from agent.demo import stories;"
        "from agent.demo.replay import begin, play; from agent.demo.outcome import outcome; import json;"
        f"services = prepare(Path({str(tmp_path / 'home')!r})); story = stories.bikes();"
        "stage = begin(services, story, lambda text: None); play(stage);"
        "print(json.dumps(outcome(stage, story.chapters[0]), default=str))"
    )
    played = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "WATCHKEEPER_DATABASE_URL": postgres_url},
    )
    assert played.returncode == 0, played.stderr[-2000:]
    item = json.loads(played.stdout)
    assert (item["proposal"]["action"], item["proposal"]["executed"], item["verification"]) == (
        "retrain",
        1,
        "succeeded",
    )
