"""Pages of a list, newest first: an opaque cursor says where the next one starts, so that new rows shift nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Select, and_, or_
from sqlalchemy.orm import InstrumentedAttribute, Session

from agent.domain.errors import InvalidInput
from tools.clean import clean_text

Item = TypeVar("Item")
STRANGE = "cursor: this is not one that was given here; start again without it."
Keys = tuple[InstrumentedAttribute[Any], ...]


class Page(BaseModel, Generic[Item]):
    """Some items, and the cursor of what follows."""

    items: list[Item]
    next: str | None = Field(None, description="give it as `cursor` for the next page; null on the last")


def page(
    session: Session, query: Select[Any], keys: Keys, cursor: str | None, limit: int
) -> tuple[list[Any], str | None]:
    """The rows after `cursor`, ordered by `keys` descending (the last one unique), and the next cursor."""
    if cursor is not None:
        query = query.where(_after(keys, _read(cursor, keys)))
    rows = session.scalars(query.order_by(*(key.desc() for key in keys)).limit(limit + 1)).all()
    shown = list(rows[:limit])
    return shown, _write([getattr(shown[-1], key.key) for key in keys]) if len(rows) > limit else None


def part(
    items: Sequence[Item], key: Callable[[Item], str], cursor: str | None, limit: int
) -> tuple[list[Item], str | None]:
    """The same of a short list in an order of its own: what follows the item that the cursor names."""
    start = 0
    if cursor is not None:
        last = _read_text(cursor)
        start = next((number + 1 for number, item in enumerate(items) if key(item) == last), -1)
        if start < 0:
            raise InvalidInput(STRANGE)
    shown = list(items[start : start + limit])
    return shown, _write([key(shown[-1])]) if shown and start + limit < len(items) else None


def _read_text(cursor: str) -> str:
    try:
        (value,) = json.loads(base64.urlsafe_b64decode(cursor.encode() + b"=="))
    except (ValueError, TypeError, RecursionError):
        raise InvalidInput(STRANGE) from None
    return str(value)


def _after(keys: Keys, values: list[Any]) -> ColumnElement[bool]:
    """Below the cursor's row: in the first key, or equal there and below in the rest."""
    first = keys[0] < values[0]
    return first if len(keys) == 1 else or_(first, and_(keys[0] == values[0], _after(keys[1:], values[1:])))


def _write(values: list[Any]) -> str:
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def _read(cursor: str, keys: Keys) -> list[Any]:
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor.encode() + b"=="))
        if not isinstance(values, list) or len(values) != len(keys):
            raise ValueError(cursor)
        return [_typed(value, key.type.python_type) for value, key in zip(values, keys, strict=True)]
    except (ValueError, RecursionError):  # binascii.Error is a ValueError
        raise InvalidInput(STRANGE) from None


def _typed(value: Any, kind: type[Any]) -> Any:
    if kind is datetime and isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None and 1 < moment.year < 9999:
            return moment
    elif (
        type(value) is kind
        and (kind is not int or 0 <= value < 2**63)
        and (kind is not str or clean_text(value) == value)
    ):
        return value
    raise ValueError(value)
