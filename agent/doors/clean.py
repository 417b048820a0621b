"""Plain data from outside, its texts made safe to store and to show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.clean import clean_text


def clean(value: Any) -> Any:
    """The same for plain data, one level deep (deeper data is refused later, and must not exhaust the stack here)."""
    if isinstance(value, Mapping):
        return {clean_value(key): clean_value(item) for key, item in value.items()}
    return clean_value(value)


def clean_value(value: Any) -> Any:
    """Text cleaned, anything else as it is."""
    return clean_text(value) if isinstance(value, str) else value
