"""The loopback Slack answers the real client as Slack does, and refuses what Slack refuses."""

from __future__ import annotations

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

PLAIN = {"type": "plain_text", "text": "Approve"}


def section(text):
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def post(client, channel, **options):
    given = {"channel": channel, "text": "hello", "unfurl_links": False, **options}
    return client.api_call("chat.postMessage", json=given)  # the method of its own warns of what is refused here


def refusal(call, *args, **options):
    with pytest.raises(SlackApiError) as caught:
        call(*args, **options)
    return caught.value.response


def test_a_message_is_posted_edited_answered_and_deleted(slack, client):
    posted = post(client, "#churn", blocks=[section("*hello*")])
    channel, ts = posted["channel"], posted["ts"]
    post(client, channel, thread_ts=ts, text="in the thread")
    client.chat_update(channel=channel, ts=ts, text="changed")
    assert [message.text for message in slack.messages("#churn")] == ["changed"]
    assert [message.text for message in slack.thread("#churn", ts)] == ["changed", "in the thread"]
    assert "archives" in client.chat_getPermalink(channel=channel, message_ts=ts)["permalink"]
    client.chat_delete(channel=channel, ts=ts)
    assert slack.messages("#churn") == []


def test_what_is_for_one_person_is_seen_by_nobody_else(slack, client):
    ann = slack.workspace.user("ann").id
    client.chat_postEphemeral(channel=slack.workspace.channel("#churn").id, user=ann, text="only you")
    assert slack.messages("#churn") == slack.messages("#churn", seen_by="ben") == []
    assert [message.text for message in slack.messages("#churn", seen_by="ann")] == ["only you"]


def test_an_answer_is_streamed(slack, client):
    slack.say("ann", "@ann", "why?")
    (question,) = slack.messages("@ann")
    stream = client.chat_stream(channel=question.channel, thread_ts=question.ts, buffer_size=5)
    stream.append(markdown_text="because of ")
    stream.append(markdown_text="the age")
    feedback = {"text": PLAIN, "value": "good"}
    buttons = {
        "type": "feedback_buttons",
        "action_id": "feedback",
        "positive_button": feedback,
        "negative_button": {"text": PLAIN, "value": "bad"},
    }
    stream.stop(blocks=[{"type": "context_actions", "elements": [buttons]}])
    answer = slack.thread("@ann", question.ts)[-1]
    assert answer.markdown == "because of the age"
    assert (answer.stream, answer.streaming) == (True, False)
    assert refusal(client.chat_appendStream, channel=answer.channel, ts=answer.ts, markdown_text="more")["error"] == (
        "message_not_in_streaming_state"
    )


def test_a_file_is_uploaded_into_a_thread(slack, client):
    posted = post(client, "#churn")
    client.files_upload_v2(
        channel=posted["channel"], thread_ts=posted["ts"], filename="report.pdf", content=b"%PDF", title="Report"
    )
    (file,) = [slack.workspace.files[item] for item in slack.thread("#churn", posted["ts"])[-1].files]
    assert (file.name, file.title, file.content, file.shared) == ("report.pdf", "Report", b"%PDF", True)


def test_status_title_and_prompts_of_an_agent_thread(slack, client):
    slack.say("ann", "@ann", "why?")
    (question,) = slack.messages("@ann")
    place = {"channel_id": question.channel, "thread_ts": question.ts}
    client.assistant_threads_setStatus(**place, status="is reading the incident", loading_messages=["Reading"])
    client.assistant_threads_setTitle(**place, title="churn")
    client.assistant_threads_setSuggestedPrompts(**place, prompts=[{"title": "Why?", "message": "Why did it alert?"}])
    assert slack.status("@ann", question.ts) == "is reading the incident"
    post(client, question.channel, thread_ts=question.ts, text="because")
    assert slack.status("@ann", question.ts) == "", "an answer ends it"


@pytest.mark.parametrize(
    ("error", "options"),
    [
        ("no_text", {"text": ""}),
        ("no_text", {"text": "", "blocks": [section("words")]}),
        ("msg_too_long", {"text": "x" * 40_001}),
        ("invalid_blocks", {"blocks": [section("x")] * 51}),
        ("invalid_blocks", {"blocks": [section("x" * 3001)]}),
        ("invalid_blocks", {"blocks": [section("")]}),
        ("invalid_blocks", {"blocks": [section("a < b")]}),
        ("invalid_blocks", {"blocks": [section("<!channel> look")]}),
        ("invalid_blocks", {"blocks": [{"type": "header", "text": {**PLAIN, "text": "x" * 151}}]}),
        ("invalid_blocks", {"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}),
        ("invalid_blocks", {"blocks": [{"type": "section"}]}),
        ("invalid_blocks", {"blocks": [{"type": "section", "fields": [PLAIN] * 11}]}),
        ("invalid_blocks", {"blocks": [{"type": "hologram"}]}),
        ("invalid_blocks", {"blocks": [{**section("x"), "colour": "red"}]}),
        ("invalid_blocks", {"blocks": [{**section("x"), "block_id": "b" * 256}]}),
        ("invalid_blocks", {"blocks": [{**section("x"), "block_id": "b"}, {**section("y"), "block_id": "b"}]}),
        ("invalid_blocks", {"blocks": [{"type": "image", "alt_text": "chart"}]}),
        ("invalid_blocks", {"blocks": [{"type": "table", "rows": [[{"type": "raw_text", "text": "x"}]] * 101}]}),
        ("msg_blocks_too_long", {"blocks": [section("x" * 2500)] * 5}),
        ("invalid_arguments", {"colour": "red"}),
        ("invalid_arguments", {"unfurl_links": True}),
        ("invalid_arguments", {"text": "a & b"}),
        ("thread_not_found", {"thread_ts": "1.000001"}),
        ("channel_not_found", {"channel": "C404"}),
        ("markdown_text_conflict", {"markdown_text": "and"}),
        ("invalid_metadata_format", {"metadata": {"event_type": "x"}}),
    ],
)
def test_a_message_beyond_the_limits_is_refused_by_its_name(slack, client, error, options):
    assert refusal(post, client, **{"channel": "#churn", **options})["error"] == error
    assert slack.messages("#churn") == []


@pytest.mark.parametrize(
    "element",
    [
        {"type": "button", "text": {**PLAIN, "text": "x" * 76}, "action_id": "a"},
        {"type": "button", "text": PLAIN, "action_id": "a" * 256},
        {"type": "button", "text": PLAIN, "action_id": "a", "value": "v" * 2001},
        {"type": "button", "text": PLAIN, "action_id": "a", "style": "loud"},
        {"type": "button", "text": PLAIN, "action_id": "a", "confirm": {"title": PLAIN, "text": PLAIN}},
        {"type": "overflow", "action_id": "a", "options": [{"text": PLAIN, "value": str(n)} for n in range(6)]},
        {"type": "static_select", "action_id": "a", "options": [{"text": PLAIN, "value": "v" * 151}]},
        {"type": "static_select", "action_id": "a"},
        {"type": "plain_text_input", "action_id": "a"},
    ],
)
def test_an_element_beyond_its_limits_is_refused_and_the_place_is_said(client, slack, element):
    answer = refusal(post, client, "#churn", blocks=[{"type": "actions", "elements": [element]}])
    assert answer["error"] == "invalid_blocks"
    assert "json-pointer:/blocks/0/elements/0" in answer["response_metadata"]["messages"][0]


def test_tokens_scopes_and_membership_are_checked(slack, client):
    assert client.auth_test()["user_id"] == "U0WATCH"
    assert "chat:write" in client.auth_test().headers["x-oauth-scopes"]
    slack.add_channel("#elsewhere", "ann", app=False)
    assert refusal(post, client, "#elsewhere")["error"] == "not_in_channel"
    assert refusal(WebClient("xoxb-other", base_url=slack.api_url).auth_test)["error"] == "invalid_auth"
    assert refusal(client.apps_connections_open, app_token=slack.bot_token)["error"] == "not_allowed_token_type"
    slack.web.scopes.discard("files:write")
    answer = refusal(client.files_getUploadURLExternal, filename="a", length=1)
    assert (answer["error"], answer["needed"]) == ("missing_scope", "files:write")


def test_modals_and_home_have_their_own_limits(slack, client):
    modal = {"type": "modal", "title": {**PLAIN, "text": "Reject"}, "blocks": [section("Why?")]}
    label = {"label": PLAIN, "element": {"type": "plain_text_input", "action_id": "reason"}}
    with slack.workspace.lock:
        trigger = slack.workspace.new_trigger(slack.workspace.user("ann").id)

    def error(view):
        return refusal(client.views_open, trigger_id=trigger, view=view)["error"]

    assert error({**modal, "title": {**PLAIN, "text": "x" * 25}}) == "invalid_arguments"
    assert error({**modal, "blocks": [{"type": "input", **label}]}) == "invalid_arguments", "an input needs a submit"
    assert error({**modal, "private_metadata": "x" * 3001}) == "invalid_arguments"
    opened = client.views_open(
        trigger_id=trigger, view={**modal, "submit": PLAIN, "blocks": [{"type": "input", **label}]}
    )
    assert slack.modal("ann").id == opened["view"]["id"]
    assert error(modal) == "exchanged_trigger_id"
    changed = client.views_update(view_id=opened["view"]["id"], hash=opened["view"]["hash"], view=modal)
    stale = {"view_id": changed["view"]["id"], "hash": opened["view"]["hash"]}
    assert refusal(client.views_update, **stale, view=modal)["error"] == "hash_conflict"
    home = {"type": "home", "blocks": [section("x")] * 101}
    ann = slack.workspace.user("ann").id
    assert refusal(client.views_publish, user_id=ann, view=home)["error"] == "invalid_arguments"
    client.views_publish(user_id=ann, view={**home, "blocks": home["blocks"][:100]})
    assert len(slack.home("ann").body["blocks"]) == 100


def test_a_trigger_opens_nothing_after_three_seconds(slack, client, monkeypatch):
    with slack.workspace.lock:
        trigger = slack.workspace.new_trigger(slack.workspace.user("ann").id)
        user, since = slack.workspace.triggers[trigger]
        slack.workspace.triggers[trigger] = (user, since - 3.1)
    modal = {"type": "modal", "title": PLAIN, "blocks": []}
    assert refusal(client.views_open, trigger_id=trigger, view=modal)["error"] == "expired_trigger_id"


def test_it_limits_fails_and_hangs_on_demand(slack, client):
    slack.fail("chat.postMessage", retry_after=7)
    limited = refusal(post, client, "#churn")
    assert (limited.status_code, limited.headers["retry-after"], limited["error"]) == (429, "7", "ratelimited")
    slack.fail("*", error="internal_error")
    assert refusal(post, client, "#churn")["error"] == "internal_error"
    slack.fail("chat.postMessage", status=500, after=True)
    refusal(post, client, "#churn")
    assert len(slack.messages("#churn")) == 1, "done, and the answer was lost"
    slack.fail("chat.postMessage", hang=5)
    with pytest.raises(TimeoutError):
        post(WebClient(slack.bot_token, base_url=slack.api_url, timeout=1), "#churn")
    slack.pace = 60
    post(client, "#churn")
    assert refusal(post, client, "#churn")["error"] == "ratelimited"
