"""Conversation in threads, suggestions, stop, feedback; App Home; `/watch`; linking; all on the loopback Slack."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import select

from agent.conversation.deadline import Stopped
from agent.conversation.desk import Event
from agent.doors.slack.handle import talk
from agent.pipeline import inbox, people
from agent.store.tables import Control, Feedback, InboundEvent, Message, SlackAnswer
from tests.agent.doors.slack.handle.conftest import CHANNEL, said
from tests.agent.doors.slack.handle.test_deciding_in_slack import filed  # noqa: F401 (a fixture)
from tests.agent.reports.story import Story, day


@pytest.fixture
def story(scene):
    """A diagnosed incident of `bike-demand`, with its evidence, and a retraining that waits for a decision."""
    scene.bench.clock.time = day(38.5)
    with scene.services.store.write() as session:
        made = Story(session).watched().opened()
        row = made.proposed(diagnosis=made.diagnosed())
        from agent.store.changes import promise

        for kind, subject in (("incident", made.incident.id), ("proposal", row.id)):
            promise(
                session, key=f"{kind}:{subject}", recipient=CHANNEL, title="bike-demand: look", body="",
                subject=subject,
                at=day(38),
            )  # fmt: skip
    scene.settle()
    return scene


def answer(scene, where, ts):
    """What was written in a thread, the last message first."""
    return [one for one in reversed(scene.slack.thread(where, ts)) if one.user == "U0WATCH"]


def test_a_mention_is_answered_in_its_thread_streamed_with_sources_and_thumbs(story):
    story.slack.say("cat", CHANNEL, "@watchkeeper why is bike-demand in trouble?")
    asked = story.top()[-1]
    (written,) = [one for one in answer(story, CHANNEL, asked.ts) if one.stream]
    assert "drift" in written.markdown.lower()
    assert not written.streaming
    kinds = [block["type"] for block in written.blocks]
    assert kinds[-1] == "context_actions"
    assert "Sources:" in said(written)
    assert "/incidents/i-" in said(written)
    assert story.slack.status(CHANNEL, asked.ts) == ""
    assert story.slack.called("assistant.threads.setStatus")
    assert story.slack.called("chat.startStream")[0].arguments["recipient_user_id"]


def test_a_direct_message_is_its_own_conversation(story):
    story.slack.say("ann", "@ann", "what waits for a decision?")
    asked = story.slack.messages("@ann")[0]
    assert "retrain" in said(answer(story, "@ann", asked.ts)[0]).lower()
    with story.services.store.read() as session:
        (mine,) = session.scalars(select(Message).where(Message.role == "person")).all()
    assert mine.person == "ann"


def test_the_same_message_delivered_twice_is_answered_once(story):
    sent = story.slack.say("ann", CHANNEL, "@watchkeeper what is wrong?")
    story.slack.redeliver(sent)
    with story.services.store.write() as session:  # as after a crash: the event is worked on once more
        for row in session.scalars(select(InboundEvent)):
            row.state, row.claim = "waiting", ""
    from agent.doors.slack.handle.dispatch import handle

    inbox.work_due(story.services, {"slack": handle})
    asked = next(one for one in story.top() if "what is wrong" in one.text)
    assert len(answer(story, CHANNEL, asked.ts)) == 1


@pytest.mark.parametrize("error", ["unknown_method", "feature_not_enabled", "method_not_supported_for_channel_type"])
def test_a_workspace_without_streams_gets_edits(story, error):
    story.slack.fail("chat.startStream", error=error, times=9)
    story.slack.say("ann", CHANNEL, "@watchkeeper why is bike-demand in trouble?")
    asked = next(one for one in story.top() if "why is" in one.text)
    (written,) = [one for one in answer(story, CHANNEL, asked.ts) if not one.files]
    assert not written.stream
    assert "drift" in said(written).lower()
    assert written.blocks[-1]["type"] == "context_actions"
    assert "Sources:" in said(written)


def test_a_question_in_a_cards_thread_is_about_its_subject(story):
    card = story.card("incident")
    story.slack.say("ann", CHANNEL, "@watchkeeper why?", thread=card.ts)
    with story.services.store.read() as session:
        (asked,) = session.scalars(select(Message.text).where(Message.role == "person")).all()
    assert asked.startswith("why? (about incident i-")
    assert "bike-demand" in asked
    assert "drift" in said(next(one for one in answer(story, CHANNEL, card.ts) if one.stream)).lower()


def test_ask_offers_questions_and_a_click_asks_one(story):
    story.slack.click("ann", story.card("incident"), "ask")
    invitation = answer(story, CHANNEL, story.card("incident").ts)[0]
    assert "Ask me about i-" in invitation.text
    click = story.slack.click("cat", invitation, "suggest:0")
    story.slack.redeliver(click)
    written = [one for one in answer(story, CHANNEL, story.card("incident").ts) if one.stream]
    assert len(written) == 1
    assert "drift" in said(written[0]).lower()


def slow(monkeypatch, begun):
    """An answer that takes until somebody stops it."""

    def reply(desk, conversation, text, caller, on_event, stop, **_):
        on_event(Event("token", "It began on Tuesday. "))
        begun.set()
        until = time.monotonic() + 20
        while not stop.is_set:
            assert time.monotonic() < until, "nobody stopped it"
            time.sleep(0.02)
        raise Stopped

    monkeypatch.setattr(talk, "reply", reply)


@pytest.mark.parametrize("how", ["word", "native", "button"])
def test_stop_stops(story, monkeypatch, how):
    begun = threading.Event()
    slow(monkeypatch, begun)
    if how == "button":  # it stands where the answer is written by edits
        story.slack.fail("chat.startStream", error="unknown_method", times=9)
    worker = threading.Thread(target=story.slack.say, args=("ann", CHANNEL, "@watchkeeper tell me all"))
    worker.start()
    assert begun.wait(20)
    asked = next(one for one in story.top() if "tell me all" in one.text)
    if how == "word":
        story.slack.say("ann", CHANNEL, "@watchkeeper stop", thread=asked.ts)
    elif how == "button":
        story.slack.click("ann", answer(story, CHANNEL, asked.ts)[0], "stop")
    else:
        user, channel = story.slack.workspace.user("ann"), story.slack.workspace.channel(CHANNEL)
        from agent.doors.slack.loopback import payloads

        inner = {"type": "agent_session_stopped", "user": user.id, "channel": channel.id, "thread_ts": asked.ts}
        story.slack.send("event", payloads.event(story.slack.workspace, inner))
    worker.join(20)
    assert "Stopped." in said(answer(story, CHANNEL, asked.ts)[0])
    with story.services.store.read() as session:
        assert session.scalar(select(SlackAnswer.state)) == "done"


def test_what_was_said_and_taken_back_is_replaced(story, monkeypatch):
    whole = talk.reply

    def reply(desk, key, text, caller, on_event, stop, **options):
        on_event(Event("token", "Everything is fine. "))
        on_event(Event("status", "once more", {"restart": True}))
        return whole(desk, key, text, caller, lambda event: None, stop, **options)

    monkeypatch.setattr(talk, "reply", reply)
    story.slack.say("ann", CHANNEL, "@watchkeeper why is bike-demand in trouble?")
    asked = next(one for one in story.top() if "why is" in one.text)
    written = next(one for one in answer(story, CHANNEL, asked.ts) if one.stream)
    assert "fine" not in said(written.as_json().get("blocks", [{}])[0])
    assert "drift" in said(written).lower()
    assert written.edits == 1


def test_thumbs_are_stored_and_a_bad_one_with_its_reason(story):
    story.slack.say("ann", CHANNEL, "@watchkeeper what is wrong?")
    asked = next(one for one in story.top() if "what is wrong" in one.text)
    written = next(one for one in answer(story, CHANNEL, asked.ts) if one.stream)
    up, down = (written.blocks[-1]["elements"][0][f"{sign}_button"]["value"] for sign in ("positive", "negative"))
    story.slack.click("ben", written, "feedback", value=up)
    assert "Thank you" in story.private("ben")
    story.slack.click("ann", written, "feedback", value=down)
    story.slack.submit("ann", story.slack.modal("ann"), {"reason": {"typed": "<b>too short</b>"}})
    with story.services.store.read() as session:
        rows = {row.person: (row.thumb, row.reason) for row in session.scalars(select(Feedback))}
    assert rows == {"ben": ("up", ""), "ann": ("down", "<b>too short</b>")}


def test_the_agent_view_offers_questions_about_what_is_open(story):
    opened = story.slack.open_assistant("ann", about=CHANNEL)
    channel, thread = (opened.payload["event"]["assistant_thread"][name] for name in ("channel_id", "thread_ts"))
    titles = [one["title"] for one in story.slack.workspace.prompts[channel, thread]]
    assert titles[0] == "Why is bike-demand in trouble?"
    assert len(titles) == 4


def test_a_stranger_is_not_answered(story):
    story.slack.add_user("fred", team="TELSEWHERE")
    story.slack.workspace.channel(CHANNEL).members.add(story.slack.workspace.user("fred").id)
    story.slack.say("fred", CHANNEL, "@watchkeeper what is wrong?")
    assert "another workspace" in story.private("fred")
    assert not story.slack.called("chat.startStream")


def test_home_shows_what_waits_for_me_and_a_button_there_decides(scene, filed):  # noqa: F811
    wanted = filed()
    scene.slack.open_home("ann")
    home = scene.slack.home("ann")
    assert "Waits for you" in said(home.body)
    assert wanted in said(home.body)
    scene.slack.open_home("cat")
    assert "Nothing waits for you" in said(scene.slack.home("cat").body)
    scene.slack.click("ann", home, "approve")
    assert scene.bench.proposal(wanted).state == "approved"
    assert "Nothing waits for you" in said(scene.slack.home("ann").body)


def test_home_of_somebody_unknown_says_how_to_link(scene):
    scene.slack.add_user("eve")
    scene.slack.open_home("eve")
    assert "/watch link CODE" in said(scene.slack.home("eve").body)


def test_details_show_the_exact_bytes(story):
    story.slack.click("cat", story.card(), "details")
    shown = said(story.slack.modal("cat").body)
    for part in (
        "data version",
        "`4:1200`",
        "retraining gains 21.3",
        "Ruled out",
        story.card().blocks[0]["text"]["text"][:10],
    ):
        assert part in shown or part.startswith("Approve?"), part


def test_a_window_that_comes_too_late_says_so(story):
    story.slack.fail("views.open", error="expired_trigger_id")
    story.slack.click("cat", story.card(), "details")
    assert "click again" in story.private("cat")


COMMANDS = [
    ("", "What I understand"),
    ("help", "What I understand"),
    ("nonsense *x*", "I do not know `nonsense`"),
    ("status", "`bike-demand`"),
    ("why bike-demand", "retraining gains 21.3"),
    ("why", "Which model?"),
    ("why nothing-like-it", "There is no model"),
    ("approvals", "Waits for a decision"),
    ("report bike-demand seven", "no length of time"),
    ("report bike-demand 99999d", "at most a year"),
    ("freeze", "You are viewer"),
    ("freeze because", "You are viewer"),
    ("unfreeze because", "You are viewer"),
    ("link", "link CODE"),
    ("link WRONG-CODE", "code"),
]


def test_watch_answers_privately_and_without_a_language_model(story):
    before = len(story.top())
    for text, shows in COMMANDS:
        story.slack.command("cat", CHANNEL, "/watch", text)
        assert shows in story.private("cat"), text
    assert len(story.top()) == before


def test_watch_report_comes_with_its_pdf_in_the_thread(story):
    story.slack.command("cat", CHANNEL, "/watch", "report bike-demand 30d")
    assert "on its way" in story.private("cat")
    story.settle()
    message = story.top()[-1]
    assert "bike-demand: the last 30d" in said(message)
    files = [story.slack.workspace.files[name] for one in story.thread(message) for name in one.files]
    assert [one.name.endswith(".pdf") for one in files] == [True]
    assert files[0].content.startswith(b"%PDF")
    assert not story.undelivered()


def test_freezing_takes_an_operator_and_thawing_two(scene):
    scene.slack.add_user("olga")
    scene.person("olga", role="operator")
    scene.slack.command("olga", CHANNEL, "/watch", "freeze the feed is odd")
    with scene.services.store.read() as session:
        assert session.get_one(Control, 1).frozen_by == "olga"
    scene.slack.command("ann", CHANNEL, "/watch", "unfreeze it is fine")
    assert "1 more must ask" in scene.private("ann")
    scene.slack.command("ben", CHANNEL, "/watch", "unfreeze it is fine")
    assert "Executions start again" in scene.private("ben")


def code_for(scene, name):
    with scene.services.store.write() as session:
        person = people.found(session, name) or people.add(session, scene.services, name, role="approver", by="test")
        return people.make_link_code(session, scene.services, person)


def test_a_code_links_once(scene, filed):  # noqa: F811
    scene.bench.policy = scene.bench.policy.model_copy(
        update={"people": {**scene.bench.policy.people, "gil": scene.bench.policy.people["ann"]}}
    )
    wanted, code = filed(), code_for(scene, "gil")
    for name in ("gil", "eve"):
        scene.slack.add_user(name)
        scene.slack.workspace.channel(CHANNEL).members.add(scene.slack.workspace.user(name).id)
    scene.slack.command("gil", CHANNEL, "/watch", f"link {code}")
    assert "you are gil" in scene.private("gil")
    scene.slack.command("eve", CHANNEL, "/watch", f"link {code}")
    assert "Now I know you" not in scene.private("eve")
    scene.slack.click("gil", scene.card(), "approve")
    assert scene.bench.proposal(wanted).state == "approved"


def test_a_code_that_is_too_old_links_nobody(scene):
    code = code_for(scene, "gil")
    scene.slack.add_user("gil")
    scene.bench.clock.advance(timedelta(minutes=11))
    scene.slack.command("gil", CHANNEL, "/watch", f"link {code}")
    with scene.services.store.read() as session:
        user = scene.slack.workspace.user("gil")
        assert people.person_of(session, "slack", f"{user.team}/{user.id}") is None
    assert "Now I know you" not in scene.private("gil")
    assert scene.private("gil")
