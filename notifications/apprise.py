"""Anything that Apprise reaches: Teams, Telegram, PagerDuty, Matrix, SMS … (github.com/caronc/apprise)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from notifications.message import DeliveryFailed, Message, Receipt, Refused


class Apprise:
    """Sends to the addresses that are known by name; `addresses` is asked for each message."""

    pace = 0.0

    def __init__(self, addresses: Callable[[], Mapping[str, str]]) -> None:
        self._addresses = addresses

    def deliver(self, message: Message) -> Receipt:
        """Title and body as plain text, cut by Apprise to what the service takes. Raises: DeliveryFailed, Refused."""
        import apprise

        url = self._addresses().get(message.recipient)
        if url is None:
            raise Refused(f"notifications.yaml has no apprise address {message.recipient!r}")
        service = apprise.Apprise()
        if not service.add(url):
            raise Refused(f"Apprise does not know the address {message.recipient!r}; see its list of services")
        if not service.notify(body=message.body or message.title, title=message.title):
            raise DeliveryFailed(f"Apprise could not send to {message.recipient!r}; the log has what it said")
        return Receipt()
