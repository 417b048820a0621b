"""What is sent, what comes back, and what a channel must be able to do.

Exception
├── DeliveryFailed   not now: tried again, after `retry_after` seconds where the other side says so
└── Refused          never: the message or the address is wrong, and the same again would be refused again
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class File:
    """Something that goes with a message. `alt` describes a picture; `inline` shows it in the text (`cid:NAME`)."""

    name: str
    media_type: str
    content: bytes = field(repr=False)
    alt: str = ""
    inline: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A message for a person or a channel.

    key: makes a redelivery recognisable; the same key is the same message. recipient: the address in the channel.
    body: plain text. document: what only one channel understands (Slack: `blocks`, `text`; mail: `html`,
    `unsubscribe`). thread: the reference of the message that this one answers. edits: the reference of the message
    that this one replaces. again: an earlier try may have arrived, so look first, where the channel can.
    """

    key: str
    recipient: str
    title: str
    body: str
    document: Mapping[str, Any] = field(default_factory=dict)
    thread: str = ""
    edits: str = ""
    files: tuple[File, ...] = ()
    again: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """That it is there. `reference` is how the channel names it (Slack: `CHANNEL/ts`), "" where it has no names."""

    reference: str = ""


class DeliveryFailed(Exception):
    """The channel could not take the message now; it is tried again later.

    retry_after: seconds that the other side asks to wait; None where it says nothing. unknown: it may have arrived
    all the same (a time-out after it was sent).
    """

    def __init__(self, said: str, retry_after: float | None = None, *, unknown: bool = False) -> None:
        super().__init__(said)
        self.retry_after = retry_after
        self.unknown = unknown


class Refused(Exception):
    """The channel will never take this message; trying again would change nothing."""


class Channel(Protocol):
    """Somewhere that messages go."""

    @property
    def pace(self) -> float:
        """Seconds between two messages to one address; 0 for as fast as they come."""

    def deliver(self, message: Message) -> Receipt:
        """Hand the message over; returning means that it is there. Raises: DeliveryFailed, Refused."""
