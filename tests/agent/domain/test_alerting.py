"""When a measurement raises an alert."""

from datetime import UTC, datetime

import pytest

from agent.domain.alerting import fingerprint, judge, worst
from ml.results import Measurement, Status, Window
from ml.spec import parse_spec

WINDOW = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
SPEC = parse_spec(
    "name: m\ntask: binary\nfeatures: {x: {type: numeric}}\n"
    "alerts: {drift: {hysteresis: 3, min_rows: 10}, quality: {silence: true}}"
)


def measured(monitor="drift.psi", status=Status.BREACH, n=100, feature="x"):
    return Measurement(monitor, WINDOW, None if status is Status.NO_DATA else 1.0, n, status, feature=feature)


@pytest.mark.parametrize(
    ("measurement", "before", "outcome"),
    [
        (measured(), 2, "raise"),
        (measured(), 1, "keep"),
        (measured(n=9), 5, "keep"),
        (measured(status=Status.OK), 5, "clear"),
        (measured(status=Status.NO_DATA), 5, "keep"),
        (measured("quality.null_share"), 5, "keep"),
        (measured("performance.loss"), 0, "raise"),
    ],
)
def test_the_rule_of_the_family_decides(measurement, before, outcome):
    assert judge(SPEC, measurement, before).outcome == outcome


def test_two_alerts_are_the_same_whatever_their_value_and_time():
    later = Measurement(
        "drift.psi", Window(WINDOW.end, datetime(2026, 1, 3, tzinfo=UTC)), 9.0, 7, Status.BREACH, feature="x"
    )
    assert fingerprint("m", measured()) == fingerprint("m", later) != fingerprint("other", later)


def test_the_worst_of_some_severities():
    assert worst(["info", "critical", "warning"]) == "critical"
    assert worst([]) == "info"
