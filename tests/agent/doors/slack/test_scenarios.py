"""The list of scenarios in the documentation is the list of tests."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent / "handle"
PAGE = Path(__file__).parents[4] / "docs" / "reference" / "slack-scenarios.md"


def test_every_scenario_of_the_page_is_a_test():
    rows = re.findall(r"^\| (\d+) \|.*\| `(\w+)(?:\[[^]]+\])?` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    tests = set(
        re.findall(
            r"^def (test_\w+)", "\n".join(p.read_text(encoding="utf-8") for p in FOLDER.glob("*.py")), re.MULTILINE
        )
    )
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 40
    assert {name for _, name in rows} <= tests
