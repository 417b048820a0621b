"""An action tried in memory: the numbers are those of the rows, nothing is logged, nobody waits for long."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.errors import Conflict
from agent.pipeline import what_if
from agent.pipeline.tooling import tool_context
from agent.pipeline.what_if import MemoryTrials
from ml.metrics import metric
from ml.results import Window
from tools.catalogue import call
from tools.context import Caller

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ANN = Caller("ann")


def tried(bench: Any, action: str, **more: Any) -> dict[str, Any]:
    result = call("what_if", {"model": "churn", "action": action, **more}, tool_context(bench.services, ANN))
    assert result.message == ""
    assert result.window is not None
    return result.data


def test_each_action_against_doing_nothing(lived_in: Any):
    """Version 2 has learned the relation the wrong way round: going back, or learning again, must show it."""
    runs = len(lived_in.services.registry.runs("churn"))
    nothing = tried(lived_in, "do_nothing")
    window = Window.before(lived_in.clock(), lived_in.spec.window)
    frame = lived_in.services.log.read(lived_in.spec, window, as_of=lived_in.clock())
    assert nothing["before"] == nothing["after"] == metric(lived_in.spec, frame)
    assert (nothing["difference"], nothing["n"]) == (0, len(frame))
    assert nothing["before_low"] < nothing["before"] < nothing["before_high"]
    assert nothing["before"] < 0.5
    for action, more in (("rollback", {"to_version": "1"}), ("rollback", {}), ("retrain", {})):
        found = tried(lived_in, action, **more)
        assert found["after"] > 0.75
        assert found["difference"] == pytest.approx(found["after"] - found["before"])
        assert 0.2 < found["low"] < found["difference"] < found["high"]
        assert found["better"] == "higher"
        assert found["loss"]["high"] < 0
    assert tried(lived_in, "rollback")["to_version"] == "1"
    assert tried(lived_in, "recalibrate")["n"] == len(frame)
    assert len(lived_in.services.registry.versions("churn")) == 2
    assert len(lived_in.services.registry.runs("churn")) == runs
    assert tried(lived_in, "rollback") == tried(lived_in, "rollback"), "the same question has the same answer"


def test_what_cannot_be_tried_says_why_and_one_is_tried_at_a_time(lived_in: Any):
    context = tool_context(lived_in.services, ANN)
    for given, said in (
        ({"action": "delete"}, "action"),
        ({"action": "retrain", "to_version": "1"}, "rollback only"),
        ({"action": "rollback", "to_version": "9"}, "9"),
        ({"action": "retrain", "model": "other"}, "no model"),
    ):
        result = call("what_if", {"model": "churn", **given}, context)
        assert (result.status, said in result.message) == ("error", True), result
    with what_if._one_at_a_time:
        result = call("what_if", {"model": "churn", "action": "retrain"}, tool_context(lived_in.services, ANN))
    assert "Another trial runs" in result.message
    with pytest.raises(Conflict, match="longer than 0 s"):
        MemoryTrials(lived_in.services, ANN, seconds=0.0).what_if("churn", "retrain", None)
    with what_if._one_at_a_time:  # free again when the trial that was given up has ended
        pass


def test_too_few_labels_are_no_data(bench: Any):
    bench.add_versions(False)
    bench.serve(bench.clock() - bench.spec.window / 2, 20)
    result = call("what_if", {"model": "churn", "action": "retrain"}, tool_context(bench.services, ANN))
    assert result.status == "no_data"
    assert "20 recent rows of 'churn' have a label; 60 are needed" in result.message
