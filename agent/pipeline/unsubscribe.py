"""One click to be left alone: a signed link for one address of one channel, and its way back."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from sqlalchemy.orm import Session

from agent.domain.errors import NotAllowed
from agent.pipeline.services import Services
from agent.store import audit
from agent.store.tables import Unsubscribed

PATH = "/unsubscribe"


def link_of(services: Services, channel: str, address: str) -> str:
    """The link that unsubscribes an address; "" where the console has no address of its own.

    It does not expire: a mail from last year must still be able to stop the next one. It can do nothing else.
    """
    if not services.public_url:
        return ""
    return f"{services.public_url.rstrip('/')}{PATH}?token={token_of(services.secret, channel, address)}"


def token_of(secret: bytes, channel: str, address: str) -> str:
    """What the link carries: channel and address, and a code that only we can make for them."""
    said = f"{channel}\x1f{address}".encode()
    return base64.urlsafe_b64encode(_code(secret, said) + said).decode().rstrip("=")


def read_token(secret: bytes, token: str) -> tuple[str, str]:
    """Channel and address of a token that we made. Raises: NotAllowed for any other text."""
    try:
        raw = base64.urlsafe_b64decode(token.encode("ascii") + b"==")
        code, said = raw[:32], raw[32:]
        if hmac.compare_digest(code, _code(secret, said)):
            channel, separator, address = said.decode().partition("\x1f")
            if separator:
                return channel, address
    except (binascii.Error, UnicodeError, ValueError):
        pass
    raise NotAllowed("This link is not one of ours, or it is not whole; copy all of it from the message.")


def unsubscribe(services: Services, session: Session, channel: str, address: str, *, actor: str = "") -> bool:
    """Send nothing more there; whether that is new."""
    if session.get(Unsubscribed, (channel, address)) is not None:
        return False
    session.add(Unsubscribed(channel=channel, address=address, at=services.wall()))
    audit.append(
        session, at=services.now(session), actor=actor or address, event="unsubscribed", subject=f"{channel}:{address}"
    )
    return True


def subscribe(services: Services, session: Session, channel: str, address: str, *, actor: str) -> bool:
    """Send there again; whether that is new."""
    row = session.get(Unsubscribed, (channel, address))
    if row is None:
        return False
    session.delete(row)
    audit.append(
        session, at=services.now(session), actor=actor, event="subscribed again", subject=f"{channel}:{address}"
    )
    return True


def _code(secret: bytes, said: bytes) -> bytes:
    return hmac.new(secret, b"unsubscribe\x1f" + said, hashlib.sha256).digest()
