"""Addresses that a process listens on, and whether other machines can reach them."""

from __future__ import annotations

from ipaddress import ip_address

from agent.domain.errors import InvalidInput


def split_bind(bind: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:8000` or `[::1]:8000`. Raises: InvalidInput."""
    host, colon, port = bind.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InvalidInput(f"bind: {bind!r} is not an address; write it like 127.0.0.1:8000.")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether a host, by name or number, can only be this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
