"""Signed messages to other programs, as Standard Webhooks has them (standardwebhooks.com)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from notifications.addresses import checked
from notifications.message import DeliveryFailed, Message, Receipt, Refused

SECONDS = 15.0
MOST_WAIT = 3600.0
USELESS_AGAIN = (400, 410, 413, 415, 422)


@dataclass(frozen=True, slots=True)
class Hook:
    """One address. Several secrets while one is being replaced: the message is signed with each."""

    url: str
    secrets: Sequence[str]
    private: bool = False


class Webhook:
    """Posts to the addresses that are known by name; `hooks` is asked for each message."""

    pace = 0.0

    def __init__(
        self, hooks: Callable[[], Mapping[str, Hook]], wall: Callable[[], datetime], *, seconds: float = SECONDS
    ) -> None:
        self._hooks = hooks
        self._wall = wall
        self._seconds = seconds

    def deliver(self, message: Message) -> Receipt:
        """POST the message; any 2xx is an arrival. Raises: DeliveryFailed, Refused."""
        import httpx

        hook = self._hooks().get(message.recipient)
        if hook is None:
            raise Refused(f"notifications.yaml has no webhook {message.recipient!r}")
        place = checked(hook.url, private=hook.private)
        body = _body(message)
        headers = {
            **signed(hook.secrets, message.key, self._wall(), body),
            "content-type": "application/json",
            "user-agent": "watchkeeper",
            "host": place.host,
        }
        try:
            with (
                httpx.Client(timeout=self._seconds, follow_redirects=False, trust_env=False) as client,
                client.stream(
                    "POST", place.url, content=body, headers=headers, extensions={"sni_hostname": place.name}
                ) as answer,
            ):
                return _judged(answer.status_code, answer.headers, place.name, self._wall())
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise DeliveryFailed(f"{place.name}: {error}") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise DeliveryFailed(f"{place.name}: {type(error).__name__}: {error}", unknown=True) from error


def signed(secrets: Sequence[str], key: str, at: datetime, body: str) -> dict[str, str]:
    """The three headers of a message: its id (the same for the same key), its time, its signatures."""
    from standardwebhooks import Webhook as Signer

    if not secrets:
        raise Refused("there is no secret to sign with; set WATCHKEEPER_WEBHOOK_SECRET, or `secret` of the webhook")
    name = message_id(key)
    try:
        signatures = " ".join(Signer(secret).sign(name, at, body) for secret in secrets)
    except ValueError:  # binascii.Error is one
        raise Refused("the webhook's secret is not `whsec_` and base64; make one: openssl rand -base64 32") from None
    return {"webhook-id": name, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signatures}


def message_id(key: str) -> str:
    """The id of a message, by which a receiver knows it again."""
    return f"msg_{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()[:32]}"


def _body(message: Message) -> str:
    said = message.document or {"type": "message", "data": {"title": message.title, "body": message.body}}
    return json.dumps({**said, "key": message.key}, ensure_ascii=False, separators=(",", ":"))


def _judged(status: int, headers: Mapping[str, str], name: str, now: datetime) -> Receipt:
    if 200 <= status < 300:
        return Receipt()
    if status in USELESS_AGAIN:
        raise Refused(f"{name} answered {status}" + (": it wants no more of these" if status == 410 else ""))
    if 300 <= status < 400:
        raise DeliveryFailed(f"{name} answered {status}: redirects are not followed; correct the address")
    raise DeliveryFailed(f"{name} answered {status}", _wait(headers.get("retry-after"), now), unknown=status >= 500)


def _wait(value: str | None, now: datetime) -> float | None:
    """`Retry-After`, in seconds or as a date."""
    if not value:
        return None
    try:
        wait = float(value)
    except ValueError:
        try:
            wait = (parsedate_to_datetime(value) - now).total_seconds()
        except (TypeError, ValueError):
            return None
    return min(max(wait, 0.0), MOST_WAIT) if wait == wait else None
