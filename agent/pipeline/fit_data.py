"""Is the data fit to train on? The version that was approved is there, has enough labels, and is not broken."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from agent.domain.errors import NotFound, Refused
from agent.pipeline.work import Work
from agent.store import queries
from ml.data.prediction_log import DataVersion
from ml.results import Window

if TYPE_CHECKING:
    import pandas as pd


def pin_data(work: Work) -> Mapping[str, Any]:
    """The rows of the approved window are still there, in the approved version of the log."""
    wanted = work.proposal.action["data_version"]
    try:
        rows = _read(work)
    except NotFound as error:
        raise Refused(f"the log's version {wanted}, which was approved, is gone: {error}") from None
    return {"data_version": wanted, "rows": len(rows), "labelled": int(rows["label"].notna().sum())}


def check_data(work: Work) -> Mapping[str, Any]:
    """Enough labelled rows, without the windows that are marked unfit."""
    frame = training_rows(work)
    needed = work.spec.training.min_labels
    if len(frame) < needed:
        raise Refused(f"only {len(frame)} labelled rows are fit for training, {needed} are needed")
    return {
        "rows": len(frame),
        "from": frame["timestamp"].min().isoformat(),
        "to": frame["timestamp"].max().isoformat(),
    }


def check_quality(work: Work) -> Mapping[str, Any]:
    """Nothing is broken in the rows that would be learnt: see `ml.models.fitness`."""
    from ml.models.fitness import unfit_for_training

    registry, spec, expected = work.services.registry, work.spec, work.expected
    reference = registry.reference(spec.name, expected) if expected else None
    frame = training_rows(work)
    if found := unfit_for_training(spec, frame, reference):
        raise Refused(
            f"the rows are not fit for training: {'; '.join(found[:5])}. "
            "Have it repaired, or mark the window unfit (fix_data), and propose again"
        )
    return {"rows": len(frame), "compared_with": f"version {expected}" if reference is not None else None}


def training_rows(work: Work) -> pd.DataFrame:
    """The labelled rows of the approved window and version, without the windows that are marked unfit; read once."""
    from ml.metrics import labelled

    if work.rows is None:
        frame = _read(work)
        frame = frame[frame["label"].notna()]
        with work.services.store.read() as session:
            unfit = queries.unfit_windows(session, work.spec.name)
        for broken in unfit:
            frame = frame[(frame["timestamp"] < broken.start) | (frame["timestamp"] >= broken.end)]
        work.rows = labelled(frame)
    return work.rows


def _read(work: Work) -> pd.DataFrame:
    action = work.proposal.action
    window = Window(datetime.fromisoformat(action["window_start"]), datetime.fromisoformat(action["window_end"]))
    return work.services.log.read(work.spec, window, version=DataVersion.parse(action["data_version"]))
