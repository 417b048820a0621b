"""Notifications of a browser or a phone (Web Push, RFC 8030; VAPID, RFC 8292), by pywebpush."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from notifications.addresses import checked
from notifications.message import DeliveryFailed, Message, Receipt, Refused

SECONDS = 15.0
KEPT_SECONDS = 24 * 3600
"""How long the push service keeps a message for a device that is off."""
MOST_TITLE, MOST_BODY = 120, 1_000

Subscription = Mapping[str, Any]


class WebPush:
    """Sends to the subscription that `subscription(address)` gives; None is a device that was taken away.

    `gone(address)` is told when the push service says that a subscription has ended. contact: a mailto: or https:
    address of who runs this, as VAPID wants it. private: push services in a private network are allowed.
    """

    pace = 0.0

    def __init__(
        self,
        subscription: Callable[[str], Subscription | None],
        gone: Callable[[str], None],
        *,
        private_key: Callable[[], str],
        contact: str,
        private: bool = False,
    ) -> None:
        self._subscription = subscription
        self._gone = gone
        self._private_key = private_key
        self._contact = contact
        self._private = private

    def deliver(self, message: Message) -> Receipt:
        """Title, body, and `document` (`url`, `urgency`, `tag`). Raises: DeliveryFailed, Refused."""
        import requests
        from pywebpush import WebPushException, webpush

        found = self._subscription(message.recipient)
        if found is None:
            raise Refused("this device is not subscribed any more")
        checked(str(found.get("endpoint", "")), private=self._private)
        session = requests.Session()
        session.trust_env, session.max_redirects = False, 0
        try:
            webpush(
                {"endpoint": found["endpoint"], "keys": found["keys"]},
                _payload(message),
                vapid_private_key=self._private_key(),
                vapid_claims={"sub": self._contact},
                timeout=SECONDS,
                ttl=KEPT_SECONDS,
                headers={"Topic": topic(message.key), "Urgency": str(message.document.get("urgency", "normal"))},
                requests_session=session,
            )
        except WebPushException as error:
            raise self._judged(error, message.recipient) from error
        except requests.ConnectionError as error:
            raise DeliveryFailed(f"push service: {error}") from error
        except requests.RequestException as error:
            raise DeliveryFailed(f"push service: {type(error).__name__}: {error}", unknown=True) from error
        except (KeyError, ValueError, TypeError) as error:
            raise Refused(f"the subscription cannot be used ({type(error).__name__})") from error
        finally:
            session.close()
        return Receipt()

    def _judged(self, error: Any, address: str) -> Exception:
        status = getattr(error.response, "status_code", 0)
        if status in (404, 410):
            self._gone(address)
            return Refused("this device is not subscribed any more")
        if status in (400, 401, 403, 413):
            return Refused(f"the push service refuses it ({status})")
        wait = (getattr(error.response, "headers", None) or {}).get("Retry-After", "")
        return DeliveryFailed(f"push service: {status or error}", float(wait) if wait.isdigit() else None)


def topic(key: str) -> str:
    """What the push service collapses by, while a device is off (RFC 8030: 32 characters at most).

    >>> len(topic("incident:i-1"))
    32
    """
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:32]


def _payload(message: Message) -> str:
    """Small enough for every push service (4 kB when encrypted), whatever the alphabet."""
    said = {
        "key": message.key,
        "title": message.title[:MOST_TITLE],
        "body": message.body[:MOST_BODY],
        "url": str(message.document.get("url", "/"))[:500],
        "tag": str(message.document.get("tag", message.key))[:100],
    }
    while len(data := json.dumps(said, ensure_ascii=False).encode("utf-8", "replace")) > 3_000 and said["body"]:
        said["body"] = said["body"][: len(said["body"]) * 2 // 3]
    return data.decode()
