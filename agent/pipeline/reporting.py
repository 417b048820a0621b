"""Make a report of any kind: its facts are read in one transaction, what takes long happens outside of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from agent.conversation.narrate import TEMPLATE, narrate
from agent.domain.errors import InvalidInput
from agent.pipeline.desk import desk_of
from agent.pipeline.services import Services
from agent.reports import measured
from agent.reports.card import card_facts
from agent.reports.comparison import comparison_facts
from agent.reports.facts import period_facts
from agent.reports.pictured import Importance
from agent.store import queries
from agent.store.tables import Model, Report
from ml.errors import WatchkeeperError
from ml.models.explain import importance
from ml.models.registry import VersionInfo
from ml.results import Window
from ml.spec import ModelSpec

log = logging.getLogger(__name__)
KINDS = ("period", "daily", "weekly", "monthly", "card", "comparison")
Kind = Literal["period", "daily", "weekly", "monthly", "card", "comparison"]
LENGTH = {"daily": timedelta(days=1), "weekly": timedelta(days=7), "monthly": timedelta(days=30)}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A report that is asked for. `start` None: as long as its kind says, a week else. `only`: of these models."""

    kind: Kind = "period"
    model: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    version: str | None = None
    only: tuple[str, ...] | None = None


def gather(services: Services, wanted: Wanted) -> dict[str, Any]:
    """The facts as JSON, with the template's summary. Raises: NotFound, InvalidInput, Unavailable."""
    end = wanted.end or services.now()
    if wanted.kind == "card":
        return _card(services, wanted, end)
    start = wanted.start or end - LENGTH.get(wanted.kind, timedelta(days=7))
    with services.store.read() as session:
        if wanted.kind == "comparison":
            return comparison_facts(session, model=wanted.model, start=start, end=end, only=wanted.only).to_json()
        cadence = wanted.kind if wanted.kind in ("daily", "weekly", "monthly") else ""
        return period_facts(
            session, model=wanted.model, start=start, end=end, cadence=cadence, only=wanted.only
        ).to_json()  # fmt: skip


def told(services: Services, facts: dict[str, Any], person: str = "reports") -> dict[str, Any]:
    """The same facts, the summary by the language model where there is one and its words check."""
    if services.llm.offline:
        return {**facts, "summary_by": TEMPLATE}
    said = narrate(desk_of(services), facts, person=person)
    return {**facts, "summary": said.labelled, "summary_by": said.by}


def keep(
    services: Services, facts: dict[str, Any], *, audience: str = "", schedule: str | None = None,
    due_at: datetime | None = None,
) -> str:  # fmt: skip
    """The id of the stored report."""
    row = report_row(facts, at=services.now(), audience=audience, schedule=schedule, due_at=due_at)
    with services.store.write() as session:
        session.add(row)
        session.flush()
        return row.id


def report_row(
    facts: dict[str, Any], *, at: datetime, audience: str = "", schedule: str | None = None,
    due_at: datetime | None = None,
) -> Report:  # fmt: skip
    """A report as it is stored: its kind is what it is for (`weekly`), not how its facts are shaped."""
    model = facts.get("model")
    span = facts.get("now", facts)
    start, end = span.get("start"), span.get("end")
    return Report(
        kind=facts.get("cadence") or facts["kind"],
        model=model.get("name") if isinstance(model, dict) else model,
        incident_id=None,
        created_at=at,
        facts=facts,
        period_start=datetime.fromisoformat(start) if start else None,
        period_end=datetime.fromisoformat(end) if end else None,
        audience=audience,
        schedule=schedule,
        due_at=due_at,
    )


def _card(services: Services, wanted: Wanted, at: datetime) -> dict[str, Any]:
    if wanted.model is None:
        raise InvalidInput("A model card is of one model; name it with --model.")
    with services.store.read() as session:
        spec = queries.spec_of(session, wanted.model)
        ledger = queries.deployments(session, wanted.model)
        first = session.get_one(Model, wanted.model).reference_start
    if wanted.version is not None:
        version = services.registry.version(wanted.model, wanted.version)
    else:
        champion = services.registry.champion(wanted.model)
        if champion is None:
            raise InvalidInput(f"{wanted.model!r} has no champion in the registry; name a version with --version.")
        version = champion
    began = next((d["timestamp"] for d in ledger if d["version"] == version.version), None)
    moved = _importance(services, spec, version, began or first, at)
    with services.store.read() as session:
        return card_facts(session, wanted.model, version, at=at, importance=moved).to_json()


def _importance(
    services: Services, spec: ModelSpec, version: VersionInfo, began: datetime | None, at: datetime
) -> Importance | None:
    """How much each feature moves this version's answers: on the rows of its first window and of its last one.

    What cannot be read or loaded leaves the picture out: the rest of the card stands.
    """
    try:
        span = services.log.span(spec)
        if span is None:
            return None
        start = max(began or span.start, span.start)
        end = min(at, span.end)
        windows = (Window(start, start + spec.window), Window(end - spec.window, end))
        fitted = services.registry.load(spec.name, version.version, spec)
        then, now = (importance(spec, fitted, services.log.read(spec, w, as_of=at)) for w in windows)
    except (WatchkeeperError, ValueError) as problem:
        log.warning("importance of %s version %s: %s", spec.name, version.version, problem)
        return None
    labels = [f"{w.start:%Y-%m-%d} to {w.end:%Y-%m-%d}" for w in windows]
    return measured.importance(then, now, then_label=labels[0], now_label=labels[1])


def names_seen(everything: Sequence[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """The models that patterns such as `churn-*` name.

    >>> names_seen(["churn-eu", "fraud"], ["churn-*"])
    ('churn-eu',)
    """
    from fnmatch import fnmatchcase

    return tuple(name for name in everything if any(fnmatchcase(name, pattern) for pattern in patterns))
