"""A workspace under test beside a Slack of its own: what people do there, and what becomes of it, without waiting.

Everything is real but the way in: an event is kept in the inbox and worked on at once, in the test's own thread, where
the product has sockets and workers (tests of their own). The clients are slack_sdk's, over a loopback port.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from agent.domain.notifying import SLACK
from agent.doors.slack.handle.dispatch import handle
from agent.doors.slack.loopback.delivery import Delivery
from agent.doors.slack.loopback.server import LoopbackSlack
from agent.doors.slack.loopback.workspace import Message
from agent.doors.slack.parse import from_command, from_payload
from agent.doors.slack.routes import wrong_values
from agent.pipeline import inbox, people
from agent.pipeline.approve import expire
from agent.pipeline.channels import LateSlack
from agent.pipeline.letters import COMPOSERS
from agent.pipeline.notify import deliver_due
from agent.pipeline.remind import remind_due
from agent.pipeline.services import Services
from agent.pipeline.slack.follow import follow
from agent.store.tables import Delivery as Sent
from tests.agent.conftest import Bench

URL = "https://watch.example"
CHANNEL = "#churn"


class Direct:
    """The way in without a socket: kept, acknowledged, worked on."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def send(self, delivery: Delivery) -> None:
        fallback = delivery.id.encode()
        parse = from_command if delivery.kind == "command" else from_payload
        came = parse(delivery.payload, fallback=fallback)
        wrong = wrong_values(came.event["payload"]) if came.kind == "submission" else {}
        if wrong:
            delivery.acknowledge(200, {"response_action": "errors", "errors": wrong})
            return
        with self.services.store.write() as session:
            inbox.keep(
                session, source=SLACK, key=came.key, body=came.event, at=self.services.wall(), lane=came.lane,
                urgent=came.urgent,
            )  # fmt: skip
        delivery.acknowledge(200, {})
        inbox.work_due(self.services, {SLACK: handle})

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class Scene:
    """slack: the workspace; bench: ours. `settle()` lets everything happen that is due."""

    bench: Bench
    slack: LoopbackSlack
    refused: list[str] = field(default_factory=list)

    @property
    def services(self) -> Services:
        return self.bench.services

    def settle(self) -> None:
        with self.services.store.write() as session:
            expire(self.services, session)
        remind_due(self.services)
        for _ in range(4):
            follow(self.services)
            if not deliver_due(self.services):
                break

    def person(self, name: str, role: str = "approver", **options: Any) -> str:
        """Somebody that both know, and who is linked; gives their code's key."""
        with self.services.store.write() as session:
            made = people.add(session, self.services, name, role=role, by="test", **options)
            user = self.slack.workspace.user(name)
            people.bind(session, self.services, made, "slack", f"{user.team}/{user.id}")
            return made.id

    def top(self) -> list[Message]:
        return self.slack.messages(CHANNEL)

    def cards(self, kind: str = "") -> list[Message]:
        """Approval cards and incident cards, wherever they stand in the channel."""
        found = [one for one in self.slack.workspace.messages if not one.deleted and not one.only]
        marks = {"approval": ("decide:", "decided:"), "incident": ("incident:",)}[kind]
        return [one for one in found if any(str(b.get("block_id", "")).startswith(marks) for b in one.blocks)]

    def card(self, kind: str = "approval") -> Message:
        (found,) = self.cards(kind)
        return found

    def private(self, who: str) -> str:
        """The last thing that only this person was told."""
        user = self.slack.workspace.user(who).id
        told = [one for one in self.slack.workspace.messages if one.only == user]
        return said(told[-1]) if told else ""

    def thread(self, message: Message) -> list[Message]:
        return self.slack.thread(CHANNEL, message.ts)

    def undelivered(self, but: tuple[str, ...] = ()) -> list[str]:
        """Deliveries to Slack that have not arrived, with what is in their way."""
        from sqlalchemy import select

        query = select(Sent.state, Sent.error).where(Sent.channel == SLACK, Sent.state.not_in(["delivered", *but]))
        with self.services.store.read() as session:
            return [f"{state}: {error}" for state, error in session.execute(query)]


def said(message: Message | dict[str, Any]) -> str:
    """All that a person reads of a message."""

    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("text"), str):
                yield value["text"]
            for inner in value.values():
                yield from texts(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from texts(inner)

    if isinstance(message, dict):
        return "\n".join(texts(message))
    return "\n".join([message.text, message.markdown, *texts(message.blocks)])


@pytest.fixture
def database_url(tmp_path: Any) -> str:
    """SQLite; PostgreSQL in tests that say so."""
    return f"sqlite:///{tmp_path / 'watchkeeper.db'}"


@pytest.fixture
def scene(bench: Bench, slack: LoopbackSlack, caplog: pytest.LogCaptureFixture) -> Iterator[Scene]:
    """ann and ben may decide, cat may only look; all are linked. A card that cannot be made fails the test."""
    unhurried = LateSlack(slack.bot_token, slack.api_url)  # as the product is wired
    unhurried.pace = 0.0
    bench.services = replace(
        bench.services,
        channels={SLACK: unhurried},
        composers=COMPOSERS,
        public_url=URL,
    )
    made = Scene(bench, slack)
    slack._http = Direct(bench.services)
    for name, role in (("ann", "approver"), ("ben", "approver"), ("cat", "viewer")):
        made.person(name, role)
    follow(bench.services)
    yield made
    assert not [one.getMessage() for one in caplog.records if "composing" in one.getMessage()]
    bad = [f"{call.method}: {call.error} {call.arguments}" for call in slack.calls if call.error.startswith("invalid")]
    assert not bad, bad[:2]
