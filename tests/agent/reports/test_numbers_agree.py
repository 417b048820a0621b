"""Every number that a report says stands in its JSON, in every format; 40 reports here, 200 with REPORTS=200."""

from __future__ import annotations

import html
import json
import os
import random
import re
from collections.abc import Iterator
from typing import Any

import pypdfium2
import pytest

from agent.reports.comparison import comparison_facts
from agent.reports.facts import incident_facts, period_facts
from agent.reports.render import render, render_file
from agent.store.session import Store
from tests.agent.reports.story import Story, day
from tests.furnish import furnish

HOW_MANY = int(os.environ.get("REPORTS", "40"))
WRITTEN_OUT = {95.0}  # "95 % interval": of the house, not of the records
METRICS = (("mae", "regression"), ("recall", "binary"), ("rmse", "regression"))


def numbers(text: str) -> set[float]:
    return {float(token) for token in re.findall(r"\d+(?:\.\d+)?", text)}


def told(page: str) -> str:
    """The words of a page: without its pictures, styles and tags."""
    for part in (r"<style>.*?</style>", r"<svg.*?</svg>", r"<head>.*?</head>"):
        page = re.sub(part, " ", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def printed(pdf: bytes) -> str:
    """The words of a PDF, without those in pictures and without page numbers."""
    document = pypdfium2.PdfDocument(pdf)
    pages = []
    for page in document:
        words = page.get_textpage()
        # A long word may break anywhere; where it does, it is still one word.
        pages.append(re.sub(r"page \d+ / \d+", "", words.get_text_range().replace("\u200b", "")))
        words.close()
    document.close()
    return "\n".join(pages)


def story(store: Store, seed: int) -> dict[str, Any]:
    """The facts of one story, as chance would have it."""
    chance = random.Random(seed)
    metric, task = chance.choice(METRICS)
    with store.write() as session:
        one = Story(session, name=f"model-{seed}", metric=metric)
        level = chance.uniform(0.1, 900)
        values = {n: None if chance.random() < 0.2 else level * chance.uniform(0.5, 2.5) for n in range(20, 50)}
        one.watched(values=values, task=task).opened(chance.randint(31, 37))
        if chance.random() < 0.9:
            row = one.proposed(diagnosis=one.diagnosed())
            fate = chance.random()
            if fate < 0.2:
                one.rejected(row, "a false alarm, as on day 12")
            elif fate < 0.8:
                watched = one.executed(row, one.approved(row, number=38.1 + chance.random()))
                if fate < 0.7:
                    one.judged(row, watched, chance.choice(("succeeded", "failed", "inconclusive")))
        session.flush()
        kind = seed % 4
        if kind < 2:
            return incident_facts(session, one.incident, at=day(45)).to_json()
        if kind == 2:
            return period_facts(session, model=one.name, start=day(20), end=day(50), cadence="monthly").to_json()
        return comparison_facts(session, model=one.name, start=day(35), end=day(49)).to_json()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('numbers') / 'watchkeeper.db'}")
    furnish(store)
    yield store
    store.close()


@pytest.mark.parametrize("batch", range(4))
def test_every_number_in_the_prose_stands_in_the_json(
    store: Store, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pictures are left out of the words anyway, and drawing them is what takes time.
    monkeypatch.setattr("agent.reports.canvas.svg_of", lambda *_, **__: "<svg></svg>")
    for seed in range(batch, HOW_MANY, 4):
        facts = story(store, seed)
        known = numbers(json.dumps(facts)) | WRITTEN_OUT
        assert numbers(told(render(facts, "html"))) - known == set(), seed
        assert numbers(render(facts, "md")) - known == set(), seed
        assert numbers(facts["summary"]) - known == set(), seed


def test_the_words_of_a_pdf_say_the_same_numbers(store: Store) -> None:
    for seed in range(1000, 1000 + HOW_MANY // 10):
        facts = story(store, seed)
        pdf = render_file(facts, "pdf")
        known = numbers(json.dumps(facts)) | WRITTEN_OUT
        text = printed(pdf)
        drawn = {n for n in numbers(text) if n not in known}
        assert drawn <= ticks(facts), seed
        flat = re.sub(r"\s+", " ", text)
        assert re.sub(r"\s+", " ", facts["summary"])[:40] in flat


def ticks(facts: dict[str, Any]) -> set[float]:
    """What the axes of its pictures say: round numbers beside the values, and days."""
    from agent.reports.canvas import svg_of
    from agent.reports.render import document_of, parse_facts

    figures = document_of(parse_facts(facts)).figures()
    return {n for f in figures for n in numbers(" ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg_of(f.drawn))))}


def test_a_number_that_is_nowhere_in_the_json_would_be_found(store: Store) -> None:
    facts = story(store, 5000)
    known = numbers(json.dumps(facts)) | WRITTEN_OUT
    assert numbers(told(render({**facts, "summary": "It was 987654.25 then."}, "html"))) - known == {987654.25}
