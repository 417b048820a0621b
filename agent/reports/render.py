"""Stored facts in a format that a person or a program reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.domain.errors import InvalidInput
from agent.reports.shape import IncidentFacts, PeriodFacts

FORMATS = ("html", "md", "json")


def render(facts_json: Mapping[str, Any], format: str) -> str:
    """The report from its facts (`IncidentFacts.to_json()` or `PeriodFacts.to_json()`). Raises: InvalidInput."""
    if format not in FORMATS:
        raise InvalidInput(f"There is no report format {format!r}; the formats are {', '.join(FORMATS)}.")
    if format == "json":
        return json.dumps(facts_json, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    facts = parse_facts(facts_json)
    if format == "md":
        from agent.reports.markdown import markdown

        return markdown(facts)
    from agent.reports.html import html

    return html(facts)


def parse_facts(facts_json: Mapping[str, Any]) -> IncidentFacts | PeriodFacts:
    """Typed facts from their stored JSON."""
    kind = PeriodFacts if facts_json.get("kind") == "period" else IncidentFacts
    return kind.model_validate(dict(facts_json))
