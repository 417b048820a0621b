"""Webhooks, Apprise and web push by their real libraries, against a small server of this machine that keeps it all."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from notifications.addresses import checked
from notifications.apprise import Apprise
from notifications.message import DeliveryFailed, Message, Refused
from notifications.webhook import Hook, Webhook
from notifications.webpush import WebPush, topic

SECRETS = tuple("whsec_" + base64.b64encode(bytes([letter]) * 32).decode() for letter in b"ab")
SAID = {"type": "watchkeeper.incident", "data": {}}
MESSAGE = Message("incident:i-1", "ops", "churn: critical: 漢字", "it fell", SAID)


class Peer:
    """Answers with `answers`, one after the other, then 204; `heard` is path, headers and body of each call."""

    def __init__(self):
        self.heard: list[Any] = []
        self.answers: list[Any] = []
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                peer.heard.append((self.path, dict(self.headers), body))
                status, headers = peer.answers.pop(0) if peer.answers else (204, {})
                self.send_response(status)
                for name, value in {**headers, "content-length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture(scope="module")
def listening():
    peer = Peer()
    thread = threading.Thread(target=peer.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield peer
    peer.server.shutdown()
    peer.server.server_close()
    thread.join()


@pytest.fixture
def peer(listening):
    listening.heard.clear()
    listening.answers.clear()
    return listening


@pytest.fixture
def webhook(peer):
    hooks = {"ops": Hook(f"{peer.url}/hook", SECRETS)}
    return Webhook(lambda: hooks, lambda: datetime.now(UTC))


def test_a_webhook_is_verified_by_the_library_of_its_receiver_with_the_old_secret_and_the_new(webhook, peer):
    for _ in range(2):
        webhook.deliver(MESSAGE)
    (path, headers, body), (_, again, _) = peer.heard
    assert path == "/hook"
    for secret in SECRETS:
        event = Verifier(secret).verify(body, headers)
        assert event == {"type": "watchkeeper.incident", "data": {}, "key": "incident:i-1"}
    assert headers["webhook-id"] == again["webhook-id"], "the same message is known as one"
    with pytest.raises(WebhookVerificationError):
        Verifier(SECRETS[0]).verify(body + b" ", headers)


@pytest.mark.parametrize(
    ("status", "headers", "kind", "wait"),
    [
        (400, {}, Refused, None),
        (410, {}, Refused, None),
        (401, {}, DeliveryFailed, None),
        (404, {}, DeliveryFailed, None),
        (429, {"retry-after": "7"}, DeliveryFailed, 7.0),
        (503, {"retry-after": "999999"}, DeliveryFailed, 3600.0),
        (500, {"retry-after": "soon"}, DeliveryFailed, None),
        (302, {"location": "http://127.0.0.1:1/elsewhere"}, DeliveryFailed, None),
    ],
)
def test_what_an_answer_means(webhook, peer, status, headers, kind, wait):
    peer.answers = [(status, headers)]
    with pytest.raises(kind, match=str(status)) as caught:
        webhook.deliver(MESSAGE)
    assert getattr(caught.value, "retry_after", None) == wait
    assert len(peer.heard) == 1, "no redirect is followed"


def test_a_webhook_without_a_secret_or_with_none_that_can_sign_sends_nothing(peer):
    for secrets, said in (((), "no secret"), (("not base64!",), "base64")):
        wrong = Webhook(lambda secrets=secrets: {"ops": Hook(peer.url, secrets)}, lambda: datetime.now(UTC))
        with pytest.raises(Refused, match=said):
            wrong.deliver(MESSAGE)
    with pytest.raises(Refused, match="no webhook 'gone'"):
        wrong.deliver(replace(MESSAGE, recipient="gone"))
    assert peer.heard == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "https://10.0.0.1/", "https://169.254.169.254/latest", "https://[::ffff:10.0.0.1]/",
        "https://user:pw@example.com/", "ftp://127.0.0.1/", "https://0.0.0.0/", "https://[fd00::1]/", "https:///",
        "https://224.0.0.1/", "https://100.64.0.1/",
    ],
)  # fmt: skip
def test_no_address_of_the_inside_is_asked(url, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", _resolved)
    with pytest.raises(Refused):
        checked(url)


def test_a_private_address_is_allowed_by_name_only(monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", _resolved)
    assert checked("https://10.0.0.1/a", private=True).url == "https://10.0.0.1/a"
    with pytest.raises(Refused, match="http"):
        checked("http://10.0.0.1/a", private=True)


def _resolved(host, port, **_):
    """Numbers as they are; every name is one public address."""
    number = host if host.replace(".", "").isdigit() or ":" in host else "93.184.216.34"
    return [(2, 1, 6, "", (number, port))]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_apprise_sends_title_and_body_to_the_address_that_a_name_stands_for(peer):
    channel = Apprise(lambda: {"team": f"json://{peer.url.removeprefix('http://')}/in", "odd": "nothing://x"})
    channel.deliver(Message("k", "team", "churn: critical", "it fell"))
    ((path, _, body),) = peer.heard
    assert (path, json.loads(body)["title"], json.loads(body)["message"]) == ("/in", "churn: critical", "it fell")
    peer.answers = [(500, {})]
    with pytest.raises(DeliveryFailed, match="team"):
        channel.deliver(Message("k", "team", "t", "b"))
    for name in ("odd", "unknown"):
        with pytest.raises(Refused, match=name):
            channel.deliver(Message("k", name, "t", "b"))


@pytest.fixture
def device(peer):
    """A browser's subscription, and what reads a message that was encrypted for it."""
    import http_ece
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    private, auth = ec.generate_private_key(ec.SECP256R1()), b"0123456789abcdef"
    public = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    keys = {"p256dh": base64.urlsafe_b64encode(public).decode(), "auth": base64.urlsafe_b64encode(auth).decode()}
    subscription = {"endpoint": f"{peer.url}/push/1", "keys": keys}
    return subscription, lambda body: json.loads(http_ece.decrypt(body, private_key=private, auth_secret=auth))


def test_a_push_is_encrypted_for_the_device_small_enough_and_forgets_one_that_is_gone(peer, device):
    subscription, read = device
    gone: list[str] = []
    channel = WebPush(
        {"ann": subscription}.get, gone.append, private_key=lambda: base64.urlsafe_b64encode(b"\x01" * 32).decode(),
        contact="mailto:watch@example.com",
    )  # fmt: skip
    opens = {"url": "/incidents/i-1", "urgency": "high", "tag": "i-1"}
    long = Message("k", "ann", "churn: critical", "漢" * 5000, opens)
    peer.answers = [(201, {})]
    channel.deliver(long)
    ((_, headers, body),) = peer.heard
    said = read(body)
    assert (said["title"], said["url"], said["tag"]) == ("churn: critical", "/incidents/i-1", "i-1")
    assert len(body) < 4096
    told = {name.lower(): value for name, value in headers.items()}
    assert (told["topic"], told["urgency"]) == (topic("k"), "high")
    for status, kind in ((429, DeliveryFailed), (503, DeliveryFailed), (413, Refused), (410, Refused)):
        peer.answers = [(status, {})]
        with pytest.raises(kind):
            channel.deliver(long)
    assert gone == ["ann"]
    with pytest.raises(Refused, match="not subscribed"):
        channel.deliver(replace(long, recipient="ben"))
