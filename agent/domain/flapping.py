"""A version that was taken away does not come back by itself. Pure; time is an argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any


def taken_away(ledger: Sequence[Mapping[str, Any]], version: str) -> datetime | None:
    """When a rollback last took a version out of service; None where none did.

    ledger: deployments in order of time, each with `timestamp`, `version` and `kind`.

    >>> when = [datetime(2026, 3, day) for day in (1, 2, 3)]
    >>> kinds = ["first", "retrain", "rollback"]
    >>> rows = [{"timestamp": t, "version": v, "kind": k} for t, v, k in zip(when, "121", kinds)]
    >>> taken_away(rows, "2") == when[2], taken_away(rows, "1")
    (True, None)
    """
    pairs = pairwise(ledger)
    away = [
        after["timestamp"] for before, after in pairs if before["version"] == version and after["kind"] == "rollback"
    ]
    return max(away, default=None)


def would_flap(ledger: Sequence[Mapping[str, Any]], version: str, now: datetime, window: timedelta) -> str | None:
    """Why nobody but a person may ask for a version now; None where the watch may propose it."""
    away = taken_away(ledger, version)
    if away is None or now >= away + window:
        return None
    return (
        f"version {version} was rolled back at {away:%Y-%m-%d %H:%M} UTC, and until {away + window:%Y-%m-%d %H:%M} UTC "
        "only a person may ask for it again (`flap_window` of approvals.yaml)"
    )
