"""What is answered when a request is refused: an RFC 9457 problem document naming row, column and rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from ml.errors import Conflict, InvalidInput, NotFound, Unavailable, WatchkeeperError

MEDIA_TYPE = b"application/problem+json"
MOST_FAULTS = 20
_STATUS: tuple[tuple[type[WatchkeeperError], int], ...] = (
    (NotFound, 404),
    (InvalidInput, 400),
    (Conflict, 409),
    (Unavailable, 503),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with what was sent; the value itself is not repeated. row: counted from 0."""

    rule: str
    what: str
    column: str | None = None
    row: int | None = None

    def document(self) -> dict[str, Any]:
        place = {"row": self.row, "column": self.column}
        return {key: value for key, value in place.items() if value is not None} | {
            "rule": self.rule,
            "what": self.what,
        }


@dataclass(eq=False)
class Refused(WatchkeeperError):
    """A request that is not answered. rule: a short name that programs can rely on."""

    status: int
    rule: str
    detail: str
    faults: Sequence[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.detail


class NotYet(Refused):
    """A refusal that a moment later may be none; raised before anything of the request was read."""


def refuse_rows(faults: Sequence[Fault]) -> Refused:
    """The refusal of rows that break a rule; its sentence is that of the first fault."""
    first = faults[0]
    where = "" if first.column is None else f"column {first.column!r}"
    where += f"{', ' if where else ''}row {first.row}" if first.row is not None else ""
    more = f" ({len(faults) - 1} more like this are listed)" if len(faults) > 1 else ""
    detail = f"{where}: {first.what}{more}" if where else f"{first.what}{more}"
    return Refused(400, first.rule, detail[:1].upper() + detail[1:], tuple(faults[:MOST_FAULTS]))


def as_refused(error: WatchkeeperError) -> Refused:
    """Any of our errors as a refusal."""
    if isinstance(error, Refused):
        return error
    kind, status = next(((k, s) for k, s in _STATUS if isinstance(error, k)), (type(error), 403))
    words = "".join(f"-{c.lower()}" if c.isupper() else c for c in kind.__name__).strip("-")
    headers = {"retry-after": "1"} if status == 503 else {}
    return Refused(status, words, str(error), headers=headers)


def document(refused: Refused, path: str) -> dict[str, Any]:
    """The problem document. On `/v2` it has the protocol's `error`, elsewhere MLflow's `error_code` and `message`."""
    body: dict[str, Any] = {
        "type": f"urn:watchkeeper:{refused.rule.replace(' ', '-')}",
        "title": HTTPStatus(refused.status).phrase,
        "status": refused.status,
        "detail": refused.detail,
        "instance": path,
    }
    if refused.faults:
        body["errors"] = [fault.document() for fault in refused.faults]
    if path.startswith("/v2"):
        body["error"] = refused.detail
    else:
        body |= {"error_code": _MLFLOW_CODES.get(refused.status, "INTERNAL_ERROR"), "message": refused.detail}
    sayable: dict[str, Any] = _sayable(body)
    return sayable


def _sayable(value: Any) -> Any:
    """Lone surrogates, which cannot be written, become question marks: what is said may name what a caller sent."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_sayable(item) for item in value]
    if isinstance(value, dict):
        return {key: _sayable(item) for key, item in value.items()}
    return value


_MLFLOW_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "ENDPOINT_NOT_FOUND",
    413: "BAD_REQUEST",
    415: "BAD_REQUEST",
    429: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
