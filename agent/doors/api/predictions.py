"""`/models/{name}/predictions` and `/labels`: what a model answered, and what turned out to be true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator

from agent.doors.access import needs
from agent.doors.api.inputs import IdempotencyKey, ModelName, Row, ServicesDep
from agent.doors.api.tables import BODIES, rows_of
from agent.pipeline.services import Services
from agent.store import queries
from ml.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

router = APIRouter(tags=["rows"])
MOST_ROWS = 10_000


class Rows(BaseModel):
    """Rows, as JSON or as a table."""

    @model_validator(mode="before")
    @classmethod
    def _from_table(cls, value: Any) -> Any:
        return {"rows": rows_of(value, MOST_ROWS)} if isinstance(value, bytes) else value


class PredictionRows(Rows):
    """Rows with the spec's features, `timestamp` and `prediction`; beside them, where there are, `prediction_id`,
    `score`, `model_version` and `label`."""

    rows: list[Row] = Field(
        min_length=1,
        max_length=MOST_ROWS,
        examples=[
            [
                {
                    "timestamp": "2026-03-01T08:00:00Z",
                    "temp": 0.31,
                    "season": "spring",
                    "prediction": 112.0,
                    "model_version": "2",
                }
            ]
        ],
    )


class LabelRows(Rows):
    """Rows with `prediction_id`, `label` (or the spec's target), and `label_timestamp` where it was known earlier."""

    rows: list[Row] = Field(min_length=1, max_length=MOST_ROWS, examples=[[{"prediction_id": "b1f0…", "label": 120}]])


class PredictionsStored(BaseModel):
    """What landed, on disk when this answer comes. `prediction_ids` stand in the order of the rows that were sent."""

    stored: int
    duplicates: int = Field(description="rows whose id the log had already; left as they were")
    labels_stored: int
    prediction_ids: list[str]
    data_version: str = Field(examples=["p12.l7"])


class LabelsStored(BaseModel):
    """What landed. Labels of predictions that are not in the log yet are kept until those come."""

    stored: int
    duplicates: int = Field(description="labels that say what was known already")
    unknown: int = Field(description="ids that no prediction in the log has yet")
    first_unknown: str | None
    empty: int = Field(description="rows without a label, left out")
    data_version: str = Field(examples=["p12.l7"])


@router.post(
    "/models/{name}/predictions",
    dependencies=[needs("operator", "ingest")],
    summary="Store what a model answered",
    status_code=201,
    openapi_extra=BODIES,
)
def add_predictions(
    services: ServicesDep, name: ModelName, body: PredictionRows, idempotency_key: IdempotencyKey = None
) -> PredictionsStored:
    from ml.data.tables import normalize

    spec = _spec(services, name)
    rows = normalize(_frame(body.rows), spec, role="predictions")
    done = services.log.append_predictions(spec, rows, batch_id=idempotency_key or uuid4().hex)
    return PredictionsStored(
        stored=done.rows,
        duplicates=done.duplicates,
        labels_stored=done.labels,
        prediction_ids=list(rows["prediction_id"]),
        data_version=str(done.version),
    )


@router.post(
    "/models/{name}/labels",
    dependencies=[needs("operator", "ingest")],
    summary="Store what turned out to be true",
    status_code=201,
    openapi_extra=BODIES,
)
def add_labels(
    services: ServicesDep, name: ModelName, body: LabelRows, idempotency_key: IdempotencyKey = None
) -> LabelsStored:
    spec = _spec(services, name)
    done = services.log.append_labels(
        spec, _frame(body.rows), batch_id=idempotency_key or uuid4().hex, as_of=services.now()
    )
    return LabelsStored(
        stored=done.rows,
        duplicates=done.duplicates,
        unknown=done.unknown,
        first_unknown=done.first_unknown,
        empty=done.empty,
        data_version=str(done.version),
    )


def _spec(services: Services, name: str) -> ModelSpec:
    with services.store.read() as session:
        return queries.spec_of(session, name)


def _frame(rows: list[Row]) -> pd.DataFrame:
    """The rows as columns of plain objects; a column that a row lacks is missing there."""
    import pandas as pd

    columns = dict.fromkeys(key for row in rows for key in row)
    return pd.DataFrame({column: pd.Series([row.get(column) for row in rows], dtype=object) for column in columns})
