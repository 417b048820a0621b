"""Mail by SMTP: `smtp://user:password@host:587` (STARTTLS) or `smtps://…:465`. 5xx is for ever, 4xx is tried again."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from notifications.message import DeliveryFailed, Message, Receipt, Refused
from notifications.mime import as_mail

SECONDS = 20.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server. tls: `tls` from the first byte, `starttls` required, `auto` where it is offered, or `none`."""

    host: str
    port: int
    tls: str
    sender: str
    user: str = ""
    password: str = field(default="", repr=False)


def parse_server(url: str, sender: str = "") -> Server:
    """The server that an address names; `?tls=none|auto|starttls` says more. Raises: ValueError, saying what is wrong.

    >>> parse_server("smtp://ann%40example.com:secret@mail.example.com", "")
    Server(host='mail.example.com', port=587, tls='starttls', sender='ann@example.com', user='ann@example.com')
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("the port is not a number") from None
    wanted = parse_qs(parts.query)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or set(wanted) - {"tls"}:
        raise ValueError("write it as smtp://USER:PASSWORD@HOST:587, or smtps://USER:PASSWORD@HOST:465")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    secure = "auto" if parts.hostname in LOOPBACK else "starttls"
    tls = "tls" if parts.scheme == "smtps" else wanted.get("tls", [secure])[0]
    if tls not in ("tls", "starttls", "auto", "none"):
        raise ValueError(f"tls={tls}: write none, auto or starttls")
    if password and tls in ("none", "auto") and parts.hostname not in LOOPBACK:
        raise ValueError(f"tls={tls} would send the password in the clear; leave it out")
    sender = sender or (user if "@" in user else f"watchkeeper@{parts.hostname}")
    return Server(parts.hostname, port or (465 if tls == "tls" else 587), tls, sender, user, password)


class Mail:
    """Sends through one server; each message is a connection of its own, so that none inherits another's trouble."""

    pace = 0.0

    def __init__(self, server: Server, wall: Callable[[], datetime], *, seconds: float = SECONDS) -> None:
        self._server = server
        self._wall = wall
        self._seconds = seconds

    def deliver(self, message: Message) -> Receipt:
        """Send; the server has taken it when this returns. Raises: DeliveryFailed, Refused."""
        import aiosmtplib

        mail = as_mail(message, self._server.sender, self._wall())
        try:
            asyncio.run(asyncio.wait_for(self._send(mail.as_bytes(), message.recipient), self._seconds))
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _judged(error.recipients[0].code, error.recipients[0].message) from error
        except aiosmtplib.SMTPAuthenticationError as error:
            raise DeliveryFailed(
                f"the mail server refuses our name or password ({error.code} {error.message})"
            ) from error
        except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPHeloError, aiosmtplib.SMTPConnectResponseError) as error:
            raise DeliveryFailed(f"the mail server refuses us ({error.code} {error.message})") from error
        except aiosmtplib.SMTPResponseException as error:
            raise _judged(error.code, error.message) from error
        except aiosmtplib.SMTPConnectError as error:
            raise DeliveryFailed(f"the mail server {self._server.host}: {error}") from error
        except (aiosmtplib.SMTPException, TimeoutError, OSError) as error:
            said = str(error) or type(error).__name__
            raise DeliveryFailed(f"the mail server {self._server.host}: {said}", unknown=True) from error
        except UnicodeError as error:
            raise Refused(f"the mail cannot be written for this server ({error})") from error
        return Receipt(str(mail["Message-ID"]))

    def greet(self) -> str:
        """Connect, encrypt and sign in as for a mail, and send none; how it went. Raises: DeliveryFailed."""
        import aiosmtplib

        server = self._server
        try:
            asyncio.run(asyncio.wait_for(self._greet(), self._seconds))
        except aiosmtplib.SMTPAuthenticationError as error:
            raise DeliveryFailed(f"{server.host}:{server.port} refuses the name or the password ({error})") from error
        except (aiosmtplib.SMTPException, TimeoutError, OSError) as error:
            raise DeliveryFailed(f"{server.host}:{server.port}: {str(error) or type(error).__name__}") from error
        how = {"tls": "TLS", "starttls": "STARTTLS", "auto": "STARTTLS where offered", "none": "not encrypted"}
        return f"{server.host}:{server.port}, {how[server.tls]}, from {server.sender}" + (
            f", signed in as {server.user}" if server.password else ""
        )

    async def _greet(self) -> None:
        import aiosmtplib

        async with aiosmtplib.SMTP(**self._connection()):
            pass

    def _connection(self) -> dict[str, Any]:
        server = self._server
        return {
            "hostname": server.host,
            "port": server.port,
            "username": server.user or None,
            "password": server.password or None,
            "use_tls": server.tls == "tls",
            "start_tls": {"tls": False, "none": False, "starttls": True, "auto": None}[server.tls],
            "tls_context": None if server.tls == "none" else ssl.create_default_context(),
            "timeout": self._seconds,
        }

    async def _send(self, mail: bytes, recipient: str) -> None:
        import aiosmtplib

        await aiosmtplib.send(mail, sender=self._server.sender, recipients=[recipient], **self._connection())


def _judged(code: int, said: str) -> Exception:
    """4xx: later. 5xx: never."""
    text = f"the mail server says {code} {said}"[:500]
    return Refused(text) if 500 <= code < 600 else DeliveryFailed(text)
