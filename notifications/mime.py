"""A message as a mail: plain text, HTML with its pictures inside, files attached. No header can be injected."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from typing import Any

from notifications.message import File, Message, Refused

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+")
_ADDRESS = re.compile(r"^[^@\s<>,;:\"()\[\]\\\x00-\x1f\x7f]{1,64}@[^@\s<>,;:\"()\[\]\\\x00-\x1f\x7f]{1,190}$")
LONGEST_SUBJECT = 200
WHOLE = "list-unsubscribe"
"""A header that programs read as it stands: an address in it is neither folded nor encoded, however long it is."""


class _Policy(EmailPolicy):
    def fold(self, name: str, value: Any) -> str:
        return f"{name}: {value}{self.linesep}" if name.lower() == WHOLE else super().fold(name, value)

    def fold_binary(self, name: str, value: Any) -> bytes:
        return self.fold(name, value).encode() if name.lower() == WHOLE else super().fold_binary(name, value)


SMTP_POLICY = _Policy(linesep="\r\n")


def as_mail(message: Message, sender: str, at: datetime) -> EmailMessage:
    """The mail of a message. `document`: `html`; `unsubscribe`, an address that takes a one-click POST; `topic`, what
    mail programs thread by. The same key has the same Message-ID, so that a second copy is known as one.

    Raises: Refused for a recipient or a sender that is not exactly one address.
    """
    for address in (message.recipient, sender):
        if not _ADDRESS.match(address):
            raise Refused(f"{address[:100]!r} is not one mail address, such as ann@example.com")
    domain = sender.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP_POLICY)
    mail["From"] = f"Watchkeeper <{sender}>"
    mail["To"] = message.recipient
    mail["Subject"] = header(message.title)
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = mail_id(message.key, domain)
    if topic := str(message.document.get("topic") or ""):
        mail["References"] = mail_id(f"topic:{topic}", domain)
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    if unsubscribe := str(message.document.get("unsubscribe") or ""):
        mail["List-Unsubscribe"] = (
            f"<{''.join(_CONTROL.sub('', unsubscribe).encode('ascii', 'ignore').decode().split())}>"
        )
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content(_lines(message.body) or "\n")
    if html := str(message.document.get("html") or ""):
        mail.add_alternative(_lines(html), subtype="html")
        pictures = mail.get_body(("html",))
        for file in message.files:
            if file.inline and isinstance(pictures, EmailMessage):
                main, sub = _media_type(file)
                name = header(file.name)
                pictures.add_related(
                    file.content, maintype=main, subtype=sub, cid=f"<{name}>", filename=name, disposition="inline"
                )
    for file in message.files:
        if not (html and file.inline):
            main, sub = _media_type(file)
            mail.add_attachment(file.content, maintype=main, subtype=sub, filename=header(file.name))
    return mail


def mail_id(key: str, domain: str) -> str:
    """The Message-ID of a key.

    >>> mail_id("incident:i-1", "example.com")
    '<wk.8f691f6ffb5e757b3820a4200150a00d@example.com>'
    """
    return f"<wk.{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()[:32]}@{domain}>"


def header(text: str) -> str:
    """Text that is safe in a header: one line, no control characters, no half of a surrogate pair.

    >>> header("churn: done\\r\\nBcc: everybody@example.com")
    'churn: done Bcc: everybody@example.com'
    """
    plain = _CONTROL.sub(" ", text).encode("utf-8", "replace").decode()
    return plain.strip()[:LONGEST_SUBJECT]


def _lines(text: str) -> str:
    """Text of a body: line feeds only, no NUL."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    return plain.encode("utf-8", "replace").decode()


def _media_type(file: File) -> tuple[str, str]:
    main, slash, sub = file.media_type.partition("/")
    safe = slash and re.fullmatch(r"[a-z0-9.+-]+", main + sub)
    return (main, sub) if safe and main not in ("multipart", "message", "text") else ("application", "octet-stream")
