"""Stored facts in a format that a person or a program reads. The same facts give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.domain.errors import InvalidInput
from agent.reports.document import Document
from agent.reports.language import speaking
from agent.reports.shape import IncidentFacts
from agent.reports.shape_card import CardFacts
from agent.reports.shape_period import ComparisonFacts, PeriodFacts

FORMATS = ("html", "pdf", "md", "json")
TEXTS = ("html", "md", "json")
MEDIA_TYPES = {"html": "text/html", "pdf": "application/pdf", "md": "text/markdown", "json": "application/json"}
Facts = IncidentFacts | PeriodFacts | ComparisonFacts | CardFacts


def render_file(facts_json: Mapping[str, Any], format: str, *, language: str = "en") -> bytes:
    """The report as a file, from its facts (`to_json()` of any of them). Raises: InvalidInput."""
    if format not in FORMATS:
        raise InvalidInput(f"There is no report format {format!r}; the formats are {', '.join(FORMATS)}.")
    if format != "pdf":
        return render(facts_json, format, language=language).encode("utf-8", errors="backslashreplace")
    from agent.reports.pdf import pdf

    facts = parse_facts(facts_json)
    with speaking(language):
        return pdf(document_of(facts), at=facts.at)


def render(facts_json: Mapping[str, Any], format: str, *, language: str = "en") -> str:
    """The report as text, in a format that is one. Raises: InvalidInput."""
    if format not in TEXTS:
        raise InvalidInput(f"There is no report format {format!r}; the formats are {', '.join(FORMATS)}.")
    if format == "json":
        return json.dumps(facts_json, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with speaking(language):
        document = document_of(parse_facts(facts_json))
    if format == "md":
        from agent.reports.markdown import markdown

        return markdown(document)
    from agent.reports.html import html

    return html(document)


def document_of(facts: Facts) -> Document:
    """The report as blocks."""
    from agent.reports import compose_card, compose_comparison, compose_incident, compose_period

    match facts:
        case IncidentFacts():
            return compose_incident.compose(facts)
        case PeriodFacts():
            return compose_period.compose(facts)
        case ComparisonFacts():
            return compose_comparison.compose(facts)
        case CardFacts():
            return compose_card.compose(facts)


def parse_facts(facts_json: Mapping[str, Any]) -> Facts:
    """Typed facts from their stored JSON."""
    kinds: dict[object, type[Facts]] = {"period": PeriodFacts, "comparison": ComparisonFacts, "card": CardFacts}
    return kinds.get(facts_json.get("kind"), IncidentFacts).model_validate(dict(facts_json))
