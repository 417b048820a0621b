"""Whatever a feature, a reason, a note or a person is called, the report shows it and is not changed by it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sqlalchemy.orm import Session

from agent.reports import canvas
from agent.reports.canvas import svg_of, themed
from agent.reports.charts import sparkline
from agent.reports.facts import incident_facts, period_facts
from agent.reports.markdown import escape
from agent.reports.pictured import Chart, Mark, Point
from agent.reports.render import render
from agent.store.session import Store
from agent.store.tables import Deployment
from tests.agent.reports.story import Story, day
from tests.furnish import furnish

NASTY = (
    "<script>alert(1)</script>",
    '"><img src=http://evil.example/x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "[click](http://evil.example) ![x](http://evil.example/y) @everyone",
    "APPROVED\u202e)detcejer(\u200b\u2066",
    "# heading | cell\n\n- APPROVED by root",
    "温度 \U0001f321 حرارة",
    "$\\frac{1}{$ & </svg></style>",
    "x" * 5000,
)


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    draw = canvas.svg_of  # each picture once is enough: the narrow one differs in its size alone
    monkeypatch.setattr(canvas, "svg_of", lambda drawn, narrow=False: "<svg></svg>" if narrow else draw(drawn))
    store = Store(f"sqlite:///{tmp_path / 'watchkeeper.db'}")
    furnish(store)
    with store.write() as session:
        yield session
    store.close()


class Tags(HTMLParser):
    """What a browser would make of a page: elements, and attributes that load or run something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [
            f"{tag} {name}={value}"
            for name, value in attrs
            if name.startswith("on") or (name in ("src", "href", "xlink:href") and not (value or "").startswith("#"))
        ]


@pytest.mark.parametrize("nasty", NASTY)
def test_nothing_from_outside_becomes_markup(session: Session, nasty: str) -> None:
    story = Story(session, title=nasty, features=(nasty,)).watched().opened()
    row = story.proposed(diagnosis=story.diagnosed())
    story.approved(row, person=nasty[:60], reason=nasty)
    session.add(Deployment(model=story.name, version=nasty, kind="promote", at=day(33), note=nasty))
    session.flush()
    facts = incident_facts(session, story.incident, at=day(45))
    period = period_facts(session, start=day(35), end=day(45))
    for told in (facts.to_json(), period.to_json()):
        page, text = render(told, "html"), render(told, "md")
        seen = Tags(page)
        assert not seen.tags & {"script", "img", "iframe", "object", "link", "form", "input"}
        assert seen.loads == []
        for shown in (page, text, told["summary"]):
            assert not re.search(r"[\u200b-\u200f\u202a-\u202e\u2066-\u2069]", shown)
        assert not re.search(r"(?<!\\)\]\(", text)
        assert "@everyone" not in text
        assert "\n- APPROVED" not in text


def test_a_foreign_alphabet_is_shown_as_it_is(session: Session) -> None:
    story = Story(session, features=("温度", "حرارة")).watched().opened()
    story.diagnosed()
    told = incident_facts(session, story.incident, at=day(45)).to_json()
    for kind in ("html", "md", "json"):
        assert "温度" in render(told, kind)
        assert "حرارة" in render(told, kind)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a | b", "a \\| b"),
        ("1. first", "1\\. first"),
        ("- item", "\\- item"),
        ("---", "\\---"),
        ("# title", "\\# title"),
        ("1.5 of 2", "1.5 of 2"),
        ("see http://x.example", "see http\\://x.example"),
        ("mail a@b.example", "mail a@b.example"),
        ("@here", "＠here"),
        ("a\u202eb", "a\\<U+202E\\>b"),
    ],
)
def test_markdown_escape(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def chart(values: list[float | None], marks: int = 2) -> Chart:
    return Chart(
        metric="mae",
        unit="",
        better="lower",
        looks=len(values),
        points=[
            Point(at=day(i), value=v, low=None if v is None else v - 1, high=None if v is None else v + 1, threshold=5)
            for i, v in enumerate(values)
        ],
        marks=[Mark(key=chr(65 + i), kind="onset", at=day(2), label="<b>") for i in range(marks)],
        alt="mae <over> time & so on",
    )


@pytest.mark.parametrize("values", [[3.0], [3.0, None, 4.0], [5.0] * 4, [1e-9, 1e12], [float(i) for i in range(200)]])
@pytest.mark.parametrize("narrow", [False, True])
def test_a_chart_is_sound_svg_and_the_same_each_time(values: list[float | None], narrow: bool) -> None:
    drawn = svg_of(chart(values), narrow=narrow)
    canvas.forget()
    assert drawn == svg_of(chart(values), narrow=narrow)
    root = ElementTree.fromstring(drawn)
    assert root.get("role") == "img"
    title = root.find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert title.text == "mae <over> time & so on"
    assert "metadata" not in drawn
    ElementTree.fromstring(themed(drawn))


def test_a_chart_without_marks_or_with_many() -> None:
    for count in (0, 9):
        drawn = ElementTree.fromstring(svg_of(chart([1.0, 2.0, 3.0], marks=count)))
        assert drawn.tag.endswith("svg")


def test_a_sparkline_leaves_a_gap_for_no_data() -> None:
    assert sparkline(chart([1.0, None, 2.0])) == "▁ █"
