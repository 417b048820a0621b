"""What Slack is told without anybody asking: storms, reminders, escalation, failures; once, also after a crash."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from agent.pipeline import approve as deciding
from agent.pipeline.notify import deliver_due
from agent.pipeline.remind import remind_due
from agent.store.changes import promise
from agent.store.tables import Incident, Model, Outbox
from tests.agent.conftest import SPEC
from tests.agent.doors.slack.handle.conftest import CHANNEL, said
from tests.agent.doors.slack.handle.test_deciding_in_slack import filed  # noqa: F401 (a fixture)


def reminders(scene):
    with scene.services.store.read() as session:
        return list(
            session.scalars(select(Outbox.key).where(Outbox.kind.in_(("reminder", "escalation"))).order_by(Outbox.id))
        )


def reminded(scene):
    return [said(one) for one in scene.thread(scene.card("incident")) if "Still waits" in said(one)]


def test_a_reminder_at_half_of_the_time_and_at_nine_tenths_once_each(scene, filed):  # noqa: F811
    wanted = filed()  # two days to decide
    scene.bench.clock.advance("23h")
    scene.settle()
    assert reminders(scene) == []
    scene.bench.clock.advance("2h")
    for _ in range(3):
        scene.settle()
    assert reminders(scene) == [f"reminder:{wanted}:50"]
    assert len(reminded(scene)) == 1
    assert "<@" in reminded(scene)[0]  # who can decide is called by name
    scene.bench.clock.advance("19h")
    for _ in range(3):
        scene.settle()
    assert reminders(scene)[1:] == [f"reminder:{wanted}:90", f"escalation:{wanted}:ann", f"escalation:{wanted}:ben"]
    assert len(reminded(scene)) == 2
    for who in ("ann", "ben"):
        (direct,) = scene.slack.messages(f"@{who}")
        assert "You can decide" in said(direct)
    scene.slack.click("ann", scene.slack.messages("@ann")[0], "approve")
    assert scene.bench.proposal(wanted).state == "approved"
    assert scene.slack.messages("@cat") == []
    assert not scene.undelivered()


def test_who_looks_late_reminds_once(scene, filed):  # noqa: F811
    wanted = filed()
    scene.bench.clock.advance("44h")
    scene.settle()
    assert reminders(scene)[0] == f"reminder:{wanted}:90"
    assert len(reminded(scene)) == 1


@pytest.mark.parametrize("how", ["approved", "rejected", "expired"])
def test_nobody_is_reminded_of_what_is_decided(scene, filed, how):  # noqa: F811
    wanted = filed()
    if how == "approved":
        deciding.approve(scene.services, wanted, person="ann")
    elif how == "rejected":
        deciding.reject(scene.services, wanted, person="ann", reason="no")
    scene.bench.clock.advance("44h" if how != "expired" else "49h")
    scene.settle()
    assert reminders(scene) == []


def test_a_reminder_that_is_late_itself_says_nothing(scene, filed):  # noqa: F811
    """Promised, and then decided before it was delivered."""
    wanted = filed()
    scene.bench.clock.advance("25h")
    assert remind_due(scene.services) == 1
    deciding.approve(scene.services, wanted, person="ann")
    scene.settle()
    assert reminded(scene) == []


def test_a_storm_becomes_a_digest(scene):
    """Sixty incidents of as many models in one channel (500: see the deliveries' own test): a few cards, one digest."""
    at = scene.bench.clock()
    with scene.services.store.write() as session:
        for number in range(60):
            name = f"model-{number:03}"
            session.add(Model(name=name, spec=SPEC.replace("name: churn", f"name: {name}"), registered_at=at))
            row = Incident(model=name, state="open", severity="critical", title="<b>loss</b> & co", opened_at=at)
            session.add(row)
            session.flush()
            promise(
                session, key=f"incident:{row.id}", recipient=CHANNEL, title=f"{name}: critical", body="it broke",
                subject=row.id, at=at,
            )  # fmt: skip
    for _ in range(4):
        scene.settle()
        scene.bench.clock.advance("1m")
    told = scene.top()
    assert 2 <= len(told) <= 10
    assert not scene.undelivered(but=("collapsed",))
    (digest,) = [one for one in told if "Many alerts at once" in said(one)]
    assert "and 25 more" in said(digest)
    assert "&lt;b&gt;" in said(scene.cards("incident")[0])


def test_an_answer_of_slacks_that_is_lost_makes_no_second_card(scene, filed):  # noqa: F811
    scene.slack.fail("chat.postMessage", status=500, after=True)
    filed()
    scene.bench.clock.advance("1m")
    scene.settle()
    assert len(scene.cards("incident")) == 1
    assert len(scene.cards("approval")) == 1
    assert not scene.undelivered()


def test_slack_that_asks_to_wait_is_waited_for(scene, filed):  # noqa: F811
    scene.slack.fail("chat.postMessage", retry_after=30, times=2)
    filed()
    assert scene.top() == []
    for _ in range(3):
        scene.bench.clock.advance("31s")
        scene.settle()
    assert scene.card()
    assert not scene.undelivered()


def test_the_owner_of_broken_data_is_told_in_their_own_channel(scene):
    scene.slack.add_channel("#feeds", "ann")
    at = scene.bench.clock()
    with scene.services.store.write() as session:
        promise(
            session, key="fix_data:p-1", recipient="#feeds", title="churn: `age` arrives broken <!channel>",
            body="seen since 12:00\n" + "x" * 9000, subject="p-1", at=at,
        )  # fmt: skip
    scene.settle()
    (message,) = scene.slack.messages("#feeds")
    assert "arrives broken &lt;!channel&gt;" in said(message)
    files = [scene.slack.workspace.files[one] for m in scene.slack.thread("#feeds", message.ts) for one in m.files]
    assert len(files[0].content) > 9000


def test_what_was_not_done_is_said_and_the_card_is_final(scene, filed):  # noqa: F811
    from agent import executor

    wanted = filed()
    scene.slack.click("ann", scene.card(), "approve")
    scene.bench.clock.advance(timedelta(hours=7))  # it was to start within six
    executor.run_ready(scene.services, worker="w1")
    scene.settle()
    assert scene.bench.proposal(wanted).state in ("expired", "superseded")
    assert "nothing was done" in said(scene.card())
    assert deliver_due(scene.services) == 0
