"""One prediction: a row of the log or one typed in, what champion and challenger answer, and what drove it.

Models are asked in a process of their own (`agent.pipeline.model_process`); nothing is logged by trying.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.errors import InvalidInput, NotFound, WatchkeeperError
from agent.domain.wording import figure, shown, visible
from agent.doors.access import PrincipalDep, needs
from agent.doors.api.inputs import ModelName, ServicesDep, Word
from agent.doors.console import chart_data
from agent.doors.console.forms import Form
from agent.doors.console.importance import process_of, two_of
from agent.doors.console.model import seen
from agent.doors.console.page import fragment, render
from agent.pipeline.model_process import Answered
from agent.pipeline.services import Services
from agent.store.tables import MonitorRun
from ml.models.registry import CHAMPION
from ml.results import Window
from ml.spec import FeatureType, ModelSpec, Task

if TYPE_CHECKING:
    import pandas as pd

ROWS = 400
LISTED = 25
FIELD = "f."
MISSING = "__missing__"
HOW = {
    "SHAP": "A bar is how far the column pushed this answer up (right) or down (left): its SHAP value.",
    "typical value": "A bar is how far the answer moves when the column has its own value instead of a typical one.",
}
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@dataclass(frozen=True, slots=True)
class Field:
    """One input of the form: kind is number, choice, or text."""

    name: str
    kind: str
    value: str
    choices: list[str]
    unit: str


@dataclass(frozen=True, slots=True)
class Logged:
    """A row of the log, in short."""

    id: str
    at: Any
    prediction: str
    score: str
    label: str
    version: str


@router.get("/models/{name}/predict", dependencies=[needs("viewer")])
def show_prediction(
    request: Request, services: ServicesDep, principal: PrincipalDep, name: ModelName, row: Word = "", q: Word = ""
) -> Response:
    failed, frame = "", None
    with services.store.read() as session:
        spec = seen(services, session, principal, name)
        try:
            frame = _recent(services, session, spec)
        except WatchkeeperError as error:
            failed = str(error)
        found = None if frame is None or frame.empty else _picked(frame, row)
        listed = [] if frame is None else _listed(frame, q)
        fields = [_field(spec, column, frame, found) for column in spec.used_features]
        return render(
            request, "prediction.html", session=session, spec=spec, fields=fields, listed=listed, failed=failed, q=q,
            picked=None if found is None else _logged(found),
        )  # fmt: skip


@router.post("/models/{name}/predict", dependencies=[needs("viewer")])
def answer_row(
    request: Request, services: ServicesDep, principal: PrincipalDep, name: ModelName, form: Form
) -> Response:
    with services.store.read() as session:
        spec = seen(services, session, principal, name)
        background = _recent(services, session, spec)
    try:
        row = row_of(spec, form)
        infos = services.registry.versions(name)
        asked = two_of(infos)
        if not asked:
            raise NotFound(f"{name!r} has no version in the registry yet.")
        answers = process_of(request, services).answers(spec, asked, row, background)
    except WatchkeeperError as error:
        return fragment(request, "model/failed.html", text=str(error))
    champion = next((info.version for info in infos if CHAMPION in info.aliases), "")
    aliases = {info.version: list(info.aliases) for info in infos}
    drawn = {one.version: chart_data.pushes(one.pushes, one.unit) for one in answers if one.pushes}
    _on_one_scale([chart for chart, _ in drawn.values()])
    said = [(one, _said(spec, one)) for one in answers]
    return fragment(
        request, "model/answers.html", said=said, drawn=drawn, champion=champion, aliases=aliases, spec=spec,
        verdict=_verdict(spec, said), how=HOW.get(next((one.method for one in answers if one.method), ""), ""),
    )  # fmt: skip


def _said(spec: ModelSpec, one: Answered) -> str:
    try:
        value = float(one.prediction)
    except ValueError:
        return visible(one.prediction, 60)
    if spec.task is Task.REGRESSION or value.is_integer():  # a class 0 or 1 that became a number on its way
        return shown(figure(value))
    return visible(one.prediction, 60)


def _verdict(spec: ModelSpec, said: list[tuple[Answered, str]]) -> str:
    """Whether the versions agree, in a sentence; nothing for one alone."""
    known = [(one, text) for one, text in said if not one.failed]
    if len(known) < 2:
        return ""
    (one, text), (other, its) = known[:2]
    versions = f"Version {visible(one.version, 20)} answers {text}, version {visible(other.version, 20)} {its}"
    if spec.task is Task.REGRESSION:
        try:
            apart = shown(figure(abs(float(one.prediction) - float(other.prediction))))
        except ValueError:
            return f"{versions}."
        return f"{versions}: {apart} apart." if apart != "0" else f"Both answer {text}."
    return f"Both answer {text}." if text == its else f"They disagree. {versions}."


def _on_one_scale(charts: list[chart_data.Chart]) -> None:
    """Bars that are to be compared begin and end at the same numbers."""
    values = [value for chart in charts for value in chart["now"] if value is not None]
    if len(charts) > 1 and len({chart["unit"] for chart in charts}) == 1 and any(values):
        low, high = min(0.0, *values), max(0.0, *values)
        room = (high - low) / 5
        for chart in charts:
            chart.update({"from": low - room if low < 0 else 0.0, "to": high + room})


def _recent(services: Services, session: Session, spec: ModelSpec) -> pd.DataFrame:
    """Rows of the latest look that saw some; an empty frame where none did."""
    query = select(MonitorRun).where(MonitorRun.model == spec.name, MonitorRun.rows > 0)
    run = session.scalar(query.order_by(MonitorRun.window_end.desc()).limit(1))
    if run is None:
        span = services.log.span(spec)
        window = None if span is None else Window(max(span.start, span.end - spec.window), span.end)
    else:
        window = Window(run.window_start, run.window_end)
    now = services.now(session)
    empty = Window.before(now, spec.window)
    frame = services.log.read(spec, window or empty, most=ROWS)
    return frame.iloc[::-1]


def _picked(frame: pd.DataFrame, wanted: str) -> pd.Series | None:
    if not wanted:
        return frame.iloc[0]
    here = frame[frame["prediction_id"].astype(str) == wanted]
    return here.iloc[0] if len(here) else frame.iloc[0]


def _listed(frame: pd.DataFrame, q: str) -> list[Logged]:
    ids = frame["prediction_id"].astype(str)
    here = frame[ids.str.contains(q, regex=False)] if q else frame
    return [_logged(row) for _, row in here.head(LISTED).iterrows()]


def _logged(row: pd.Series) -> Logged:
    def text(column: str) -> str:
        value = row.get(column)
        if value is None or value != value:
            return "–"
        return shown(figure(value)) if isinstance(value, float) else visible(value, 40)

    at = row["timestamp"].to_pydatetime()
    parts = (text(column) for column in ("prediction", "score", "label", "model_version"))
    return Logged(str(row["prediction_id"]), at, *parts)


def _field(spec: ModelSpec, column: str, frame: pd.DataFrame | None, row: pd.Series | None) -> Field:
    feature = spec.features[column]
    value = None if row is None else row.get(column)
    missing = value is None or value != value or str(value) == "<NA>"
    text = "" if missing else f"{value:.12g}" if isinstance(value, float) else str(value)
    unit = getattr(feature, "unit", None) or ""
    if feature.type is FeatureType.NUMERIC:
        return Field(column, "number", text, [], unit)
    if feature.type is FeatureType.BOOLEAN:
        return Field(column, "choice", "" if missing else str(bool(value)), ["True", "False"], unit)
    if feature.type is FeatureType.CATEGORICAL and frame is not None:
        counts = frame[column].dropna().astype(str).value_counts()
        if 0 < len(counts) <= 40:
            return Field(column, "choice", text, sorted({*counts.index, *([text] if text else [])}), unit)
    return Field(column, "text", text, [], unit)


def row_of(spec: ModelSpec, form: dict[str, str]) -> pd.DataFrame:
    """One row of a log frame, from a form. Raises: InvalidInput naming the field that is no number."""
    import pandas as pd

    from ml.data.log_frame import conform

    values: dict[str, Any] = {}
    for column in spec.used_features:
        text = form.get(f"{FIELD}{column}", "").strip()
        kind = spec.features[column].type
        if not text or text == MISSING:
            values[column] = None
        elif kind is FeatureType.NUMERIC:
            try:
                values[column] = float(text.replace(",", "."))
            except ValueError:
                raise InvalidInput(f"{visible(column, 60)}: {visible(text, 40)!r} is no number.") from None
        elif kind is FeatureType.BOOLEAN:
            values[column] = text.lower() in ("true", "1", "yes")
        else:
            values[column] = text
    frame = pd.DataFrame([values], columns=list(spec.used_features)).astype(object)
    try:
        return conform(frame, spec, list(spec.used_features), [])
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"The row cannot be read: {visible(error, 200)}") from None
