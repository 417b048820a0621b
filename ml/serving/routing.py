"""Which version answers a row: pure, so that every replica decides the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

CHAMPION, CANARY, SHADOW, PINNED = "champion", "canary", "shadow", "pinned"


@dataclass(frozen=True, slots=True)
class Routes:
    """The versions of a model that take part. canary_share: the share of ids, 0 to 1, that the canary answers."""

    champion: str
    canary: str | None = None
    canary_share: float = 0.0
    shadow: str | None = None

    @property
    def splits(self) -> bool:
        return self.canary is not None and self.canary_share > 0

    @property
    def versions(self) -> list[str]:
        """The versions whose answers a caller may get, the champion first."""
        return [self.champion] + ([self.canary] if self.canary is not None and self.splits else [])


def place(model: str, key: str) -> float:
    """Where an id stands between 0 and 1: the same on every machine and for every share, so that a canary that grows
    keeps the ids that it has, and another model's canary takes others.

    >>> place("bike-demand", "customer-7") == place("bike-demand", "customer-7")
    True
    """
    mixed = hashlib.blake2b(f"{model}\0{key}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(mixed, "big") / 2**64


def choose(routes: Routes, model: str, key: str) -> tuple[str, str]:
    """Version and route that answer for an id (of the entity, else of the request).

    >>> choose(Routes("3", "4", 1.0), "bike-demand", "customer-7")
    ('4', 'canary')
    """
    if routes.canary is not None and place(model, key) < routes.canary_share:
        return routes.canary, CANARY
    return routes.champion, CHAMPION
