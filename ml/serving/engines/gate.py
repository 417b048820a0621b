"""The parity gate: a faster engine takes traffic only if it says on every probe what the model itself says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml.errors import DataError
from ml.serving.engines.native import answers_of
from ml.serving.engines.probes import Row, as_rows
from ml.serving.rows import Engine

if TYPE_CHECKING:
    from ml.models.recipes import FittedModel

TOLERANCE = 1e-5
"""Largest difference of a probability, or of a number as a share of its size and of the spread of the answers."""

_LARGEST = 3.4028235e38

Answer = tuple[Any, float | None] | None
"""Prediction and score of one row; None where the row is refused."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """largest: the largest difference found. why: empty when passed, else the first row that differs."""

    passed: bool
    rows: int
    largest: float
    why: str = ""


def native_answers(fitted: FittedModel, rows: Sequence[Row]) -> list[Answer]:
    """What the model itself says, row by row where a batch cannot be answered."""
    try:
        found = answers_of(fitted.predict(as_rows(rows).frame()))
    except DataError:
        if len(rows) == 1:
            return [None]
        half = len(rows) // 2
        return [*native_answers(fitted, rows[:half]), *native_answers(fitted, rows[half:])]
    return list(zip(found.predictions, found.scores, strict=True))


def judge(engine: Engine, rows: Sequence[Row], expected: Sequence[Answer], *, tolerance: float = TOLERANCE) -> Verdict:
    """Every row alone, then all rows that were answered together."""
    numbers = [answer[0] for answer in expected if answer is not None and _is_number(answer)]
    spread = max(numbers) - min(numbers) if numbers else 0.0
    given = [_alone(engine, row) for row in rows]
    largest = 0.0
    for place, (row, want, got) in enumerate(zip(rows, expected, given, strict=True)):
        difference = _difference(row, want, got, spread)
        largest = max(largest, difference)
        if difference > tolerance:
            return Verdict(False, len(rows), difference, _say(place, row, want, got))
    kept = [place for place, answer in enumerate(given) if answer is not None]
    together = engine.answer(as_rows([rows[place] for place in kept])) if kept else None
    for j, place in enumerate(kept):
        got = (together.predictions[j], together.scores[j]) if together else None
        difference = _difference(rows[place], expected[place], got, spread)
        largest = max(largest, difference)
        if difference > tolerance:
            return Verdict(False, len(rows), difference, _say(place, rows[place], expected[place], got) + " in a batch")
    return Verdict(True, len(rows), largest)


def _alone(engine: Engine, row: Row) -> Answer:
    try:
        found = engine.answer(as_rows([row]))
    except DataError:
        return None
    return found.predictions[0], found.scores[0]


def _difference(row: Row, want: Answer, got: Answer, spread: float) -> float:
    """Infinite where the class differs, or one of the two refuses what the other answers."""
    if want is None or got is None:
        beyond = got is None and any(isinstance(v, float) and _LARGEST < abs(v) < float("inf") for v in row.values())
        return 0.0 if want is got or beyond else float("inf")  # numbers beyond 32 bits may be refused
    if _is_number(want) and _is_number(got):
        if want[0] != want[0] or got[0] != got[0]:
            return 0.0 if want[0] != want[0] and got[0] != got[0] else float("inf")
        return float(abs(want[0] - got[0]) / max(abs(want[0]), spread, 1e-30))
    if want[0] != got[0] or type(want[0]) is not type(got[0]) or want[1] is None or got[1] is None:
        return float("inf")
    return abs(want[1] - got[1])


def _is_number(answer: tuple[Any, float | None]) -> bool:
    return answer[1] is None and isinstance(answer[0], float)


def _say(place: int, row: Row, want: Answer, got: Answer) -> str:
    def text(answer: Answer) -> str:
        if answer is None:
            return "refused it"
        return f"said {answer[0]!r}" + ("" if answer[1] is None else f" ({answer[1]:.7g})")

    odd = ", ".join(f"{name}={value!r:.40}" for name, value in list(row.items())[:4])
    return f"on probe {place} ({odd} …) the model {text(want)} and it {text(got)}"
