"""Mail through a real SMTP server: what arrives, what is tried again, what is refused, and what cannot be injected."""

from __future__ import annotations

import email
import email.policy
import socket
from datetime import UTC, datetime

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from notifications.message import DeliveryFailed, File, Message, Refused
from notifications.mime import as_mail
from notifications.smtp import Mail, Server, parse_server

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20
UNSUBSCRIBE = f"https://watch.example.com/unsubscribe?token={'aB3_' * 60}"
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 30 + b"\n%%EOF"


def free_port():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


class Mailbox:
    """What the server does with the next mails, by name; `mails` are those that it took."""

    def __init__(self):
        self.mails, self.raw, self.script = [], [], []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.script and self.script[0][0] == "RCPT":
            return self.script.pop(0)[1]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.script and self.script[0][0] == "DATA":
            said = self.script.pop(0)[1]
            if said == "break":
                server.transport.abort()
                return "421 gone"
            return said
        self.raw.append(envelope.content)
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 taken"


@pytest.fixture(scope="module")
def server():
    box = Mailbox()
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=lambda *given: AuthResult(success=given[-1].password == b"right", handled=False),
        auth_require_tls=False,
    )
    controller.start()
    yield box, controller.server.sockets[0].getsockname()[1]
    controller.stop()


@pytest.fixture
def box(server):
    server[0].mails, server[0].raw, server[0].script = [], [], []
    return server[0]


@pytest.fixture
def mail(server):
    return Mail(Server("127.0.0.1", server[1], "auto", "watchkeeper@example.com"), lambda: AT, seconds=10)


def message(**more):
    return Message("incident:i-1", "ann@example.com", "churn: critical: Größe 漢字", "Zeile eins\nمرحبا", **more)


def test_html_with_pictures_inside_and_a_pdf_is_read_back_as_it_was_sent(mail, box):
    files = (
        File("metric.png", "image/png", PNG, "the metric", inline=True),
        File("report.pdf", "application/pdf", PDF),
    )
    document = {
        "html": '<p>Größe <img src="cid:metric.png" alt="the metric"></p>',
        "unsubscribe": UNSUBSCRIBE,
        "topic": "i-1",
    }
    receipt = mail.deliver(message(document=document, files=files))
    (got,) = box.mails
    assert (got["Subject"], got["To"], got["Message-ID"]) == (
        "churn: critical: Größe 漢字", "ann@example.com", receipt.reference,
    )  # fmt: skip
    assert f"\r\nList-Unsubscribe: <{UNSUBSCRIBE}>\r\n".encode() in box.raw[0], "neither folded nor encoded"
    assert got["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert got.get_body(("plain",)).get_content().splitlines() == ["Zeile eins", "مرحبا"]
    assert "Größe" in got.get_body(("html",)).get_content()
    parts = {part.get_filename(): part for part in got.walk() if part.get_filename()}
    assert parts["metric.png"].get_content() == PNG
    assert (parts["metric.png"]["Content-ID"], parts["metric.png"].get_content_disposition()) == (
        "<metric.png>", "inline",
    )  # fmt: skip
    assert parts["report.pdf"].get_content() == PDF
    assert parts["report.pdf"].get_content_disposition() == "attachment"


def test_the_same_key_is_the_same_message_and_a_thread_has_one_reference(mail, box):
    for key in ("a", "a", "b"):
        mail.deliver(Message(key, "ann@example.com", "t", "b", {"topic": "i-1"}))
    ids = [got["Message-ID"] for got in box.mails]
    assert ids[0] == ids[1] != ids[2]
    assert len({got["References"] for got in box.mails}) == 1


@pytest.mark.parametrize(
    ("script", "kind", "unknown"),
    [
        (("RCPT", "451 greylisted, come back"), DeliveryFailed, False),
        (("RCPT", "550 no such person"), Refused, None),
        (("DATA", "452 mailbox full"), DeliveryFailed, False),
        (("DATA", "554 this is spam"), Refused, None),
        (("DATA", "break"), DeliveryFailed, True),
    ],
)
def test_4xx_and_a_broken_connection_are_tried_again_and_5xx_is_not(mail, box, script, kind, unknown):
    box.script = [script]
    with pytest.raises(kind) as caught:
        mail.deliver(message())
    assert getattr(caught.value, "unknown", None) == unknown
    assert box.mails == []
    if kind is DeliveryFailed:
        mail.deliver(message())
        assert len(box.mails) == 1


@pytest.mark.parametrize("nasty", ["x\r\nBcc: all@example.com", "x\nX-A: b", "x\x00\u2028y", "\ud800"])
def test_no_text_becomes_a_header(mail, box, nasty):
    mail.deliver(Message(nasty, "ann@example.com", nasty, nasty, {"html": nasty, "unsubscribe": nasty, "topic": nasty}))
    (got,) = box.mails
    assert set(got.keys()) <= {
        "From", "To", "Subject", "Date", "Message-ID", "References", "Auto-Submitted", "X-Auto-Response-Suppress",
        "List-Unsubscribe", "List-Unsubscribe-Post", "MIME-Version", "Content-Type", "X-Peer", "X-MailFrom", "X-RcptTo",
    }  # fmt: skip
    assert got["Bcc"] is None


@pytest.mark.parametrize("address", ["", "ann", "a@b\nBcc: c@d", "a@b, c@d", "Ann <a@b>", "a b@c", "@b", "a@"])
def test_what_is_not_one_address_is_refused_before_anything_is_sent(address):
    with pytest.raises(Refused, match="not one mail address"):
        as_mail(Message("k", address, "t", "b"), "watchkeeper@example.com", AT)


def test_a_server_that_is_away_or_knows_us_not_is_tried_again(server):
    with pytest.raises(DeliveryFailed) as caught:
        Mail(Server("127.0.0.1", 1, "auto", "a@b.example"), lambda: AT).deliver(message())
    assert not caught.value.unknown
    wrong = Server("127.0.0.1", server[1], "none", "a@b.example", "watch", "wrong")
    with pytest.raises(DeliveryFailed, match="name or password"):
        Mail(wrong, lambda: AT).deliver(message())
    no_tls = Server("127.0.0.1", server[1], "starttls", "a@b.example")
    with pytest.raises(DeliveryFailed):
        Mail(no_tls, lambda: AT).deliver(message())


def test_with_the_right_password_it_goes_through(server, box):
    right = Server("127.0.0.1", server[1], "none", "a@b.example", "watch", "right")
    Mail(right, lambda: AT).deliver(message())
    assert len(box.mails) == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mail.example.com", "write it as"),
        ("smtp://", "write it as"),
        ("smtp://h:x", "port"),
        ("smtp://u:p@mail.example.com?tls=none", "in the clear"),
        ("smtp://h?tls=maybe", "none, auto or starttls"),
        ("smtp://h?starttls=1", "write it as"),
    ],
)
def test_an_address_that_is_none_or_unsafe_is_refused_with_the_rule(url, said):
    with pytest.raises(ValueError, match=said):
        parse_server(url)
