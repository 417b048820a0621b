"""Pages of a list, newest first: an opaque cursor says where the next one starts, so that new rows shift nothing."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field
from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from agent.domain.errors import InvalidInput

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """Some items, and the cursor of what follows."""

    items: list[Item]
    next: str | None = Field(None, description="give it as `cursor` for the next page; null on the last")


def page(
    session: Session,
    query: Select[tuple[Any]],
    keys: tuple[InstrumentedAttribute[Any], ...],
    cursor: str | None,
    limit: int,
) -> tuple[list[Any], str | None]:
    """The rows after `cursor`, ordered by `keys` descending (the last one unique), and the next cursor."""
    if cursor is not None:
        after = _read(cursor, keys)
        query = query.where(tuple_(*keys) < tuple_(*after))
    rows = session.scalars(query.order_by(*(key.desc() for key in keys)).limit(limit + 1)).all()
    more = len(rows) > limit
    shown = list(rows[:limit])
    return shown, _write([getattr(shown[-1], key.key) for key in keys]) if more else None


def _write(values: list[Any]) -> str:
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def _read(cursor: str, keys: tuple[InstrumentedAttribute[Any], ...]) -> list[Any]:
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor.encode() + b"=="))
        if not isinstance(values, list) or len(values) != len(keys):
            raise ValueError(cursor)
        return [_typed(value, key) for value, key in zip(values, keys, strict=True)]
    except (ValueError, binascii.Error, RecursionError):
        raise InvalidInput("cursor: this is not one that was given here; start again without it.") from None


def _typed(value: Any, key: InstrumentedAttribute[Any]) -> Any:
    kind = key.type.python_type if not isinstance(value, str) else str
    if isinstance(value, str) and key.type.python_type is datetime:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None or moment.year < 2:
            raise ValueError(value)
        return moment
    if kind is int and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63):
        raise ValueError(value)
    if not isinstance(value, key.type.python_type):
        raise ValueError(value)
    return value
