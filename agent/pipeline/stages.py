"""A release in stages: the version answers in the shadow, then for a growing share; each stage has its verdict.

Each stage is two steps. The first lets the version answer; the second waits for enough of its answers to be labelled,
for days if need be, without holding a lease: it says when it wants to be asked again, and any worker does. Nothing here
touches the champion. A stage that fails or stays unclear ends the release, and the aliases are put back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from agent.domain.deciding import Outcome
from agent.domain.errors import Superseded, Waits
from agent.pipeline.release import standing_of
from agent.pipeline.services import Services
from agent.pipeline.work import Step, Steps, Work
from ml.models.registry import CHAMPION
from ml.results import Window
from ml.spec import Release

if TYPE_CHECKING:
    import pandas as pd

SHADOW = "shadow"
JUDGED = " judged"
MOST_ROWS = 50_000


def with_stages(steps: Steps, work: Work) -> Steps:
    """The steps of an action with those of its release before the switch, and the tidying after it."""
    release = getattr(work.action, "release", None)
    if release is None or not release.beside or work.expected is None:
        return steps
    stages: list[tuple[str, Step]] = []
    for stage in release.beside:
        name = name_of(stage)
        stages += [(name, partial(begin, stage=stage)), (name + JUDGED, partial(judge, stage=stage, release=release))]
    at = [name for name, _ in steps].index("switch")
    return (*steps[:at], *stages, *steps[at:], ("tidy", tidy))


def name_of(stage: str | float) -> str:
    """As people and records know a stage; each begins with `shadow` or `canary`."""
    return SHADOW if stage == SHADOW else f"canary {stage:g} %"


def is_stage(step: str) -> bool:
    return step.startswith((SHADOW, "canary "))


def begin(work: Work, stage: str | float) -> Mapping[str, Any]:
    """Let the version answer beside the champion, if the champion is still the expected one."""
    from ml.models import deployment

    champion = _still_wanted(work)
    share = None if stage == SHADOW else float(stage) / 100
    deployment.stage(
        work.services.registry, work.spec.name, work.version, share=share, expected=champion, confirm=work.confirm
    )
    return {"version": work.version, "share": share, "since": work.at.isoformat()}


def judge(work: Work, stage: str | float, release: Release) -> Mapping[str, Any]:
    """The version's answers against the champion's on the very same rows; a verdict, or `Waits`."""
    champion = _still_wanted(work)
    since = datetime.fromisoformat(work.results[name_of(stage)]["since"])
    end = since + release.time + work.spec.label_delay
    over = work.at >= end
    rows = _answered(work, stage, since, min(work.at, end) - work.spec.label_delay)
    found = _verdict(work, champion, rows, release, over)
    if found["verdict"] is None:
        pace = min(work.spec.every, release.time / 4)
        raise Waits(max(min(work.at + pace, end), work.at + timedelta(seconds=1)), found)
    return {**found, "stage": name_of(stage), "version": work.version}


def tidy(work: Work) -> Mapping[str, Any]:
    """The version is champion now, so that it needs no other alias."""
    put_back(work.services, work.spec.name, work.version, work.confirm)
    return {}


def put_back(services: Services, model: str, version: str, confirm: Callable[[], None]) -> None:
    """The version answers beside the champion no more. Raises: Unavailable."""
    from ml.models import deployment

    deployment.end_stages(services.registry, model, version, confirm=confirm)


def _still_wanted(work: Work) -> str:
    """The expected champion, if it still answers and the policy of today releases this. Raises: Superseded."""
    with work.services.store.read() as session:
        decided = standing_of(work.services, session, work.proposal)
    if decided.outcome is not Outcome.APPROVED:
        raise Superseded(f"approvals.yaml as it is now does not release this: {decided.why}")
    current = work.services.registry.alias(work.spec.name, CHAMPION)
    if work.expected is None or current != work.expected:
        raise Superseded(f"the champion is version {current or 'none'} now, not {work.expected or 'none'}")
    return current


def _answered(work: Work, stage: str | float, since: datetime, until: datetime) -> pd.DataFrame:
    """The rows of the stage that the version answered, labelled, the latest `MOST_ROWS` of them."""
    from ml.metrics import labelled

    log, spec = work.services.log, work.spec
    window = Window(since, max(until, since + timedelta(microseconds=1)))
    read = log.read_shadow if stage == SHADOW else partial(log.read, most=10 * MOST_ROWS)
    rows = read(spec, window, as_of=work.at)
    return labelled(rows[rows["model_version"] == work.version]).tail(MOST_ROWS).reset_index(drop=True)


def _verdict(work: Work, champion: str, rows: pd.DataFrame, release: Release, over: bool) -> dict[str, Any]:
    from ml.metrics import row_loss
    from ml.models.staging import MIN_ROWS, judge_stage

    spec = work.spec
    if len(rows) < MIN_ROWS:
        verdict = "inconclusive" if over else None
        said = f"{len(rows)} labelled answers of version {work.version} came in"
        hint = "" if len(rows) else "; does the model server run, and write to this log?"
        return {"verdict": verdict, "n": len(rows), "statement": f"{said}{hint if over else ''}."}
    answers = work.services.registry.load(spec.name, champion, spec).predict(rows)
    champions = rows.assign(**{str(name): column for name, column in answers.items()})
    found = judge_stage(
        row_loss(spec, champions), row_loss(spec, rows), enough=release.rows, over=over, tolerance=spec.tolerance
    )
    if found.gain is None or found.interval is None:
        return {"verdict": found.verdict, "n": found.n, "statement": f"Only {found.n} answers have a loss."}
    low, high = found.interval.low, found.interval.high
    seen = (
        f"on {found.n} labelled answers of version {work.version} its loss a row is {-found.gain:+.3g} beside that of "
        f"version {champion} (95 % {-high:+.3g} to {-low:+.3g}; {found.tolerance:.3g} is tolerated)"
    )
    told = {"passed": "It does well", "failed": "It does worse", "inconclusive": "It stays unclear", None: "So far"}
    statement = f"{told[found.verdict]}: {seen}."
    return {"verdict": found.verdict, "n": found.n, "gain": found.gain, "interval": [low, high], "statement": statement}
