"""The three stories of the demo, on the real data that is shipped. Chapters have the contract's scenario names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd

from agent.demo.replay import Stage, deploy
from agent.demo.story import Chapter, Decision, Story
from ml.data import scenarios

DAY = timedelta(days=1)
APPROVED = Decision(True)
HOSPITAL = ("hospital", "Hungary")


def bikes() -> Story:
    """A model trained on January and February meets the spring."""
    start, end = datetime(2011, 3, 1, tzinfo=UTC), datetime(2011, 6, 1, tzinfo=UTC)
    return Story(
        stream=scenarios.bike_demand(),
        chapters=(Chapter("seasonal-failure", start, end, every=2 * DAY, decision=APPROVED),),
    )


def hearts() -> Story:
    """A healthy month, a harmless shift, a bad deployment, and one hospital that changes its unit."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    shifted, back, deployed, broken, end = (start + days * DAY for days in (30, 38, 44, 58, 74))
    return Story(
        stream=scenarios.heart_disease(start=start, live_days=74, seed=3),
        chapters=(
            Chapter("healthy", start, shifted, every=2 * DAY, decision=APPROVED),
            Chapter("harmless-shift", shifted, back, decision=APPROVED, fault=_new_cuffs),
            Chapter(None, back, deployed, every=2 * DAY, decision=APPROVED),
            Chapter("bad-deployment", deployed, broken, decision=APPROVED, happens=_deploy_swapped),
            Chapter("unit-fault", broken, end, decision=APPROVED, fault=_millimoles, fault_from=broken + 2.5 * DAY),
        ),
    )


def rain() -> Story:
    """The dew point changes its meaning: nobody decides on the first proposal, and the next one is rejected."""
    start, expired, end = (datetime(year, month, 1, tzinfo=UTC) for year, month in ((1981, 6), (1982, 7), (1983, 1)))
    return Story(
        stream=scenarios.rainfall(),
        chapters=(
            Chapter("expired", start, expired, every=30 * DAY),
            Chapter(
                "rejected",
                expired,
                end,
                every=30 * DAY,
                decision=Decision(False, "The station was moved: ask NOAA first."),
            ),
        ),
    )


def _new_cuffs(rows: pd.DataFrame) -> pd.DataFrame:
    """Blood pressure, which the model does not use, reads 15 mmHg higher from now on."""
    return scenarios.shift(rows, "trestbps", 15.0)


def _millimoles(rows: pd.DataFrame) -> pd.DataFrame:
    """One hospital sends cholesterol in mmol/L."""
    if not (rows[HOSPITAL[0]] == HOSPITAL[1]).any():
        return rows
    return scenarios.unit_fault(rows, "chol", scenarios.MMOL_PER_MG, segment=HOSPITAL)


def _deploy_swapped(stage: Stage) -> None:
    """A nightly build whose training rows had two columns in the wrong order goes live."""
    from ml.models import recipes, training

    past = stage.story.stream.past
    swapped = scenarios.swap_columns(past, "chol", "thalch")
    candidate = training.register_external(
        stage.spec,
        recipes.fit(stage.spec, swapped),
        registry=stage.services.registry,
        run_tag="nightly-build",
        parent_version=stage.champion().version,
    )
    deploy(stage, candidate.version, "nightly build")
