"""Messages to a Slack that limits, fails, hangs and dies in between: nothing is lost, nothing comes twice.

DELIVERIES says how many messages; `make deliveries` takes 2,000.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from agent.domain.notifying import Notifications
from agent.doors.slack.loopback.server import LoopbackSlack
from agent.pipeline.notify import deliver_due
from agent.store.changes import promise
from agent.store.tables import Delivery, Destination
from notifications.slack import Slack

MANY = int(os.environ.get("DELIVERIES", "60"))
CHANNELS = 10
PATIENCE = 1
"""Seconds that the client waits."""
FAULTS = (
    {"retry_after": 1},
    {"status": 500},
    {"status": 502, "after": True},
    {"status": 503},
    {"error": "internal_error"},
    {"error": "internal_error", "after": True},
    {"error": "fatal_error"},
    {"error": "ratelimited"},
    {"hang": 1.5 * PATIENCE},
    {"hang": 1.5 * PATIENCE, "after": True},
)


@pytest.fixture
def slack():
    with LoopbackSlack() as made:
        made.add_user("ann")
        for number in range(CHANNELS):
            made.add_channel(f"#c{number}", "ann")
        yield made


def over_slack(bench, slack, **more):
    channel = Slack(slack.bot_token, slack.api_url, pace=0.0, seconds=PATIENCE)
    loud = Notifications.model_validate({"storm": {"more_than": 50, "within": "1s"}})
    return replace(bench.services, channels={"slack": channel}, notifications=lambda: loud, **more)


def promise_some(bench, count, *, first=0):
    with bench.services.store.write() as session:
        for number in range(first, first + count):
            promise(
                session,
                key=f"note:{number:05}",
                recipient=f"#c{number % CHANNELS}",
                title=f"message {number}",
                body="of many",
                subject=f"s{number % 7}",
                at=bench.clock(),
            )


def posted(slack, *, top=CHANNELS):
    """The keys in each channel, in the order in which they stand there."""
    return [[message.metadata["event_payload"]["key"] for message in slack.messages(f"#c{n}")] for n in range(top)]


def states(bench):
    with bench.services.store.read() as session:
        query = select(Delivery.state, func.count()).where(Delivery.channel == "slack").group_by(Delivery.state)
        return dict(iter(session.execute(query)))


def test_every_message_arrives_once_through_429s_500s_hangs_and_refusals(bench, slack):
    dice, hangs = random.Random(7), 1  # a hang costs a second of real time
    for number in range(MANY // 2):
        fault = dice.choice(FAULTS)
        if "hang" in fault:
            hangs -= 1
        if "hang" not in fault or hangs >= 0 or number % 100 == 0:
            slack.fail("chat.postMessage", times=dice.randint(1, 3))  # these go well
            slack.fail("chat.postMessage", **fault)
    services, rounds = over_slack(bench, slack), 0
    promise_some(bench, MANY)
    deliver_due(services)
    while states(bench) != {"delivered": MANY}:
        rounds += 1
        assert rounds < 400, states(bench)
        while slack.web.hanging:  # a pause between two tries is longer than Slack takes, but for the clock here
            time.sleep(0.05)
        bench.clock.advance("20m")
        deliver_due(services)
    there = Counter(key for channel in posted(slack) for key in channel)
    assert set(there) == {f"note:{number:05}" for number in range(MANY)}
    assert set(there.values()) == {1}
    wrong = Counter(call.error for call in slack.calls if call.method == "chat.postMessage")
    assert {"ratelimited", "http 500", "internal_error"} <= set(wrong)
    sys.stdout.write(f"{MANY} messages, each once; calls by their error: {dict(wrong)}\n")


def test_one_channel_that_is_gone_holds_up_no_other_and_its_messages_come_later(bench, slack):
    services = over_slack(bench, slack)
    slack.workspace.channel("#c3").name = "renamed"
    promise_some(bench, 40)
    deliver_due(services)
    assert states(bench) == {"delivered": 36, "waiting": 4}
    with bench.services.store.read() as session:
        place = session.get_one(Destination, ("slack", "#c3"))
    assert "invite it" in place.error
    slack.workspace.channel("#renamed").name = "c3"
    bench.clock.advance("20m")
    deliver_due(services)
    assert states(bench) == {"delivered": 40}
    assert all(keys == sorted(keys) for keys in posted(slack))


CHILD = Path(__file__).with_name("delivering_process.py")


@pytest.mark.parametrize("moment", ["before it is sent", "after it arrived"])
def test_a_process_that_is_killed_in_between_loses_nothing_and_its_copy_is_known(bench, slack, moment):
    """Committed, then killed: while Slack has not heard of it, and when it has and the process has not."""
    promise_some(bench, 3, first=0)
    command = [sys.executable, str(CHILD), bench.services.store.url, slack.api_url, bench.clock().isoformat(), moment]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "now"
        child.kill()
    arrived = [key for channel in posted(slack) for key in channel]
    assert arrived == ([] if moment == "before it is sent" else ["note:00000"])
    services = over_slack(bench, slack)
    assert deliver_due(services) == 2 + 3  # the other channels; the journal's three
    bench.clock.advance("1m")  # the lease of the dead runs out
    assert deliver_due(services) == 1
    assert sorted(key for channel in posted(slack) for key in channel) == ["note:00000", "note:00001", "note:00002"]
