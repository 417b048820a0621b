"""`make pictures-slack`: the pictures of docs/how-to/slack.md, taken in Chromium from the loopback Slack's own page.

A workspace in a temporary folder, an incident with its evidence, and people who click: everything that is shown was
composed, delivered, clicked and carried out by the product. It takes a minute, and is no test: look at what it makes.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import update

from agent import executor
from agent.domain.notifying import SLACK
from agent.domain.policy import Rule
from agent.doors.slack.loopback.page import routes
from agent.doors.slack.loopback.server import LoopbackSlack
from agent.doors.slack.loopback.workspace import Message
from agent.pipeline import verify
from agent.pipeline.letters import COMPOSERS
from agent.pipeline.propose import file_proposal
from agent.pipeline.services import Services
from agent.pipeline.slack.follow import follow
from agent.store.changes import promise
from agent.store.session import Store
from agent.store.tables import Incident, MeasurementRow, Model
from ml.data.prediction_log import PredictionLog
from ml.models import deployment
from ml.models.registry import Registry
from ml.spec import parse_spec
from notifications.journal import Journal
from notifications.slack import Slack
from tests.agent.conftest import POLICY, SPEC, Bench
from tests.agent.doors.slack.handle.conftest import CHANNEL, URL, Direct, Scene
from tests.agent.reports.story import Story
from tests.browser.conftest import ARGS, NAMES
from tests.conftest import Clock
from tests.furnish import furnish
from tools import actions
from tools.actions import Risk

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = 59.5
"""Noon, in the days of a Story."""
CAUSE = {
    "causes": [
        {
            "cause": "bad_deployment",
            "probability": 0.964,
            "supports": ["E1", "E2", "E3"],
            "contradicts": [],
            "onset": (NOON - timedelta(hours=26)).isoformat(),
            "features": [],
            "segment": None,
        }
    ],
    "action": {
        "kind": "rollback",
        "parameters": {},
        "why": "version 2 went live right before accuracy fell; on the same rows version 1 is right more often",
        "escalate": False,
    },
    "evidence": [
        {
            "id": "E1",
            "kind": "loss",
            "statement": "accuracy fell from 0.87 to 0.61",
            "value": 0.61,
            "interval": [0.56, 0.66],
            "n": 412,
        },
        {
            "id": "E2",
            "kind": "deployment",
            "statement": "version 2 went live 20 minutes before",
            "value": 20,
            "n": None,
        },
        {
            "id": "E3",
            "kind": "trial",
            "statement": "version 1 answers the same rows with accuracy 0.86",
            "value": 0.86,
            "interval": [0.82, 0.89],
            "n": 412,
        },
        {"id": "E4", "kind": "drift", "statement": "no input moved: largest index 0.04", "value": 0.04, "n": 1200},
    ],
    "not_checked": [],
    "ruled_out": [{"what": "covariate_shift", "why": "no input moved", "evidence": ["E4"]}],
}
TRIAL = {
    "kind": "rollback",
    "gain": 0.251,
    "interval": [0.19, 0.31],
    "n": 412,
    "metric": {"name": "accuracy", "before": 0.61, "after": 0.862},
}


@contextmanager
def set_up(folder: Path) -> Iterator[Scene]:
    """A workspace beside a loopback Slack with its page: ann and ben decide, cat looks on."""
    store = Store(f"sqlite:///{folder / 'watchkeeper.db'}")
    furnish(store)
    clock, made = Clock(NOON), []
    registry = Registry(f"sqlite:///{folder / 'mlflow.db'}")
    bench = Bench(
        Services(
            home=folder,
            store=store,
            log=PredictionLog(str(folder / "log")),
            registry=registry,
            policy=lambda: made[0].policy,
            channel=Journal(folder / "notifications.jsonl"),
            wall=clock,
        ),
        parse_spec(SPEC),
        clock,
        policy=POLICY.model_copy(update={"risk": {risk: Rule(approvals=2) for risk in Risk}}),
    )
    made.append(bench)
    slack = LoopbackSlack()
    slack.add_routes(routes(slack))
    with slack:
        for name in ("ann", "ben", "cat"):
            slack.add_user(name)
        slack.add_channel(CHANNEL, "ann", "ben", "cat")
        for name in ("#bike-demand", "#feeds"):
            slack.add_channel(name, "ann", "ben", "cat")
        channels = {SLACK: Slack(slack.bot_token, slack.api_url, pace=0.0)}
        bench.services = replace(bench.services, channels=channels, composers=COMPOSERS, public_url=URL)
        slack._http = Direct(bench.services)  # type: ignore[assignment]
        scene = Scene(bench, slack)
        for name, role in (("ann", "approver"), ("ben", "approver"), ("cat", "viewer")):
            scene.person(name, role)
        follow(bench.services)
        yield scene
    store.close()


def happen(scene: Scene) -> str:
    """Version 2 is bad, and a rollback waits; besides, a retraining that is of high risk. Gives the rollback."""
    bench = scene.bench
    with scene.services.store.write() as session:
        session.add(Model(name="churn", spec=SPEC, registered_at=NOON - timedelta(days=90)))
    bench.add_versions(False, True)
    deployment.promote(scene.services.registry, "churn", "2", expected="1")
    with scene.services.store.write() as session:
        story = Story(session, name="churn", metric="accuracy", title="accuracy 0.61 on 412 labelled rows, 0.87 before")
        for number in range(30, 60):
            story.look(number, 0.87 + 0.01 * (number % 3 - 1) if number < 59 else 0.61)
        session.execute(
            update(MeasurementRow).values(
                threshold=0.8,
                low=MeasurementRow.value - 0.04,
                high=MeasurementRow.value + 0.03,
                status="ok",
                unit="accuracy",
            )
        )
        story.opened(DAY - 0.1)
        diagnosis = story.diagnosed(DAY - 0.05, **CAUSE)
        diagnosis.onset = NOON - timedelta(hours=26)
        row = file_proposal(
            scene.services,
            session,
            bench.spec,
            bench.rollback(),
            diagnosis,
            story.incident,
            at=NOON,
            requested_by="watchkeeper",
            why=CAUSE["action"]["why"],  # type: ignore[index]
            trial=TRIAL,
        )
        promise(
            session,
            key=f"incident:{story.incident.id}",
            recipient=CHANNEL,
            title="churn: accuracy fell",
            body="",
            subject=story.incident.id,
            at=NOON - timedelta(hours=2),
        )
        return row.id


def ask_for_retraining(scene: Scene) -> None:
    """Somebody asks for what is of high risk, outside any incident."""
    window = {"window_start": NOON - timedelta(days=30), "window_end": NOON}
    action = actions.Retrain(model="churn", expected_version="1", data_version="4", **window)  # type: ignore[arg-type]
    with scene.services.store.write() as session:
        file_proposal(
            scene.services,
            session,
            scene.bench.spec,
            action,
            None,
            None,
            at=scene.bench.clock(),
            requested_by="cat",
            why="the spring campaign brought other customers",
            trial=None,
        )
    scene.settle()


def storm(scene: Scene) -> None:
    """Forty models at once: a feed broke."""
    at = scene.bench.clock()
    with scene.services.store.write() as session:
        for number in range(40):
            name = f"demand-{number + 1:02}"
            session.add(Model(name=name, spec=SPEC.replace("name: churn", f"name: {name}"), registered_at=at))
            row = Incident(model=name, state="open", severity="warning", title="no rows since 11:00", opened_at=at)
            session.add(row)
            session.flush()
            promise(
                session,
                key=f"incident:{row.id}",
                recipient="#bike-demand",
                title=f"{name}: no rows since 11:00",
                body="",
                subject=row.id,
                at=at,
            )
    for _ in range(4):
        scene.settle()
        scene.bench.clock.advance("1m")


class Camera:
    """Somebody's browser before the loopback Slack; `shot` writes a picture."""

    def __init__(self, browser: Any, scene: Scene, out: Path) -> None:
        self.browser, self.scene, self.out = browser, scene, out

    def page(self, who: str, *, dark: bool = False, width: int = 1280, height: int = 900) -> Any:
        page = self.browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            device_scale_factor=1.5 if width > 500 else 2,
            timezone_id="UTC",
            locale="en-GB",
        )
        page.set_default_timeout(90_000)
        user = self.scene.slack.workspace.user(who).id
        page.goto(self.scene.slack.url)
        page.evaluate(f"localStorage.user = '{user}'")
        page.reload()
        self.go(page)
        return page

    def go(self, page: Any, channel: str = CHANNEL, *, thread: str = "", tab: str = "messages") -> None:
        """Show a channel ("@": the app itself), a thread beside it, and wait until all of it is there."""
        place = "app" if channel == "@" else self.scene.slack.workspace.channel(channel).id
        page.evaluate(
            "async ([place, thread, tab]) => { Object.assign(view, {place, thread, tab}); show(await load(-1)); }",
            [place, thread, tab],
        )
        page.wait_for_timeout(700)  # pictures are fetched

    def shot(self, name: str, target: Any) -> None:
        target.screenshot(path=self.out / f"slack-{name}.png")
        print(f"slack-{name}.png")

    def card(self, page: Any, message: Message, name: str, place: str = "main") -> None:
        found = page.locator(f'{place} article[data-ts="{message.ts}"]')
        found.scroll_into_view_if_needed()
        page.mouse.move(0, 0)
        self.shot(name, found)


def take(camera: Camera) -> None:
    """The whole way of one incident, picture by picture."""
    scene, slack = camera.scene, camera.scene.slack
    wanted = happen(scene)
    scene.settle()
    ann = camera.page("ann", width=1100, height=1330)
    root = scene.card("incident")
    camera.shot("channel", ann)
    phone = camera.page("ann", width=360, height=780)
    phone.evaluate("document.querySelectorAll('main article')[1].scrollIntoView()")
    camera.shot("phone", phone)
    ann.locator('main button[data-action="approve"]').first.click()
    ann.wait_for_selector("#confirm[open]")
    camera.shot("confirm", ann.locator("#confirm"))
    ann.locator("[data-confirm]").click()
    camera.go(ann, thread=root.ts)
    ann.wait_for_selector("#thread article.only")
    scene.settle()
    camera.go(ann)
    camera.card(ann, scene.card(), "quorum")
    ben = camera.page("ben")
    for button in ("details", "reject"):
        slack.click("ben", scene.card(), button)
        ben.wait_for_selector("#modal[open]")
        ben.wait_for_timeout(500)
        camera.shot(button, ben.locator("#modal"))
        opened = slack.modal("ben")
        assert opened is not None
        slack.close_modal("ben", opened)
        ben.wait_for_selector("#modal", state="hidden")
    slack.click("cat", scene.card(), "approve")
    cat = camera.page("cat")
    camera.go(cat, thread=root.ts)
    camera.card(cat, [one for one in slack.workspace.messages if one.only][-1], "not-you", "#thread")
    slack.click("ben", scene.card(), "approve")
    scene.settle()
    executor.run_ready(scene.services, worker="w1")
    scene.settle()
    assert scene.bench.proposal(wanted).state == "verifying", scene.bench.proposal(wanted)
    helped(scene)
    ann.set_viewport_size({"width": 1280, "height": 1250})
    camera.go(ann, thread=root.ts)
    camera.shot("thread", ann)
    dark = camera.page("ann", dark=True, height=1250)
    camera.go(dark, thread=root.ts)
    camera.shot("dark", dark)
    ask_for_retraining(scene)
    camera.go(ann)
    camera.card(ann, scene.cards("approval")[-1], "high-risk")
    talk(camera)
    home(camera)
    watch(camera, cat)
    storm(scene)
    camera.go(ann, "#bike-demand")
    camera.card(ann, slack.messages("#bike-demand")[-1], "digest")


def helped(scene: Scene) -> None:
    """Version 1 answers again, and is judged by what follows."""
    bench = scene.bench
    bench.serve(bench.clock(), 60, seed=5, version="1")
    bench.clock.advance("2d")
    finding = verify.judge(bench.services, bench.spec, bench.clock())
    with bench.services.store.write() as session:
        verify.settle(bench.services, session, bench.spec, finding, bench.clock())
    scene.settle()


def talk(camera: Camera) -> None:
    page, slack = camera.page("cat", height=720), camera.scene.slack
    slack.say("cat", CHANNEL, "@watchkeeper why did churn fall, and what was done?")
    asked = next(one for one in slack.messages(CHANNEL) if "what was done" in one.text)
    camera.go(page, thread=asked.ts)
    camera.shot("conversation", page.locator("#thread"))


def home(camera: Camera) -> None:
    page = camera.page("ann", height=640)
    camera.scene.slack.open_home("ann")
    camera.go(page, "@", tab="home")
    camera.shot("home", page)


def watch(camera: Camera, page: Any) -> None:
    for text in ("status", "approvals"):
        camera.scene.slack.command("cat", CHANNEL, "/watch", text)
    camera.go(page)
    camera.card(page, [one for one in camera.scene.slack.workspace.messages if one.only][-1], "watch-approvals")


def main(out: Path) -> None:
    from playwright.sync_api import sync_playwright

    found = os.environ.get("CHROMIUM") or next(path for name in NAMES if (path := shutil.which(name)))
    folder = Path(tempfile.mkdtemp(prefix="watchkeeper-pictures-"))
    try:
        with sync_playwright() as play, set_up(folder) as scene:
            browser = play.chromium.launch(executable_path=found, args=ARGS)
            take(Camera(browser, scene, out))
            browser.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
