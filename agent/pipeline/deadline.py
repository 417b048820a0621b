"""A channel's call ends in time, whatever its library waits for: a server that answers a byte a second ends none."""

from __future__ import annotations

import threading

from notifications.journal import Journal
from notifications.message import Channel, DeliveryFailed, Message, Receipt


def within(seconds: float, channel: Channel, message: Message) -> Receipt:
    """The channel's receipt. Raises: DeliveryFailed when it takes longer, Refused, and whatever the channel raises.

    A call that is late goes on by itself until its connection ends; the message may still arrive, so the next try asks.
    """
    if isinstance(channel, Journal):
        return channel.deliver(message)
    ended: list[Receipt | BaseException] = []

    def call() -> None:
        try:
            ended.append(channel.deliver(message))
        except BaseException as error:  # noqa: BLE001 (carried to the caller, who knows what to do with it)
            ended.append(error)

    thread = threading.Thread(target=call, name="channel-call", daemon=True)
    thread.start()
    thread.join(seconds)
    if not ended:
        raise DeliveryFailed(f"no end after {seconds:.0f} s", unknown=True)
    if isinstance(ended[0], BaseException):
        raise ended[0]
    return ended[0]
