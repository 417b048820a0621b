"""Messages on people's devices (Web Push): who lets them be shown where, and the channel that sends them.

An address of the channel is a person; it is one message to each of their devices. The key that signs for this server
(VAPID) is derived from the workspace's secret, so that every replica has the same one and none is kept in a file.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from agent.domain.addresses import is_loopback
from agent.domain.errors import InvalidInput
from agent.domain.notifying import PUSH
from agent.store import audit
from agent.store.session import Store
from agent.store.tables import Device, Preference
from notifications.message import DeliveryFailed, Message, Receipt, Refused
from notifications.webpush import WebPush
from tools.clean import clean_text

MOST_DEVICES = 20
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256: a private key is a number below it."""


def private_key(secret: bytes) -> str:
    """The server's private key, as the 32 bytes that VAPID has it in, in base64url."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    drawn = HKDF(SHA256(), 48, None, b"watchkeeper web push").derive(secret)
    number = int.from_bytes(drawn, "big") % (ORDER - 1) + 1
    return _text(number.to_bytes(32, "big"))


def public_key(secret: bytes) -> str:
    """What a browser is given, so that it takes messages of this server only."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    raw = base64.urlsafe_b64decode(private_key(secret) + "=")
    key = ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1())
    return _text(key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def push_contact(public_url: str) -> str:
    """Whom a push service may write to: this server's address where it has one, as VAPID asks for https or mailto.

    >>> push_contact("https://watch.example.org"), push_contact("http://127.0.0.1:8000")
    ('https://watch.example.org', 'mailto:watchkeeper@localhost')
    """
    return public_url if public_url.startswith("https://") else "mailto:watchkeeper@localhost"


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def subscribe(
    session: Session, person: str, subscription: Mapping[str, Any], *, label: str, at: datetime, near: bool = True
) -> Device:
    """Let a browser show messages to a person; the same browser again is the same device. near: a push service on this
    machine is one, too.

    Raises: InvalidInput for what no browser sends.
    """
    endpoint, keys = str(subscription.get("endpoint", "")), subscription.get("keys") or {}
    p256dh, auth = (str(keys.get(name, "")) if isinstance(keys, Mapping) else "" for name in ("p256dh", "auth"))
    try:
        parts = urlsplit(endpoint)
        here = is_loopback(parts.hostname or "")
    except ValueError:
        raise InvalidInput("endpoint: this is no address.") from None
    if parts.scheme not in ("http", "https") or (here and not near) or (parts.scheme == "http" and not here):
        raise InvalidInput("endpoint: a push service has an https address.")
    if not (0 < len(endpoint) <= 2000 and _bytes(p256dh) == 65 and _bytes(auth) == 16):
        raise InvalidInput("This is no subscription of a browser.")
    row = session.scalar(select(Device).where(Device.endpoint == endpoint))
    if row is None:
        count = len(session.scalars(select(Device.id).where(Device.person == person)).all())
        if count >= MOST_DEVICES:
            raise InvalidInput(f"{person} has {MOST_DEVICES} devices already; stop the messages on one of them first.")
        row = Device(endpoint=endpoint, created_at=at)
        session.add(row)
    row.person, row.p256dh, row.auth, row.label = person, p256dh, auth, clean_text(label)[:120]
    session.flush()
    _prefer(session, person, at)
    audit.append(session, at=at, actor=person, event="device added", subject=row.id, data={"label": row.label})
    return row


def unsubscribe(session: Session, person: str, endpoint: str, at: datetime) -> None:
    """Show nothing more on a device of this person."""
    row = session.scalar(select(Device).where(Device.endpoint == endpoint, Device.person == person))
    if row is not None:
        session.delete(row)
        session.flush()
        audit.append(session, at=at, actor=person, event="device removed", subject=row.id, data={})
        _prefer(session, person, at)


def _prefer(session: Session, person: str, at: datetime) -> None:
    """Push is among what a person wants while they have a device."""
    there = session.scalar(select(Device.id).where(Device.person == person).limit(1)) is not None
    row = session.get(Preference, person)
    if row is None:
        if not there:
            return
        row = Preference(person=person, channels={}, updated_at=at)
        session.add(row)
    channels = {name: address for name, address in row.channels.items() if name != PUSH}
    row.channels, row.updated_at = ({**channels, PUSH: person} if there else channels), at


def _bytes(text: str) -> int:
    try:
        return len(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        return -1


class Devices:
    """The channel `push`: a message to a person is one to each of their devices."""

    pace = 0.0

    def __init__(self, store: Store, secret: bytes, *, contact: str, private: bool = False) -> None:
        self._store = store
        self._device = WebPush(
            self._subscription,
            self._gone,
            private_key=lambda: private_key(secret),
            contact=contact,
            private=private,
        )

    def deliver(self, message: Message) -> Receipt:
        """Raises: Refused where no device is left, DeliveryFailed where none could be reached now."""
        with self._store.read() as session:
            wanted = session.scalars(select(Device.id).where(Device.person == message.recipient)).all()
        sent, later, why = 0, None, "this person has no device that takes messages"
        for device in wanted:
            try:
                self._device.deliver(replace(message, recipient=device))
                sent += 1
            except Refused as refused:
                why = str(refused)
            except DeliveryFailed as failed:
                later = failed
        if not sent and later is not None:
            raise later
        if not sent:
            raise Refused(why)
        return Receipt()

    def _subscription(self, wanted: str) -> dict[str, Any] | None:
        with self._store.read() as session:
            row = session.get(Device, wanted)
        return None if row is None else {"endpoint": row.endpoint, "keys": {"p256dh": row.p256dh, "auth": row.auth}}

    def _gone(self, wanted: str) -> None:
        with self._store.write() as session:
            session.execute(delete(Device).where(Device.id == wanted))
