"""One worker at a time serves an address; a lease that ran out is anybody's."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import or_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from agent.pipeline.services import Services
from agent.store.tables import Destination

LEASE = timedelta(seconds=45)
"""Longer than any channel may take for one message; it is renewed with each."""


def take(services: Services, channel: str, address: str) -> str | None:
    """A token for an address that is ours until the lease ends; None where somebody else serves it, or it rests."""
    token, wall = secrets.token_hex(8), services.wall()
    ours = {"worker": token, "lease_until": wall + LEASE}
    free = or_(Destination.lease_until.is_(None), Destination.lease_until <= wall)
    rested = or_(Destination.ready_at.is_(None), Destination.ready_at <= wall)
    with services.store.write() as session:
        insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        row = insert(Destination).values(channel=channel, address=address, failures=0, error="", **ours)
        taken = row.on_conflict_do_update(index_elements=["channel", "address"], set_=ours, where=free & rested)
        return token if session.scalar(taken.returning(Destination.worker)) == token else None


def renew(session: Session, services: Services, channel: str, address: str, token: str) -> bool:
    """Keep an address for another while; False where it is somebody else's by now."""
    mine = update(Destination).where(
        Destination.channel == channel, Destination.address == address, Destination.worker == token
    )
    renewed = mine.values(lease_until=services.wall() + LEASE).returning(Destination.worker)
    return session.scalar(renewed) is not None


def let_go(services: Services, channel: str, address: str, token: str, *, ready_in: float = 0.0) -> None:
    """Give an address back; `ready_in` keeps its pace across workers, where nothing longer is written already."""
    with services.store.write() as session:
        row = session.get(Destination, (channel, address), with_for_update=True)
        if row is None or row.worker != token:
            return
        row.worker, row.lease_until = "", None
        ready = services.wall() + timedelta(seconds=ready_in)
        if ready_in > 0 and (row.ready_at is None or row.ready_at < ready):
            row.ready_at = ready
