"""What tools take: kinds of arguments with descriptions, the schema from a signature, times as people say them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from ml.errors import InvalidInput
from ml.spec import parse_duration
from tools.clean import clean_text
from tools.context import Span

MOST_CHARACTERS = 32_768
"""Of the arguments of one call, as text."""
LONGEST_TEXT, LONGEST_WORD, MOST_FEATURES = 2000, 200, 50


def _clean(value: Any) -> Any:
    return clean_text(value) if isinstance(value, str) else value


def _absent(value: Any) -> Any:
    """Models write "" or null for what they leave out."""
    value = _clean(value)
    return None if isinstance(value, str) and not value.strip() else value


def _said(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value.strip()


Word = Annotated[str, BeforeValidator(_clean), Field(max_length=LONGEST_WORD), AfterValidator(_said)]
Text = Annotated[str, BeforeValidator(_clean), Field(max_length=LONGEST_TEXT), AfterValidator(_said)]

ModelName = Annotated[Word, Field(description="a model's name")]
Since = Annotated[Word, Field(description="start: ISO time, or how long ago such as 7d or 24h")]
Until = Annotated[Word, Field(description="end: ISO time, how long ago, or now")]
Ahead = Annotated[Word, Field(description="ISO time, or how long from now such as 24h or 7d")]
Cursor = Annotated[Word, Field(description="`next` of the page before")]
Why = Annotated[Text, Field(description="why, for the person who decides; cite evidence ids")]
Words = Annotated[Text, Field(description="what it is about, in words")]
FileName = Annotated[Word, Field(description="a runbook's name")]
Version = Annotated[Word, Field(description="a version in the registry")]
Monitor = Annotated[Word, Field(description="`drift.psi`, or a family: quality, drift, performance, estimation")]
Feature = Annotated[Word, Field(description="a column of the model")]
Segment = Annotated[Word, Field(description="such as region=north")]
RecordId = Annotated[Word, Field(description="an id, or the start of it")]
Features = Annotated[list[Word], Field(min_length=1, max_length=MOST_FEATURES, description="columns that are broken")]
Pair = Annotated[list[Word], Field(min_length=2, max_length=2, description="two versions to be compared")]
Beside = Annotated[Literal["before"], Field(description="`before`: the time of the same length before it")]
TrialAction = Literal["retrain", "rollback", "recalibrate", "do_nothing"]


def schema_of(name: str, function: Callable[..., Any]) -> type[BaseModel]:
    """The arguments of a tool as a closed model, from its signature; its first parameter is the context."""
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        kind = hints[parameter.name]
        if parameter.default is inspect.Parameter.empty:
            fields[parameter.name] = (kind, ...)
        else:
            fields[parameter.name] = (Annotated[kind, BeforeValidator(_absent)], parameter.default)
    made: type[BaseModel] = create_model(f"{name}_arguments", __config__=ConfigDict(extra="forbid"), **fields)
    return made


def read(schema: type[BaseModel], given: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """The arguments of a call, whatever was sent. Raises: InvalidInput naming what is wrong."""
    if given is None:
        given = {}
    if isinstance(given, str):
        given = _from_text(given)
    if not isinstance(given, Mapping):
        raise InvalidInput('The arguments are not a JSON object; write them as {"name": value}.')
    if _size(given) > MOST_CHARACTERS:
        raise InvalidInput(f"The arguments are longer than {MOST_CHARACTERS} characters; say it in fewer words.")
    try:
        parsed = schema.model_validate({clean_text(str(key))[:100]: value for key, value in given.items()})
    except ValidationError as error:
        raise InvalidInput(_explain(error, schema)) from None
    except RecursionError:
        raise InvalidInput("The arguments are nested too deeply; every argument is a text or a list.") from None
    return {name: getattr(parsed, name) for name in schema.model_fields}


def _from_text(given: str) -> Any:
    if len(given) > MOST_CHARACTERS:
        raise InvalidInput(f"The arguments are longer than {MOST_CHARACTERS} characters; say it in fewer words.")
    if not given.strip():
        return {}
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        raise InvalidInput('The arguments are not JSON; write them as {"name": "value"}.') from None


def _size(value: Any) -> int:
    """About how long plain data is, walked without recursion; stops at the bound."""
    size, waiting = 0, [value]
    while waiting and size <= MOST_CHARACTERS:
        one = waiting.pop()
        size += 2
        if isinstance(one, Mapping):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple, set)):
            waiting += list(one)
        elif isinstance(one, (str, bytes)):
            size += len(one)
        elif isinstance(one, int):
            size += one.bit_length() // 3
    return size


def _explain(error: ValidationError, schema: type[BaseModel]) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    said = [f"{'.'.join(str(part)[:60] for part in e['loc']) or 'arguments'}: {e['msg'][:200]}" for e in found[:3]]
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    known = ", ".join(schema.model_fields) or "none"
    return f"{'; '.join(said)}{more}. Its arguments: {known}."


def past(text: str | None, now: datetime, name: str) -> datetime | None:
    """A time: ISO (UTC where it has no zone), `now`, or how long ago. Raises: InvalidInput.

    >>> past("24h", datetime(2026, 3, 2, tzinfo=UTC), "since").isoformat()
    '2026-03-01T00:00:00+00:00'
    """
    return None if text is None else _time(text, now, name, sign=-1)


def ahead(text: str, now: datetime, name: str) -> datetime:
    """A time that is to come: ISO, or how long from now. Raises: InvalidInput."""
    return _time(text, now, name, sign=1)


def span(since: str | None, until: str | None, now: datetime) -> Span:
    """Raises: InvalidInput for a time that cannot be read, or a span that ends before it starts."""
    found = Span(past(since, now, "since"), past(until, now, "until"))
    if found.since is not None and found.until is not None and found.since >= found.until:
        raise InvalidInput(f"since: {since!r} is not before until {until!r}; swap or widen the two times.")
    return found


def _time(text: str, now: datetime, name: str, *, sign: int) -> datetime:
    plain = text.strip().lower().removesuffix(" ago").removeprefix("in ").strip()
    if plain == "now":
        return now
    try:
        length: timedelta | None = parse_duration(plain)
    except (ValueError, OverflowError):
        length = None
    try:
        if length is not None:
            return now + sign * length
        found = datetime.fromisoformat(text.strip().upper())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"{name}: {text[:40]!r} is not a time; write 2026-03-01T12:00 (UTC), or a length such as 24h or 7d."
        ) from None
