"""Where a request may go: https, and no address of a private network unless that is wanted (server-side request
forgery). The name is resolved once, and what was checked is what is connected to."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from notifications.message import DeliveryFailed, Refused


@dataclass(frozen=True, slots=True)
class Place:
    """A checked address: `url` names the number that was checked, `host` and `name` what was asked for."""

    url: str
    host: str
    name: str


def checked(url: str, *, private: bool = False) -> Place:
    """The place that a URL means. Raises: Refused for one that must not be asked, DeliveryFailed without an answer."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused(f"the address cannot be read ({error})") from None
    name = parts.hostname or ""
    if not name or parts.scheme not in ("http", "https") or parts.username or parts.password:
        raise Refused("the address must be https://host/path, without a name and a password in it")
    addresses = _resolved(name, port or (443 if parts.scheme == "https" else 80))
    local = all(address.is_loopback for address in addresses)
    if parts.scheme == "http" and not local:
        raise Refused("the address is http; only https is safe to leave this machine")
    for address in addresses:
        if (
            not (address.is_global and not address.is_multicast)
            and not private
            and not (local and _says_loopback(name))
        ):
            raise Refused(f"{name} is {address}, an address of a private network; `private: true` allows it")
    address = addresses[0]
    number = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
    place = number if port is None else f"{number}:{port}"
    return Place(parts._replace(netloc=place, fragment="").geturl(), parts.netloc, name)


def _says_loopback(name: str) -> bool:
    """Whether the address was written as this machine; a foreign name that resolves to it was not."""
    return name in ("localhost", "127.0.0.1", "::1")


def _resolved(name: str, port: int) -> list[IPv4Address | IPv6Address]:
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DeliveryFailed(f"{name}: {error}") from None
    addresses = [_plain(ip_address(str(entry[4][0]).partition("%")[0])) for entry in found]
    if not addresses:
        raise DeliveryFailed(f"{name}: no address")
    return addresses


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address that hides in an IPv6 one is judged as what it is."""
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
