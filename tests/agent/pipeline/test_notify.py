"""What the outbox promises arrives: in order, once where nothing crashes, later where the channel is down."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from agent.pipeline.notify import deliver_due
from agent.store.changes import promise
from agent.store.tables import Delivery
from notifications.message import DeliveryFailed


def promised(bench, *keys):
    with bench.services.store.write() as session:
        for key in keys:
            promise(session, key=key, recipient="#a", title=f"t {key}", body="b\nc", subject="s", at=bench.clock())
            session.flush()


def arrived(bench):
    return [json.loads(line)["key"] for line in (bench.services.home / "notifications.jsonl").read_text().splitlines()]


def test_messages_arrive_in_order_and_a_key_is_promised_once(bench):
    promised(bench, "1", "2", "1", "3")
    assert deliver_due(bench.services) == 3
    assert deliver_due(bench.services) == 0
    assert arrived(bench) == ["1", "2", "3"]


def test_a_channel_that_is_down_is_tried_again_later(bench, monkeypatch):
    promised(bench, "1")

    def down(message):
        raise DeliveryFailed("the wire is cut")

    with monkeypatch.context() as patch:
        patch.setattr(bench.services.channel, "deliver", down)
        deliver_due(bench.services)
    with bench.services.store.read() as session:
        row = session.scalars(select(Delivery)).one()
    assert (row.state, row.delivered_at, row.attempts, row.error) == ("waiting", None, 1, "the wire is cut")
    bench.clock.advance("1m")
    deliver_due(bench.services)
    assert arrived(bench) == ["1"]


def test_nothing_is_promised_when_the_change_it_tells_is_rolled_back(bench):
    with pytest.raises(RuntimeError, match="no"), bench.services.store.write() as session:
        promise(session, key="1", recipient="#a", title="t", body="b", subject="s", at=bench.clock())
        raise RuntimeError("no")
    assert deliver_due(bench.services) == 0
