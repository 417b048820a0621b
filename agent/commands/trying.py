"""`delivery test`: one message, now, past the outbox."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agent.commands.output import console
from agent.domain.errors import InvalidInput
from agent.domain.notifying import CHANNELS, FILE, JOURNAL, PUSH, SLACK
from agent.pipeline.event import Event, Post
from agent.pipeline.letters import plain_posts
from agent.pipeline.route import UNCONFIGURED
from agent.pipeline.services import Services
from notifications.message import DeliveryFailed, Refused


@dataclass(frozen=True, slots=True)
class Place:
    channel: str
    address: str


def send_test(services: Services, channel: str | None, address: str | None) -> dict[str, Any]:
    """Send one message to an address, or to each of `notifications.yaml`, past the outbox; how each went.

    Raises: InvalidInput for a channel that is none, or that takes no address by hand.
    """
    places = list(_named(services, channel, address))
    if not places:
        raise InvalidInput(f"{FILE} names no address; name one: watchkeeper delivery test mail ann@example.com.")
    tried = [_sent(services, place) for place in places]
    return {"tried": tried, "exit_code": max(item["exit_code"] for item in tried)}


def _named(services: Services, channel: str | None, address: str | None) -> Iterable[Place]:
    takes = [name for name in CHANNELS if name not in (JOURNAL, PUSH)]
    if channel is not None and channel not in takes:
        raise InvalidInput(
            f"{channel!r} is none of {', '.join(takes)}; a browser is tried from the console's settings."
        )
    if channel is not None and address:
        return [Place(channel, address)]
    found = [
        Place(one.to, one.address or services.notifications().slack.channel) for one in services.notifications().routes
    ]
    return dict.fromkeys(place for place in found if place.address and channel in (None, place.channel))


def _sent(services: Services, place: Place) -> dict[str, Any]:
    """One test message on its way; never raises for a channel's fault."""
    said = {"channel": place.channel, "address": place.address}
    channel = services.channels.get(place.channel)
    if channel is None:
        return {**said, "ok": False, "says": UNCONFIGURED.get(place.channel, "it is not set up"), "exit_code": 2}
    try:
        receipts = [channel.deliver(post.message) for post in _posts(services, place)]
    except Refused as error:
        return {**said, "ok": False, "says": str(error), "exit_code": 2}
    except DeliveryFailed as error:
        return {**said, "ok": False, "says": str(error), "exit_code": 3}
    return {
        **said,
        "ok": True,
        "says": ", ".join(one.reference for one in receipts if one.reference) or "taken",
        "exit_code": 0,
    }


def _posts(services: Services, place: Place) -> Iterable[Post]:
    at = services.wall()
    event = Event(
        key=f"test:{at.isoformat()}",
        kind="test",
        recipient=place.address,
        title="Watchkeeper can reach you here",
        body="This message was sent by `watchkeeper delivery test`. Nothing has happened, and nothing is to be done.",
        subject="",
        model="",
        severity="info",
        topic="",
        at=at,
        channel=place.channel,
        address=place.address,
    )
    compose = plain_posts if place.channel == SLACK else services.composers.get(place.channel, plain_posts)
    with services.store.read() as session:
        return list(compose(services, session, event))


def render_tested(result: dict[str, Any]) -> None:
    for item in result["tried"]:
        mark = "[green]ok[/]  " if item["ok"] else "[red]bad[/] "
        console.print(f"{mark}{item['channel']:<8} {item['address']}  ", end="")
        console.print(item["says"], markup=False)
