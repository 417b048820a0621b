"""Deliver what the outbox promises: at least once, in order at each address, tried again with growing pauses.

An address is served by one worker at a time (a lease); a broken one rests for longer and longer, and holds up no
other. Nothing is sent inside a transaction: a delivery is claimed, then sent, then recorded. Who dies in between leaves
the mark that a try began, and the next one asks the channel whether it arrived (`Message.again`).
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import and_, or_, select

from agent.pipeline import lease
from agent.pipeline.deadline import within
from agent.pipeline.digest import release_due
from agent.pipeline.event import Event, Post
from agent.pipeline.letters import plain_posts
from agent.pipeline.outcome import Claim, claim_next, record, record_post
from agent.pipeline.route import route_due
from agent.pipeline.services import Services
from agent.store.tables import Delivery, Destination
from notifications.message import Channel, DeliveryFailed, Refused

log = logging.getLogger(__name__)
WORKERS = 12
DEADLINE = 30.0
"""Seconds that a channel may take for one message, whatever its library waits for; shorter than the lease."""
TURN = timedelta(seconds=20)
"""How long an address is served before others that wait for a worker have their turn."""


def deliver_due(services: Services) -> int:
    """Deliver every message that is due now, and wait for it; how many arrived."""
    arrived = 0
    while places := _due(services):
        if len(places) == 1:
            arrived += serve(services, *places[0])
            continue
        with ThreadPoolExecutor(min(WORKERS, len(places)), "courier") as pool:
            arrived += sum(pool.map(lambda place: serve(services, *place), places))
    return arrived


class Courier:
    """Delivers in the background: `tick()` never waits for an address; `close()` waits for what is on its way."""

    def __init__(self, services: Services, workers: int = WORKERS) -> None:
        self._services = services
        self._pool = ThreadPoolExecutor(workers, "courier")
        self._busy: set[tuple[str, str]] = set()

    def tick(self) -> None:
        """Hand every address that has something due to a worker, unless one is at it."""
        for place in _due(self._services):
            if place not in self._busy:
                self._busy.add(place)
                self._pool.submit(self._serve, place)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _serve(self, place: tuple[str, str]) -> None:
        try:
            serve(self._services, *place)
        except Exception:  # the edge of the job: one address's trouble must not stop the others
            log.exception("delivery to %s %s", *place)
        finally:
            self._busy.discard(place)


def _due(services: Services) -> list[tuple[str, str]]:
    """The addresses that something is due at, and that nobody serves."""
    route_due(services)
    release_due(services)
    wall = services.wall()
    same = and_(Destination.channel == Delivery.channel, Destination.address == Delivery.address)
    query = (
        select(Delivery.channel, Delivery.address)
        .outerjoin(Destination, same)
        .where(
            Delivery.state == "waiting",
            or_(Delivery.next_try_at.is_(None), Delivery.next_try_at <= wall),
            or_(Destination.lease_until.is_(None), Destination.lease_until <= wall),
            or_(Destination.ready_at.is_(None), Destination.ready_at <= wall),
        )
        .distinct()
    )
    with services.store.read() as session:
        return [(channel, address) for channel, address in session.execute(query)]


def serve(services: Services, channel: str, address: str) -> int:
    """Deliver to one address, in order, until nothing is due, it fails, or its turn is over; how many arrived."""
    worker = lease.take(services, channel, address)
    if worker is None:
        return 0
    arrived, until, pace = 0, time.monotonic() + TURN.total_seconds(), Pace()
    try:
        while time.monotonic() < until and (claim := claim_next(services, channel, address, worker)) is not None:
            ended = _try(services, claim, pace)
            arrived += ended == "delivered"
            if ended == "paused":
                break
    finally:
        lease.let_go(services, channel, address, worker, ready_in=pace.left())
    return arrived


class Pace:
    """At most one message in so many seconds."""

    def __init__(self) -> None:
        self._next = 0.0

    def wait(self, seconds: float) -> None:
        if (left := self.left()) > 0:
            time.sleep(left)
        self._next = time.monotonic() + seconds

    def left(self) -> float:
        return max(0.0, self._next - time.monotonic())


def _try(services: Services, claim: Claim, pace: Pace) -> str:
    """Send what is left of one delivery, and record how it ended: `delivered`, `failed`, or `paused`."""
    channel = services.channel if claim.channel == "journal" else services.channels.get(claim.channel)
    problem: Exception | None = None
    try:
        if channel is None:
            raise Refused(f"{claim.channel} is not set up any more")
        _send(services, claim, channel, pace)
    except (DeliveryFailed, Refused) as error:
        problem = error
    except Exception as error:  # the edge of the job: a channel's fault is recorded with the delivery, and tried again
        log.exception("delivery %s to %s", claim.id, claim.channel)
        problem = DeliveryFailed(f"{type(error).__name__}: {error}", unknown=True)
    return record(services, claim, problem)


def _send(services: Services, claim: Claim, channel: Channel, pace: Pace) -> None:
    while (post := _next(services, claim)) is not None:
        message = replace(post.message, again=claim.again)
        pace.wait(channel.pace)
        receipt = within(DEADLINE, channel, message)
        claim.sent[message.key] = receipt.reference
        if post.arrived is not None:  # one of several; a single one is recorded with the end of its delivery
            record_post(services, claim, post, receipt)


def _next(services: Services, claim: Claim) -> Post | None:
    """The first post that has not arrived. Composed anew each time: a thread is answered when its root is there."""
    return next((post for post in _posts(services, claim.event) if post.message.key not in claim.sent), None)


def _posts(services: Services, event: Event) -> list[Post]:
    """What the channel's composer makes of an event; where it cannot, the event is told in plain words."""
    compose = services.composers.get(event.channel, plain_posts)
    try:
        with services.store.read() as session:
            return list(compose(services, session, event))
    except (DeliveryFailed, Refused):
        raise
    except Exception:  # the edge of the job: a message in plain words is better than none
        log.exception("composing %s for %s", event.key, event.channel)
        with services.store.read() as session:
            return list(plain_posts(services, session, event))
