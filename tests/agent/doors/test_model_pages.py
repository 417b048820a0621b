"""A model's page and all that it opens, the prediction page, and what the pages cost: over two real versions."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from agent.domain.errors import Conflict
from agent.domain.roles import Role
from agent.doors.api.app import create_app
from agent.doors.console.page import read_bar
from agent.doors.principal import Principal
from agent.pipeline import deep_dive, watch
from agent.pipeline.model_process import ModelProcess, serve
from agent.store import queries
from agent.store.tables import Deployment, Model
from ml.spec import parse_spec
from tests.agent.conftest import SPEC, Bench, opened_bench
from tests.agent.doors.conftest import Browser
from tests.agent.doors.test_pages import read

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TREES = SPEC.replace("sklearn:LogisticRegression", "xgboost") + "segments: [plan]\n"


class InThread(ModelProcess):
    """The same questions to the same code; only the process is a thread, which starts in no time."""

    def _begun(self) -> Connection:
        if self._line is None:
            self._line, theirs = multiprocessing.get_context("spawn").Pipe()
            threading.Thread(target=serve, args=(theirs, self._uri, self._allow_pickle), daemon=True).start()
        return self._line

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line = None


class Busy(ModelProcess):
    """Somebody else's question takes long."""

    def _ask(self, kind: str, *question: Any) -> Any:
        raise Conflict("Models are being asked by somebody else; ask again in a few seconds.")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, registry_template: Path) -> Iterator[Bench]:
    """`churn` with a good champion, a bad rival, four days of labelled rows and three looks at them."""
    folder = tmp_path_factory.mktemp("model-pages")
    with opened_bench(f"sqlite:///{folder / 'watchkeeper.db'}", folder, registry_template, lambda: NOW) as made:
        made.spec = parse_spec(TREES)
        with made.services.store.write() as session:
            session.get_one(Model, "churn").spec = TREES
        made.add_versions(False, True)
        made.serve(NOW - timedelta(days=4), 570)
        for hours in (48, 24, 0):
            watch.watch(made.services, "churn", NOW - timedelta(hours=hours))
        yield made


@pytest.fixture(scope="module")
def browser(bench: Bench) -> Iterator[Browser]:
    app = create_app(bench.services)
    app.state.model_process = InThread(bench.services.registry.uri)
    yield Browser(app)
    app.state.model_process.close()


def charts(text: str) -> dict[str, Any]:
    """The data of every chart of a page or a part of one."""
    found = re.findall(r'<script type="application/json" id="([\w-]+)-data">(.*?)</script>', text)
    return {name: json.loads(data) for name, data in found}


@contextmanager
def counted(bench: Bench) -> Iterator[list[str]]:
    """The statements that are sent to the database meanwhile."""
    sent: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            sent.append(statement)

    event.listen(bench.services.store.engine, "before_cursor_execute", note)
    yield sent
    event.remove(bench.services.store.engine, "before_cursor_execute", note)


def test_the_page_of_a_model(browser: Browser) -> None:
    page = read(browser, "/models/churn")
    drawn = charts(browser.get("/models/churn").text)
    (first, *_, last) = drawn["metric"]["points"]
    assert first[0] < last[0]
    assert last[2] < last[1] < last[3], "the metric lies within its interval"
    assert last[4] is not None, "and the bound is drawn"
    assert drawn["heat"]["names"][0] in ("age", "plan", "prediction", "score")
    assert {cell[0] for cell in drawn["heat"]["cells"]} == {0, 1, 2}, "a column of cells for each look"
    for told in ("plan=a", "plan=b", "Version 1", "Propose to retrain", "Propose to promote", "Make one of the latest"):
        assert told in page.text, told
    headings = [tag for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings[0] == "h1"
    assert all(int(b[1]) <= int(a[1]) + 1 for a, b in itertools.pairwise(headings)), "none is left out"


def test_a_deployment_is_marked_where_it_fell(bench: Bench, browser: Browser) -> None:
    with bench.services.store.write() as session:
        session.add(Deployment(model="churn", version="1", kind="promote", at=NOW - timedelta(hours=30), note="again"))
    drawn = charts(browser.get("/models/churn").text)
    assert [mark["text"] for mark in drawn["metric"]["marks"]] == ["v1"]
    assert "1 deployment" in read(browser, "/models/churn").text


def test_a_cell_of_the_heat_map_opens_two_distributions(browser: Browser) -> None:
    part = read(browser, "/models/churn/feature?of=age")
    drawn = charts(browser.get("/models/churn/feature?of=age").text)["feature-chart"]
    assert drawn["names"] == ["reference", "this window"]
    assert sum(drawn["then"]) == pytest.approx(1, abs=1e-4)
    assert sum(drawn["now"]) == pytest.approx(1, abs=1e-4)
    assert "mean" in part.text
    earlier = read(browser, f"/models/churn/feature?of=plan&at={(NOW - timedelta(hours=20)).isoformat()[:-6]}Z")
    assert "28 Feb 2026, 12:00" in earlier.text, "the look that the cell stands for"
    assert "compares no column" in read(browser, "/models/churn/feature?of=nothing").text


def test_versions_side_by_side(browser: Browser) -> None:
    page = read(browser, "/models/churn/versions")
    for told in ("accuracy", "data version", "code version", "Parameters", "champion"):
        assert told in page.text, told
    assert re.search(r"0\.\d+ \(0\.\d+ to [01]\.?\d*\)", page.text), "a metric with its interval"
    drawn = charts(browser.get("/models/churn/versions").text)["versions-chart"]
    assert len(drawn["values"]) == 2
    assert all(low <= value <= high for value, low, high in drawn["values"])


def test_what_drives_each_version(browser: Browser) -> None:
    page = read(browser, "/models/churn/importance")
    assert "SHAP" in page.text
    drawn = charts(browser.get("/models/churn/importance").text)["importance-chart"]
    assert drawn["names"][0] == "age", "the label follows it"
    assert len(drawn["then"]) == len(drawn["now"]) == 2
    both = charts(browser.get("/models/churn/importance?of=versions").text)["drivers-chart"]
    assert both["labels"] == ["version 1", "version 2"]


def test_a_busy_model_is_asked_again(browser: Browser) -> None:
    process = browser.app.state.model_process
    browser.app.state.importances.clear()
    browser.app.state.model_process = Busy("sqlite:///none.db")
    again = browser.get("/models/churn/importance").text
    assert 'hx-get="/models/churn/importance?again=1"' in again
    assert "hx-get" not in browser.get("/models/churn/importance?again=5").text, "but not for ever"
    browser.app.state.model_process = process


def test_champion_and_rival_answer_a_row(browser: Browser) -> None:
    page = read(browser, "/models/churn/predict")
    assert "From the log" in page.text
    hidden = {i["name"]: i["value"] for i in page.all("input") if (i.get("name") or "").startswith("f.")}
    assert list(hidden) == ["f.age"]
    answer = browser.post("/models/churn/predict", data={"f.age": "75", "f.plan": "a"})
    assert "They disagree. Version 1 answers 1, version 2 0." in answer.text
    drawn = charts(answer.text)
    assert [one["names"][0] for one in drawn.values()] == ["age", "age"]
    assert drawn["why-1"]["now"][0] > 0 > drawn["why-2"]["now"][0]
    assert drawn["why-1"]["from"] == drawn["why-2"]["from"], "bars that are compared share their scale"
    assert "SHAP value" in answer.text
    assert "is no number" in browser.post("/models/churn/predict", data={"f.age": "old", "f.plan": "a"}).text
    assert browser.post("/models/churn/predict", data={"f.plan": "a"}).status_code == 200, "a missing value is one"


def test_a_row_of_the_log_is_found_and_picked(browser: Browser) -> None:
    page = read(browser, "/models/churn/predict")
    rows = [a["href"] for a in page.all("a") if "?row=" in (a["href"] or "")]
    assert len(rows) == 25
    picked = read(browser, rows[3] or "")
    assert "by version 1" in picked.text
    assert "No row fits" in read(browser, "/models/churn/predict?q=zzz").text


def test_a_deep_dive_is_made_once_and_reaches_nothing(bench: Bench, browser: Browser) -> None:
    with bench.services.store.read() as session:
        run = queries.latest_run(session, "churn")
    assert run is not None
    folder = bench.services.home / deep_dive.FOLDER
    folder.mkdir()
    window = (run.window_start.isoformat(), run.window_end.isoformat())
    done = deep_dive.DeepDive("e-1", "churn", "done", NOW.isoformat(), *window, "300 rows", str(run.champion))
    deep_dive._note(folder, done)
    (folder / "e-1.html").write_text("<script>top.location='https://evil.example'</script>")
    assert deep_dive.start(bench.services, bench.spec, NOW) == done, "of this window there is one already"
    page = read(browser, "/models/churn/deep-dive/e-1")
    assert page.all("iframe")[0]["sandbox"] == "allow-scripts", "in an origin of its own"
    raw = browser.get("/models/churn/deep-dives/e-1")
    policy = raw.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox allow-scripts;" in policy
    assert browser.get("/models/churn/deep-dives/e-2").status_code == 404
    assert browser.get("/models/churn/deep-dives/..%2f..%2fx").status_code == 404


@pytest.mark.parametrize(
    ("path", "most"),
    [("/", 24), ("/models/churn", 26), ("/incidents", 12), ("/models/churn/predict", 12)],
)
def test_what_a_page_asks_of_the_database(bench: Bench, browser: Browser, path: str, most: int) -> None:
    browser.get(path)
    with counted(bench) as again:
        assert browser.get(path).status_code == 200
    assert len(again) <= most, "\n".join(again)


def test_no_more_is_asked_for_more_models(bench: Bench, browser: Browser) -> None:
    def cost() -> int:
        browser.app.state.watch = None
        with counted(bench) as sent:
            browser.get("/")
        return len(sent)

    before = cost()
    with bench.services.store.write() as session:
        for number in range(20):
            text = SPEC.replace("name: churn", f"name: more-{number}")
            session.add(Model(name=f"more-{number}", spec=text, registered_at=NOW))
    assert cost() == before


def test_a_model_that_was_never_looked_at(bench: Bench, browser: Browser) -> None:
    with bench.services.store.write() as session:
        features = "  年齢: {type: numeric}\n  خصم: {type: numeric}\n"
        text = f"name: new-one\ntask: binary\nlabel_delay: 30d\nfeatures:\n{features}"
        session.add(Model(name="new-one", spec=text, registered_at=NOW))
    page = read(browser, "/models/new-one")
    for told in ("not looked at yet", "No look with labels yet", "30 d after the prediction", "Nothing compared yet"):
        assert told in page.text, told
    assert "Nothing to ask yet" in read(browser, "/models/new-one/importance").text
    assert "No version yet" in read(browser, "/models/new-one/versions").text
    asked = read(browser, "/models/new-one/predict")
    assert "No rows yet" in asked.text
    assert "年齢" in asked.text


def test_what_waits_is_counted_for_who_may_see_it(bench: Bench) -> None:
    bench.propose(bench.rollback("1", "2"))
    with bench.services.store.read() as session:
        mine, others = (
            read_bar(bench.services, session, Principal("x", "person", Role.VIEWER, models=(models,)))
            for models in ("churn", "other-*")
        )
    assert (mine.waiting, others.waiting) == (1, 0)
