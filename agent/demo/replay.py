"""Play a story: rows arrive and are answered by the champion, labels follow, the watch takes its turns, and somebody
decides. Nothing here is simulated but the passing of time and the approver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd
from sqlalchemy import select

from agent import executor
from agent.commands.workspace import add_model, record_deployment
from agent.demo.story import Chapter, Decision, Story
from agent.pipeline import approve as decisions
from agent.pipeline.notify import deliver_due
from agent.pipeline.services import Services
from agent.pipeline.watch import watch
from agent.store import queries
from agent.store.tables import Proposal, UnfitWindow
from ml.data.datasets import spec_path
from ml.models.registry import CHAMPION
from ml.spec import ModelSpec

if TYPE_CHECKING:
    from ml.models.predictor import Predictor

Decider = Callable[["Stage", Proposal, datetime], None]
APPROVER = "maria"
WORKER = "demo"


@dataclass
class Stage:
    """A story being played: the workspace, and what the world outside it does. delivers: after each look, or somebody
    else does beside it."""

    services: Services
    story: Story
    spec: ModelSpec
    say: Callable[[str], None]
    delivers: bool = True
    repaired_at: dict[str, datetime] = field(default_factory=dict)

    @property
    def model(self) -> str:
        return self.spec.name

    def champion(self) -> Predictor:
        version = self.services.registry.alias(self.model, CHAMPION)
        assert version is not None, "a story begins with a trained version"
        return self.load(version)

    def load(self, version: str) -> Predictor:
        return self.services.registry.load(self.model, version, self.spec)


def begin(services: Services, story: Story, say: Callable[[str], None]) -> Stage:
    """Put a story's model under watch: its spec in the workspace, its first version trained and made champion."""
    spec = story.stream.spec
    path = services.home / "models" / f"{spec.name}.yaml"
    path.write_text(spec_path(spec.name).read_text(encoding="utf-8"), encoding="utf-8")
    rows = services.home / "training" / f"{spec.name}.csv"
    rows.parent.mkdir(exist_ok=True)
    story.stream.past.rename(columns={"label": spec.target, "timestamp": spec.timestamp}).to_csv(rows, index=False)
    set_clock(services, story.chapters[0].start)
    add_model(services, path, train=rows)
    return Stage(services, story, spec, say)


def play(stage: Stage, decide: Decider | None = None) -> None:
    """Let time pass from the first chapter to the end of the last, one look after the other.

    decide: waits for somebody's decision on a proposal; default: the chapter's scripted approver.
    """
    chapters = stage.story.chapters
    now = chapters[0].start
    while now < chapters[-1].end:
        chapter = next(c for c in reversed(chapters) if c.start <= now)
        after = min(now + chapter.every, chapter.end)
        if chapter.start == now and chapter.happens is not None:
            chapter.happens(stage)
        arrive(stage, chapter, now, after)
        set_clock(stage.services, after)
        take_turn(stage, chapter, after, decide)
        now = after


def take_turn(stage: Stage, chapter: Chapter, at: datetime, decide: Decider | None) -> None:
    """One turn of the watch, somebody's decision on what it proposes, and the execution of what was approved."""
    services = stage.services
    turn = watch(services, stage.model, at)
    if turn.diagnosis is not None:
        stage.say(f"{stage.model} {at:%Y-%m-%d}: {turn.diagnosis.cause.replace('_', ' ')} -> {turn.diagnosis.action}")
    if turn.verified is not None:
        stage.say(f"{stage.model} {at:%Y-%m-%d}: {turn.verified.kind} {turn.verified.state}")
    if turn.proposal is not None and decide is not None:
        decide(stage, turn.proposal, at)
    elif turn.proposal is not None and chapter.decision is not None:
        decide_as_scripted(services, turn.proposal.id, chapter.decision)
    if executor.run_ready(services, worker=WORKER):
        stage.say(f"{stage.model} {at:%Y-%m-%d}: executed")
        _owner_hears(stage, chapter, at)
    if stage.delivers:
        deliver_due(services)


def decide_as_scripted(services: Services, proposal: str, decision: Decision) -> None:
    """The scripted approver's decision."""
    act = decisions.approve if decision.approve else decisions.reject
    act(services, proposal, person=APPROVER, reason=decision.reason)


def _owner_hears(stage: Stage, chapter: Chapter, at: datetime) -> None:
    """The data's owner repairs the source a while after the message of a `fix_data`."""
    if chapter.fault is None or chapter.name is None:
        return
    with stage.services.store.read() as session:
        told = session.scalar(
            select(UnfitWindow.id)
            .join(Proposal, Proposal.id == UnfitWindow.proposal_id)
            .where(UnfitWindow.model == stage.model, Proposal.created_at >= chapter.start)
        )
    if told is not None:
        stage.repaired_at.setdefault(chapter.name, at + chapter.repair)


def arrive(stage: Stage, chapter: Chapter, start: datetime, end: datetime) -> None:
    """The rows of a span are answered by the champion and logged; their labels become known a label delay later."""
    rows = stage.story.stream.live
    rows = rows[(rows["timestamp"] >= start) & (rows["timestamp"] < end)]
    if rows.empty:
        return
    champion = stage.champion()
    rows = break_rows(stage, chapter, rows)
    answers = champion.predict(rows)
    logged = rows.drop(columns=["label", "label_timestamp"]).assign(
        prediction=answers["prediction"], score=answers["score"], model_version=champion.version
    )
    batch = f"{stage.model}:{start.isoformat()}"
    stage.services.log.append_predictions(stage.spec, logged, batch_id=batch)
    stage.services.log.append_labels(
        stage.spec, rows[["prediction_id", "label", "label_timestamp"]], batch_id=batch, as_of=end
    )


def break_rows(stage: Stage, chapter: Chapter, rows: pd.DataFrame, *, repaired: bool = True) -> pd.DataFrame:
    """The rows as they arrive: with the chapter's fault, from its onset until its repair (if `repaired`)."""
    if chapter.fault is None:
        return rows
    broken = rows["timestamp"] >= (chapter.fault_from or chapter.start)
    mended = stage.repaired_at.get(chapter.name or "")
    if repaired and mended is not None:
        broken &= rows["timestamp"] < mended
    return (
        rows if not broken.any() else pd.concat([rows[~broken], chapter.fault(rows[broken])]).sort_values("timestamp")
    )


def set_clock(services: Services, now: datetime) -> None:
    """Move the workspace's replayed clock."""
    with services.store.write() as session:
        queries.control(session).replayed_now = now


def deploy(stage: Stage, version: str, note: str) -> None:
    """Somebody outside the watch makes a version champion."""
    from ml.models import deployment

    expected = stage.services.registry.alias(stage.model, CHAMPION)
    deployment.promote(stage.services.registry, stage.model, version, expected=expected)
    record_deployment(stage.services, stage.model, version, kind="promote", note=note)
