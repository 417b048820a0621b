"""The kinds of values that routes take: cleaned and bounded before any code of ours sees them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Request
from pydantic import AfterValidator, BeforeValidator, StringConstraints

from agent.doors.clean import clean
from agent.pipeline.services import Services

MOST_ITEMS = 500


def services_of(request: Request) -> Services:
    """The services that the app was made with."""
    services: Services = request.app.state.services
    return services


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("this time lies outside the years 1 to 9999 in UTC") from None


def _number_fits(value: Any) -> Any:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a whole number here has 64 bits at most; send it as text, or as a number with a point")
    return value


ServicesDep = Annotated[Services, Depends(services_of)]
Text = Annotated[str, BeforeValidator(clean), StringConstraints(max_length=2000)]
Word = Annotated[str, BeforeValidator(clean), StringConstraints(max_length=200, strip_whitespace=True)]
Person = Annotated[str, BeforeValidator(clean), StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Scalar = Annotated[bool | int | float | str | None, AfterValidator(_number_fits)]
Row = Annotated[dict[str, Scalar], BeforeValidator(clean)]
Moment = Annotated[datetime, AfterValidator(_in_utc)]

ModelName = Annotated[Word, Path(description="a model, as `GET /models` names it", examples=["bike-demand"])]
RecordId = Annotated[Word, Path(description="an id, or the start of it", examples=["p-7k2m9xq4c1"])]
Limit = Annotated[int, Query(ge=1, le=MOST_ITEMS, description="items in one page")]
WholeLimit = Annotated[
    int, Query(ge=1, le=MOST_ITEMS, description="items in one page; default: as many as there can be")
]
CursorText = Annotated[Word | None, Query(description="`next` of the page before; absent for the first")]
Since = Annotated[Moment | None, Query(description="nothing before this time (ISO 8601)")]
IdempotencyKey = Annotated[
    Word | None, Header(description="the same key again does nothing again; for rows it is the id of the batch")
]
