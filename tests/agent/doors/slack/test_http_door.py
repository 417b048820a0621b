"""Slack over HTTP: what is Slack's is kept once, then acknowledged; whatever else comes is a 401, and never a 5xx."""

from __future__ import annotations

import asyncio
import json
import os
import random
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from starlette.testclient import TestClient

from agent.doors.api.app import create_app
from agent.doors.guard import Guard
from agent.doors.routes import declared
from agent.doors.slack import http, routes
from agent.doors.slack.loopback.delivery import signed
from agent.doors.slack.receive import Reception
from agent.pipeline import inbox
from agent.pipeline.services import Services
from agent.pipeline.slack_app import SlackApp
from agent.store.tables import InboundEvent

SECRET = "a signing secret"
SCALE = int(os.environ.get("SLACK_CALLS", "10"))
"""Of a hundred calls of the full run (`make attacks-slack`), so many are made."""
FORGED, VALID = 5000 * SCALE // 100, 1000 * SCALE // 100


@pytest.fixture
def services(tmp_path, store, clock):
    return Services(
        home=tmp_path,
        store=store,
        log=None,
        registry=None,
        policy=None,
        channel=None,
        wall=clock,
        slack=SlackApp(signing_secret=SECRET),
    )


def app_of(services):
    """The door with its guard, and nothing else of the application: it is made in no time."""
    app = FastAPI()
    app.include_router(http.router)
    app.state.services, app.state.slack = services, Reception(services)
    app.add_middleware(Guard, refuse=None)
    return app


@pytest.fixture
def door(services):
    app = app_of(services)
    yield TestClient(app, base_url="http://watch.example.org", raise_server_exceptions=True)
    app.state.slack.close()


def mention(number=0, **inner):
    given = {
        "type": "app_mention",
        "user": "U1",
        "channel": "C1",
        "ts": f"1.{number:06d}",
        "text": "why?",
        "team": "T1",
    }
    event = {**given, **inner}
    return {"type": "event_callback", "team_id": "T1", "event_id": f"Ev{number}", "event": event}


def click(number=0):
    return {
        "type": "block_actions",
        "user": {"id": "U1", "team_id": "T1"},
        "team": {"id": "T1"},
        "trigger_id": f"trigger-{number}",
        "actions": [{"action_id": "approve"}],
        "container": {"type": "message", "message_ts": "1.1", "channel_id": "C1"},
    }


def send(door, kind, payload, at, *, secret=SECRET):
    body, headers = signed(kind, payload, secret, at=at.timestamp())
    return door.post("/slack/events", content=body, headers=headers)


def send_all(app, requests):
    """Many requests at once, by hand: as raw as they come, and without a client in between that corrects them."""

    async def one(body, headers):
        given = [(_raw(name).lower(), _raw(value)) for name, value in headers]
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
        }
        scope |= {"path": "/slack/events", "raw_path": b"/slack/events", "query_string": b"", "root_path": ""}
        scope |= {"scheme": "http", "headers": given, "client": ("192.0.2.1", 1), "server": ("watch.example.org", 80)}
        said = []

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def answer(message):
            said.append(message)

        await app(scope, receive, answer)
        return said[0]["status"]

    async def some():
        answers = []
        for start in range(0, len(requests), 100):
            answers += await asyncio.gather(*(one(*request) for request in requests[start : start + 100]))
        return answers

    return asyncio.run(some())


def _raw(value):
    return value if isinstance(value, bytes) else value.encode("latin-1", "replace")


def kept(services):
    with services.store.read() as session:
        return session.scalar(select(func.count()).select_from(InboundEvent))


def test_an_event_is_kept_and_acknowledged_and_a_retry_changes_nothing(services, door, clock, monkeypatch):
    worked = []
    monkeypatch.setitem(routes.HANDLERS, "mention", lambda _, event: worked.append(event))
    assert send(door, "event", mention(), clock()).status_code == 200
    clock.advance("10s")
    assert send(door, "event", mention(), clock()).status_code == 200, "sent again by Slack, with a new signature"
    assert inbox.work_due(services, {"slack": routes.handle}) == 1
    (event,) = worked
    assert {name: event[name] for name in ("kind", "team", "user", "workspace", "channel")} == {
        "kind": "mention",
        "team": "T1",
        "user": "U1",
        "workspace": "T1",
        "channel": "C1",
    }
    assert event["payload"]["text"] == "why?"


def test_it_is_a_route_of_the_application_and_says_that_it_checks_itself(services):
    app = create_app(services)
    ours = [(found.method, str(found.rule)) for found in declared(app) if found.path == http.PATH]
    assert ours == [("POST", "signed")]
    assert TestClient(app, base_url="http://any.name").post("/slack/events", content=b"{}").status_code == 401


def test_the_address_is_verified_with_the_challenge(door, clock):
    answer = send(door, "event", {"type": "url_verification", "challenge": "abc"}, clock())
    assert (answer.status_code, answer.text) == (200, "abc")


def test_clicks_and_commands_come_to_the_same_address(services, door, clock, monkeypatch):
    worked = []
    for kind in ("action", "command"):
        monkeypatch.setitem(routes.HANDLERS, kind, lambda _, event: worked.append((event["kind"], event["user"])))
    command = {"command": "/watch", "text": "status", "user_id": "U2", "team_id": "T1", "trigger_id": "9"}
    assert send(door, "interaction", click(), clock()).content == b""
    assert send(door, "command", command, clock()).content == b""
    inbox.work_due(services, {"slack": routes.handle})
    assert worked == [("action", "U1"), ("command", "U2")]


def test_a_modal_with_a_wrong_value_stays_open_and_is_not_kept(services, door, clock, monkeypatch):
    monkeypatch.setitem(routes.CHECKS, "reject", lambda payload: {"reason": "Say why, in a few words."})
    payload = {**click(), "type": "view_submission", "view": {"callback_id": "reject", "state": {"values": {}}}}
    answer = send(door, "interaction", payload, clock())
    assert answer.json() == {"response_action": "errors", "errors": {"reason": "Say why, in a few words."}}
    assert kept(services) == 0


@pytest.mark.parametrize(
    "payload",
    [
        mention(subtype="message_changed", type="message", channel_type="im"),
        mention(bot_id="B1", type="message", channel_type="im"),
        mention(bot_id="B1"),
        mention(type="message", channel_type="channel"),
        mention(type="reaction_added"),
        {"type": "shortcut_of_the_future", "user": {"id": "U1"}},
    ],
)
def test_what_is_not_for_us_is_acknowledged_and_nothing_is_done(services, door, clock, payload, monkeypatch):
    for kind in routes.KINDS:
        monkeypatch.setitem(routes.HANDLERS, kind, lambda *_: pytest.fail("nobody asked"))
    assert send(door, "event", payload, clock()).status_code == 200
    inbox.work_due(services, {"slack": routes.handle})


def test_a_database_out_of_reach_is_a_503_and_the_retry_is_kept(services, door, clock):
    with services.store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE inbound_event RENAME TO away")
    assert send(door, "event", mention(), clock()).status_code == 503
    with services.store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO inbound_event")
    assert send(door, "event", mention(), clock()).status_code == 200, "the same signature, and yet no replay"
    assert kept(services) == 1


def malformed(random, body, headers, stamp):
    """A request of Slack's, with something about it that is not Slack's."""
    headers = dict(headers)
    time, signature = headers["x-slack-request-timestamp"], headers["x-slack-signature"]
    # fmt: off
    stamps = [
        "", " ", "-1", "+" + time, "1e9", "NaN", "inf", "９" * 10, "0x10", time + "0" * 50, "9" * 5000, time + ".5",
        f" {time}", f"{time}\t0", str(stamp - 301), str(stamp + 301), "0", "é", "None", "1_0",
    ]
    signatures = [
        "", "v0", "v0=", "v1" + signature[2:], signature[:-1], signature + "0", signature.upper(), "v0=" + "0" * 64,
        "v0=" + "é" * 64, signature[:-1] + ("0" if signature[-1] != "0" else "1"), "v0=" + "9" * 9999,
    ]
    # fmt: on
    bodies = [b"", b"{", b"\xff\xfe" + body, body + b" ", b"payload=%FF", b"\x00" * 100, body[:-1], b"[" * 3000]
    choice = random.randrange(8)
    if choice == 0:
        headers["x-slack-request-timestamp"] = random.choice(stamps).encode()
    elif choice == 1:
        headers["x-slack-signature"] = random.choice(signatures).encode()
    elif choice == 2:
        body = random.choice(bodies)
    elif choice == 3:
        headers.pop(random.choice(["x-slack-request-timestamp", "x-slack-signature"]))
    elif choice == 4:
        doubled = random.choice(["x-slack-request-timestamp", "x-slack-signature"])
        return body, [*headers.items(), (doubled, headers[doubled])]
    elif choice == 5:
        body, headers = signed(
            "event", mention(random.randrange(99)), random.choice(["other", "SECRET", "é"]), at=stamp
        )
    elif choice == 6:
        position = random.randrange(len(body))
        body = body[:position] + bytes([body[position] ^ (1 << random.randrange(7))]) + body[position + 1 :]
    else:
        body, headers = signed("event", mention(random.randrange(99)), SECRET, at=stamp - random.randrange(301, 90_000))
    return body, list(headers.items())


def test_forged_replayed_and_malformed_calls_are_all_401(services, door, clock):
    draw = random.Random(7)
    stamp = int(clock().timestamp())
    calls = [draw.choice([("event", mention(n)), ("interaction", click(n))]) for n in range(100)]
    real = [signed(*call, SECRET, at=stamp) for call in calls]
    assert set(send_all(door.app, [(body, headers.items()) for body, headers in real])) == {200}
    before = kept(services)
    requests = []
    for number in range(FORGED):
        body, headers = draw.choice(real)
        requests.append(malformed(draw, body, headers, stamp) if number % 5 else (body, list(headers.items())))
    answers = send_all(door.app, requests)
    assert len(answers) == FORGED
    assert set(answers) == {401}
    assert kept(services) == before


def test_a_replay_is_refused_by_every_replica(services, door, clock):
    assert send(door, "event", mention(), clock()).status_code == 200
    other = app_of(services)
    assert send(TestClient(other), "event", mention(), clock()).status_code == 401
    clock.advance("1s")
    assert [send(TestClient(other), "event", mention(), clock()).status_code for _ in "12"] == [200, 401]
    other.state.slack.close()


@pytest.mark.parametrize(
    "content_type", ["text/plain", "", "application/json; charset=utf-16", "multipart/form-data", "é"]
)
@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'{"type":1}', b'{"type":"event_callback"}', b'{"a":NaN}', b"\xff"]
)
def test_what_is_signed_and_yet_nothing_of_slacks_is_a_401_too(door, clock, body, content_type):
    text = body.decode("latin-1")
    _, headers = signed("event", {}, SECRET, at=clock().timestamp())
    import hashlib
    import hmac

    base = b"v0:" + headers["x-slack-request-timestamp"].encode() + b":" + body
    headers["x-slack-signature"] = "v0=" + hmac.new(SECRET.encode(), base, hashlib.sha256).hexdigest()
    headers["content-type"] = content_type.encode()
    assert door.post("/slack/events", content=body, headers=headers).status_code == 401, text


def test_a_body_without_end_and_a_depth_without_bottom_are_refused(door, clock):
    def endless():
        for _ in range(40):
            yield b"x" * 65536

    assert door.post("/slack/events", content=endless()).status_code == 401
    deep = {"type": "block_actions", "user": {"id": "U1"}}
    inner = deep
    for _ in range(200):
        inner["value"] = {}
        inner = inner["value"]
    assert send(door, "interaction", deep, clock()).status_code == 401


def test_without_a_signing_secret_nothing_is_from_slack(services, clock):
    from dataclasses import replace

    app = app_of(replace(services, slack=SlackApp()))
    assert send(TestClient(app), "event", mention(), clock(), secret="").status_code == 401


def test_valid_calls_replayed_and_sent_again_have_one_effect_each(services, door, clock, monkeypatch):
    effects = []
    for kind in ("mention", "action"):
        monkeypatch.setitem(routes.HANDLERS, kind, lambda _, event: effects.append(event["key"]))
    draw = random.Random(3)
    stamp = int(clock().timestamp())
    calls = [("event", mention(n)) if n % 2 else ("interaction", click(n)) for n in range(VALID)]
    first = [signed(*call, SECRET, at=stamp) for call in calls]
    again = first + [signed(*call, SECRET, at=stamp + draw.randrange(1, 100)) for call in calls]
    draw.shuffle(again)
    answers = send_all(door.app, [(body, list(headers.items())) for body, headers in [*first, *again]])
    assert answers[:VALID] == [200] * VALID
    assert sorted(answers[VALID:]) == [200] * VALID + [401] * VALID, "what Slack sends again is taken, replays are not"
    inbox.work_due(services, {"slack": routes.handle})
    assert len(effects) == VALID
    assert len(set(effects)) == VALID


def test_texts_that_no_database_takes_are_kept_without_their_sting(services, door, clock):
    payload = json.loads(json.dumps(mention(text="a\x00b\ud800c")))
    assert send(door, "event", payload, clock()).status_code == 200
    with services.store.read() as session:
        assert session.scalar(select(InboundEvent)).body["payload"]["text"] == "ab\ufffdc"
