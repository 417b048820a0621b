"""ModelSpec: what the engineer writes about a model, in fifteen lines of YAML; everything else has a default.

Unknown keys are refused, and every error names the file, the line and the key. Thresholds live here and nowhere else.
"""

from __future__ import annotations

import difflib
import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from ml.errors import SpecError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_duration(text: object) -> timedelta:
    """A length of time from `90m`, `2d`, `1w`; a bare 0 is none.

    >>> parse_duration("36h")
    datetime.timedelta(days=1, seconds=43200)
    """
    if isinstance(text, timedelta):
        return text
    if text in (0, "0"):
        return timedelta(0)
    match = _DURATION.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f"{text!r} is not a length of time; write a number and a unit, such as 90m, 12h, 2d or 1w")
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])


def format_duration(length: timedelta) -> str:
    """The shortest text that `parse_duration` reads back.

    >>> format_duration(timedelta(hours=36))
    '36h'
    """
    seconds = length.total_seconds()
    if seconds == 0:
        return "0"
    for unit in "wdhm":
        if seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    return f"{seconds:g}s"


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class Task(StrEnum):
    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class FeatureType(StrEnum):
    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    TEXT = "text"


DEFAULT_METRIC = {Task.BINARY: "roc_auc", Task.MULTICLASS: "macro_f1", Task.REGRESSION: "mae"}
METRICS: dict[Task, tuple[str, ...]] = {
    Task.BINARY: ("roc_auc", "recall", "precision", "f1", "accuracy", "log_loss", "brier"),
    Task.MULTICLASS: ("macro_f1", "accuracy"),
    Task.REGRESSION: ("mae", "rmse"),
}
RESERVED = ("prediction_id", "timestamp", "prediction", "score", "model_version", "label", "label_timestamp")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Feature(_Part):
    """One column. `used: false` is logged and watched, but the model is not fed it."""

    type: FeatureType
    unit: str = Field("", description="what a value counts: degC, mg/dL, km/h")
    used: bool = Field(True, description="whether the model is fed it")
    range: tuple[float, float] | None = Field(None, description="lowest and highest value that can be true")
    description: str = Field("", description="what it means, for the people who read reports")
    embedding: str = Field(
        "", description="of a text: your `package.module:function` from texts to vectors, whose drift is then watched"
    )

    @model_validator(mode="after")
    def _embeds_text(self) -> Feature:
        if self.embedding and self.type is not FeatureType.TEXT:
            raise ValueError(f"embedding: is for features of type text, and this one is {self.type}")
        if self.embedding and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", self.embedding):
            raise ValueError(f"embedding: {self.embedding!r} is not package.module:function")
        return self


class DriftRule(_Part):
    """When a shifted input is worth a note: it explains, it never decides."""

    alpha: float = Field(0.05, gt=0, lt=1, description="false alarms per run that are acceptable")
    floor: float = Field(0.05, ge=0, description="population stability index below which nothing is reported")
    history: int = Field(20, ge=3, description="healthy windows needed before they replace the cold-start test")
    season: Literal["auto", "none", "day", "week", "year"] = Field(
        "auto",
        description="what is as it was in the same part of an earlier day, week or year is seasonal, not drift; "
        "`auto`: each of them that is at least three windows long",
    )


class QualityRule(_Part):
    """Bounds for broken data."""

    max_null_rise: float = Field(0.05, ge=0, le=1, description="rise of the share of missing values")
    max_new_category: float = Field(0.02, ge=0, le=1, description="share of rows with a category never seen")
    max_out_of_range: float = Field(0.02, ge=0, le=1, description="share of rows outside everything seen before")
    max_age: Duration = Field(timedelta(0), description="oldest newest row; 0 means two windows")


class AlertRule(_Part):
    """How a measurement becomes an alert."""

    severity: Literal["info", "warning", "critical"] = Field("warning", description="how loud it is")
    min_rows: int = Field(50, ge=1, description="fewer rows than this never raise an alert; 20 for performance")
    hysteresis: int = Field(1, ge=1, description="looks in a row that must breach; 2 for drift")
    silence: bool = Field(False, description="measured and recorded, but never an alert")


class Alerts(_Part):
    quality: AlertRule = AlertRule(severity="warning")
    drift: AlertRule = AlertRule(severity="info", hysteresis=2)
    performance: AlertRule = AlertRule(severity="critical", min_rows=20)
    estimation: AlertRule = AlertRule(severity="warning")


class Monitors(_Part):
    drift: DriftRule = DriftRule()
    quality: QualityRule = QualityRule()


class Training(_Part):
    """How a new version is made, and what it must beat to be accepted."""

    window: Duration = Field(timedelta(days=60), description="the recent past that a retraining sees")
    min_labels: int = Field(300, ge=10, description="fewer labelled rows than this are not trained on")
    holdout: float = Field(0.25, gt=0, lt=1, description="the latest share of rows, kept for the acceptance gate")
    time_limit: Duration = Field(timedelta(hours=2), description="a training that runs longer is ended")
    parameters: dict[str, Any] = Field(default_factory=dict, description="passed to the trainer")


class Verification(_Part):
    """How long the metric is watched after an action before its verdict."""

    rows: int = Field(100, ge=10, description="labelled rows needed for a verdict")
    time: Duration = Field(timedelta(days=14), description="after this long without them the verdict is inconclusive")


def _per_cent(value: object) -> object:
    return value.strip().removesuffix("%") if isinstance(value, str) and value != "shadow" else value


Stage = Annotated[Literal["shadow"] | Annotated[float, Field(gt=0, le=100)], BeforeValidator(_per_cent)]


class Release(_Part):
    """How a version that passed its gate takes over: at once, or in stages that the model server plays. Each stage has
    its verdict on the version's own answers; a stage that fails or stays unclear ends the release."""

    stages: tuple[Stage, ...] = Field(
        (), description="`shadow`, then shares of the traffic in per cent, rising: `[shadow, 1, 10, 50, 100]`"
    )
    rows: int = Field(200, ge=30, description="labelled answers of the version that a stage needs to pass")
    time: Duration = Field(timedelta(days=3), gt=timedelta(0), description="how long a stage lasts at most")

    @model_validator(mode="after")
    def _rises(self) -> Release:
        shares = [stage for stage in self.stages if stage != "shadow"]
        if shares != sorted(set(shares)) or "shadow" in self.stages[1:]:
            raise ValueError("stages: `shadow` comes first, and shares rise, such as [shadow, 1, 10, 50, 100]")
        return self

    @property
    def beside(self) -> tuple[str | float, ...]:
        """The stages in which the version answers beside the champion; 100 % is to be the champion."""
        return tuple(stage for stage in self.stages if stage != 100)


class Logging(_Part):
    """How much of what the model server answers is kept row by row. Below 1, predictions are chosen by a hash of their
    id; all others are counted in hourly profiles beside the log, in the bins that the watch compares in. Labels of
    predictions that are not kept are left out."""

    sample: float = Field(1.0, gt=0, le=1, description="share of the predictions that is kept")


class Serving(_Part):
    """How the model server answers for the model."""

    cache: int = Field(0, ge=0, le=1_000_000, description="rows whose answers are remembered; 0 for none")
    cache_time: Duration = Field(timedelta(minutes=5), description="how long an answer is remembered")


class ErrorCost(_Part):
    """What an error costs, so that reports can say what doing nothing would have cost. A row's loss times `amount`:
    for classes, `amount` is the price of an answer that is wholly wrong (one that is half sure counts by its Brier
    loss); for numbers, the price of being wrong by one unit of the target (by one squared unit for `rmse`)."""

    amount: float = Field(gt=0, allow_inf_nan=False, description="what a loss of 1 costs")
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="as three letters, such as EUR")


class ModelSpec(_Part):
    """One model under watch. Columns beside the features: `prediction_id`, `timestamp`, `prediction`, `score`,
    `model_version`, `label` (see `target` and `timestamp` for files that name them differently)."""

    name: Annotated[Name, Field(description="small letters, digits and hyphens; at most 63")]
    task: Task = Field(description="what the model answers: one of two classes, one of many, or a number")
    features: dict[str, Feature] = Field(min_length=1, description="the columns that are watched, and how")
    description: str = Field("", description="one sentence for the people who read reports")
    target: str = Field("label", description="the label's column in files")
    timestamp: str = Field("timestamp", description="the event time's column in files")
    entity: str | None = Field(None, description="column whose rows belong together (a customer, a sensor)")
    segments: tuple[str, ...] = Field((), description="columns by which failures are looked for")
    positive: str | int | float | bool = Field(1, description="the class that recall, precision and score mean")
    metric: str = Field("", description="the number by which the model is judged; default by task, see Metrics")
    label_delay: Duration = Field(timedelta(0), description="how long after a prediction its label is known")
    trainer: str = Field(
        "xgboost", description="`xgboost`, `sklearn:<estimator>` or your own `package.module:function`"
    )
    owner: str = Field("", description="who hears of this model: a person or a channel")
    data_owner: str = Field("", description="who hears of broken inputs; default: owner")
    tolerance: float | None = Field(None, gt=0, description="loss that nobody minds; default from the reference")
    error_cost: ErrorCost | None = Field(None, description="what an error costs; reports then speak of money")
    window: Duration = Field(timedelta(days=7), description="the span of event time that one look covers")
    every: Duration = Field(timedelta(hours=1), description="how often the monitors run")
    monitors: Monitors = Field(Monitors(), description="bounds of the checks on inputs")
    alerts: Alerts = Field(
        Alerts(), description="severities: quality warning, drift info, performance critical, estimation warning"
    )
    training: Training = Field(Training(), description="how a new version is made")
    release: Release = Field(Release(), description="how an accepted version takes over")
    verification: Verification = Field(Verification(), description="how an action is judged afterwards")
    logging: Logging = Field(Logging(), description="how much of the model server's traffic is kept row by row")
    serving: Serving = Field(Serving(), description="how the model server answers; read when a version is loaded")

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("metric") and data.get("task") in set(Task):
            return {**data, "metric": DEFAULT_METRIC[Task(data["task"])]}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> ModelSpec:
        if self.metric not in METRICS[self.task]:
            raise ValueError(f"metric: {self.metric!r} is not one for {self.task}; use {', '.join(METRICS[self.task])}")
        if clash := set(self.features) & {*RESERVED, self.target, self.timestamp}:
            raise ValueError(f"features: {min(clash)!r} is the name of a column of the log; rename the feature")
        if not any(f.used for f in self.features.values()):
            raise ValueError("features: at least one must be used by the model")
        if unknown := set(self.segments) - set(self.features):
            raise ValueError(f"segments: {min(unknown)!r} is not among the features")
        if self.window <= timedelta(0):
            raise ValueError("window: must be longer than 0")
        if not re.fullmatch(r"xgboost|sklearn:[A-Za-z_][\w.]*|[A-Za-z_][\w.]*:[A-Za-z_]\w*", self.trainer):
            raise ValueError(
                f"trainer: {self.trainer!r} is none of xgboost, sklearn:<estimator>, package.module:function"
            )
        return self

    @property
    def used_features(self) -> tuple[str, ...]:
        """The features that the model is fed, in the spec's order."""
        return tuple(name for name, feature in self.features.items() if feature.used)

    @property
    def higher_is_better(self) -> bool:
        return self.metric not in ("mae", "rmse", "log_loss", "brier")

    @property
    def owner_of_data(self) -> str:
        return self.data_owner or self.owner

    def of_type(self, *types: FeatureType) -> tuple[str, ...]:
        return tuple(name for name, feature in self.features.items() if feature.type in types)


def load_spec(path: Path | str) -> ModelSpec:
    """Read a spec file.

    Raises: SpecError naming file, line and key when the file cannot be read, is not YAML, or breaks a rule.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file; give the path of a model spec (see `watchkeeper init`).") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"{path}: cannot be read as a text file ({_reason(error)}); give the path of a model spec."
        ) from None
    return parse_spec(text, source=str(path))


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8"


_KIND = {type(None): "empty", list: "a list", str: "plain text"}


def parse_spec(text: str, source: str = "spec") -> ModelSpec:
    """A spec from YAML text; `source` names it in errors. Raises: SpecError."""
    try:
        data = yaml.safe_load(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark is not None else source
        raise SpecError(f"{where}: not valid YAML ({getattr(error, 'problem', None) or error}).") from None
    if not isinstance(data, dict):
        raise SpecError(
            f"{source}: a spec is a mapping that starts with `name: …`, but this is "
            f"{_KIND.get(type(data), 'a value')}; see models/example.yaml, which `watchkeeper init` writes."
        )
    if duplicate := _duplicate_key(root):
        key, line = duplicate
        raise SpecError(f"{source}:{line}: the key {key!r} stands twice; keep one.")
    try:
        return ModelSpec.model_validate(data)
    except ValidationError as error:
        raise SpecError(_explain(error, root, source)) from None


def _duplicate_key(node: yaml.Node | None) -> tuple[str, int] | None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                return key.value, key.start_mark.line + 1
            seen.add(key.value)
            if found := _duplicate_key(value):
                return found
    return None


def _line(node: yaml.Node | None, location: tuple[int | str, ...]) -> int:
    """The line of the deepest key of `location` that the text has."""
    line = 1
    for step in location:
        if not isinstance(node, yaml.MappingNode):
            break
        for key, value in node.value:
            if key.value == str(step):
                line, node = key.start_mark.line + 1, value
                break
        else:
            break
    return line


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    model: Any = ModelSpec
    for step in location:
        if str(step) in getattr(model, "model_fields", {}):
            model = model.model_fields[str(step)].annotation
            if getattr(model, "__origin__", None) is dict:
                model = model.__args__[1]
    return list(getattr(model, "model_fields", {}))


def _explain(error: ValidationError, root: yaml.Node | None, source: str) -> str:
    problems = []
    for item in error.errors(include_url=False, include_context=False):
        location = item["loc"]
        key = ".".join(str(part) for part in location) or item["msg"].partition(",")[2].partition(":")[0].strip()
        known = _known_keys(location[:-1])
        if item["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(location[-1]), known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}"
            message = f"unknown key; {hint}"
        elif item["type"] == "missing":
            message = "this key is required and missing"
        else:
            message = item["msg"].removeprefix("Value error, ").removeprefix(f"{key}: ")
        problems.append(f"{source}:{_line(root, location or (key,))}: {key}: {message}")
    return "\n".join(problems)
