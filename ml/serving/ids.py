"""Prediction ids: checked where they are given, made where they are not."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from ml.serving.problems import Fault, refuse_rows

COLUMN = "prediction_id"
LONGEST = 200


def made_id() -> str:
    """A UUID of version 7: unique, and in the order of time.

    >>> made_id()[14]
    '7'
    """
    moment = time.time_ns() // 1_000_000
    digits = f"{moment << 80 | int.from_bytes(os.urandom(10), 'big'):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def row_ids(request_id: str, count: int) -> list[str]:
    """An id a row from the id of their request: the request's own for one row, numbered from 0 for many."""
    return [request_id] if count == 1 else [f"{request_id}.{row}" for row in range(count)]


def check_request_id(text: str, where: str) -> str:
    """Raises: Refused when it is no id."""
    if not _is_id(text):
        raise refuse_rows([Fault("wrong id", f"{where} is no id: 1 to {LONGEST} printable characters, no spaces.")])
    return text


def check_row_ids(values: Sequence[Any]) -> list[str]:
    """The ids of a column. Raises: Refused naming the row that has none, an unusable one, or one that stands before."""
    found: list[str] = []
    for row, value in enumerate(values):
        text = str(value) if type(value) is int else value
        if not isinstance(text, str) or not _is_id(text):
            what = f"is no id: 1 to {LONGEST} printable characters, no spaces; leave the column out to have ids made."
            raise refuse_rows([Fault("wrong id", what, COLUMN, row)])
        found.append(text)
    if len(set(found)) < len(found):
        seen: set[str] = set()
        row = next(row for row, text in enumerate(found) if text in seen or seen.add(text))  # type: ignore[func-returns-value]
        raise refuse_rows([Fault("repeated id", "stands in an earlier row too; give each row its own.", COLUMN, row)])
    return found


def _is_id(text: str) -> bool:
    return 0 < len(text) <= LONGEST and text.isprintable() and " " not in text
