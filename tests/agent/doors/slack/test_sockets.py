"""Socket Mode with the real client: acknowledged when kept, whatever happens to the connections and the processes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import pytest
from sqlalchemy import event, select

from agent.doors.inbound import Workers
from agent.doors.slack import routes
from agent.doors.slack.receive import Reception
from agent.doors.slack.sockets import SocketMode
from agent.pipeline import inbox
from agent.pipeline.services import Services
from agent.pipeline.slack_app import SlackApp
from agent.store.tables import InboundEvent


class Replica:
    """A process's part of the door: sockets, reception and workers."""

    def __init__(self, services):
        self.workers = Workers(services, {"slack": routes.handle}).start()
        self.reception = Reception(services, self.workers.wake)
        self.sockets = SocketMode(self.reception).start()

    def stop(self):
        self.sockets.stop()
        self.reception.close()
        self.workers.stop()


@pytest.fixture
def services(tmp_path, store, slack):
    return Services(
        home=tmp_path,
        store=store,
        log=None,
        registry=None,
        policy=None,
        channel=None,
        wall=lambda: datetime.now(UTC),
        slack=SlackApp(slack.bot_token, slack.app_token, "", slack.api_url),
    )


@pytest.fixture
def worked(monkeypatch):
    """Texts of mentions, as they were worked on; `worked.wait_for(n)` until there are so many."""

    class Worked(list):
        changed = threading.Condition()

        def wait_for(self, count, seconds=30):
            with self.changed:
                assert self.changed.wait_for(lambda: len(self) >= count, seconds), f"{len(self)} of {count}: {self}"
            return self

    found = Worked()

    def handler(_, came):
        with found.changed:
            found.append(came["payload"]["text"].split()[-1])
            found.changed.notify_all()

    monkeypatch.setitem(routes.HANDLERS, "mention", handler)
    return found


@pytest.fixture
def replica(services):
    made = Replica(services)
    yield made
    made.stop()


def mention(slack, text):
    return slack.say("ann", "#churn", f"@watchkeeper {text}")


def test_an_event_is_acknowledged_kept_and_worked_on_at_once(slack, replica, worked):
    delivery = mention(slack, "hello").wait()
    assert delivery.response == {}
    assert worked.wait_for(1) == ["hello"]


def test_disconnects_polite_or_not_lose_nothing_and_nothing_is_done_twice(slack, replica, worked):
    mention(slack, "0").wait()
    for number in range(1, 9):
        if number % 2:
            slack.disconnect(polite=number % 4 == 1)
        delivery = mention(slack, str(number))
        if not delivery.done.wait(5):  # it went into a connection that was ending: Slack sends it again
            slack.redeliver(delivery).wait(30)
        slack.redeliver(delivery).wait(30)
    assert sorted(worked.wait_for(9)) == [str(number) for number in range(9)]
    assert slack.sockets.connected > 2, "connections were opened again"


def test_an_event_over_two_replicas_is_worked_on_once(slack, services, replica, worked):
    other = Replica(services)
    try:
        deliveries = [mention(slack, str(number)) for number in range(20)]
        for delivery in deliveries:
            delivery.wait(30)
        for delivery in deliveries:
            slack.redeliver(delivery).wait(30)
        worked.wait_for(20)
    finally:
        other.stop()
    assert sorted(worked, key=int) == [str(number) for number in range(20)]


def test_what_cannot_be_kept_is_not_acknowledged_and_kept_when_it_comes_again(slack, services, replica, worked):
    mention(slack, "first").wait()
    worked.wait_for(1)
    with services.store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE inbound_event RENAME TO away")
    delivery = mention(slack, "second")
    assert not delivery.done.wait(0.5)
    with services.store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO inbound_event")
    slack.redeliver(delivery).wait()
    assert worked.wait_for(2) == ["first", "second"]


def test_a_click_is_worked_on_while_every_language_model_hangs(slack, client, services, worked, monkeypatch, replica):
    hanging, clicked = threading.Event(), threading.Event()
    monkeypatch.setitem(routes.HANDLERS, "mention", lambda *_: hanging.wait(30))

    def open_modal(services, came):
        view = {"type": "modal", "title": {"type": "plain_text", "text": "Reject"}, "blocks": []}
        services.slack.client().views_open(trigger_id=came["payload"]["trigger_id"], view=view)
        clicked.set()

    monkeypatch.setitem(routes.HANDLERS, "action", open_modal)
    for number in range(20):
        mention(slack, str(number))
    button = {"type": "button", "text": {"type": "plain_text", "text": "Reject"}, "action_id": "reject"}
    client.chat_postMessage(
        channel="#churn", text="card", blocks=[{"type": "actions", "elements": [button]}], unfurl_links=False
    )
    card = slack.messages("#churn")[-1]
    slack.click("ben", card, "reject").wait()
    assert clicked.wait(10)
    assert slack.modal("ben") is not None, "the trigger was still good"
    hanging.set()


def test_slack_out_of_reach_at_the_start_is_waited_for(slack, services, worked):
    slack.fail("apps.connections.open", error="internal_error", times=3)
    replica = Replica(services)
    try:
        mention(slack, "late").wait(30)
        assert worked.wait_for(1) == ["late"]
    finally:
        replica.stop()


def test_a_hundred_clicks_at_once_are_acknowledged_while_the_model_hangs_and_the_database_is_slow(
    slack, client, services, replica, monkeypatch
):
    """Loosely, on whatever machine: one after the other would take twenty seconds. `make bench-slack` measures it."""
    hanging = threading.Event()
    monkeypatch.setitem(routes.HANDLERS, "mention", lambda *_: hanging.wait(60))
    monkeypatch.setitem(routes.HANDLERS, "action", lambda *_: None)
    for number in range(6):
        mention(slack, str(number)).wait(30)
    event.listen(services.store.engine, "commit", lambda _: time.sleep(0.2))
    button = {"type": "button", "text": {"type": "plain_text", "text": "Ask"}, "action_id": "ask"}
    client.chat_postMessage(
        channel="#churn", text="card", blocks=[{"type": "actions", "elements": [button]}], unfurl_links=False
    )
    card = slack.messages("#churn")[-1]
    deliveries = [slack.click("ben", card, "ask") for _ in range(100)]
    seconds = [delivery.wait(30).seconds for delivery in deliveries]
    hanging.set()
    assert max(seconds) < 10


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from agent.doors.slack.parse import from_payload
from agent.doors.slack.receive import Reception
from agent.pipeline.services import Services
from agent.store.session import Store
services = Services(None, Store(sys.argv[1]), None, None, None, None, lambda: datetime.now(UTC))
event = {"type": "app_mention", "user": "U1", "channel": "C1", "ts": "1.1", "text": "still there"}
came = from_payload({"type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event": event}, fallback=b"")
print(Reception(services).keep(came).result().value, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_between_keeping_and_working_it_is_worked_on_after_the_restart(services, worked):
    program = subprocess.run([sys.executable, "-c", KILLED, services.store.url], capture_output=True, text=True)
    assert (program.returncode, program.stdout) == (-9, "new\n"), program.stderr
    with services.store.read() as session:
        assert session.scalar(select(InboundEvent.state)) == "waiting"
    assert inbox.work_due(services, {"slack": routes.handle}) == 1
    assert worked == ["there"]
