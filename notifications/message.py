"""What is sent, and what a channel must be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """A message for a person or a channel. `key` makes a redelivery recognisable; `body` is plain text."""

    key: str
    recipient: str
    title: str
    body: str


class DeliveryFailed(Exception):
    """The channel could not take the message now; it is tried again later."""


class Channel(Protocol):
    """Somewhere that messages go."""

    def deliver(self, message: Message) -> None:
        """Hand the message over; returning means that it is there. Raises: DeliveryFailed."""
