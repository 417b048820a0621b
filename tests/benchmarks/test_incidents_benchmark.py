"""A corner of the benchmark of incidents: its parts add up to the whole, and its bar is not a drawing."""

from __future__ import annotations

import numpy as np

from benchmarks.incidents.__main__ import merged, options, run
from benchmarks.incidents.confidence import STEPS, fit
from benchmarks.incidents.table import render

_ARGUMENTS = ["--worlds", "plants", "--only", "healthy", "unit", "bad_deployment", "concept_sudden", "label_fault"]
_ARGUMENTS += ["--strengths", "full", "--sizes", "1000", "--seeds", "5", "--evidently-every", "0"]


def test_parts_of_a_run_make_one_table_and_no_harm() -> None:
    arguments = options().parse_args(_ARGUMENTS)

    document = merged([run(arguments, part, 2) for part in (0, 1)])
    mine = document["rows"]["watchkeeper"]

    assert len(mine) == 7
    assert not [row for row in mine if row["harmful"] or row["false"]]
    assert [row["category"] for row in mine if not row["right"]] == []
    rule = document["rows"]["worse, so retrain"]
    assert [row["category"] for row in rule if row["harmful"]], "a rule that always retrains must do harm somewhere"
    assert "faults above the tolerance" in render(document["rows"], document["seconds"])


def test_confidence_never_falls_with_the_votes_and_is_never_certain() -> None:
    rng = np.random.default_rng(0)
    share = rng.choice([0.4, 0.7, 0.95, 1.0], 400)
    table = fit(share, (rng.random(400) < share).astype(float))

    assert len(table) == len(STEPS)
    assert table == sorted(table)
    assert table[-1] < 1
    assert abs(table[STEPS.index(0.7)] - 0.7) < 0.1
