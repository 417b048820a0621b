from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent.commands.report import command
from agent.conversation.llm import LanguageModels
from agent.domain.errors import InvalidInput, NotFound, Unavailable
from agent.reports.facts import incident_facts
from agent.store.session import Store
from agent.store.tables import Report
from tests.agent.reports.story import Story, day
from tests.furnish import furnish


@dataclass
class Workspace:
    """As much of the services as a report needs."""

    home: Path
    store: Store
    llm: LanguageModels = field(default_factory=LanguageModels)

    def now(self) -> datetime:
        return day(45)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Any]:
    store = Store(f"sqlite:///{tmp_path / 'watchkeeper.db'}")
    furnish(store)
    yield Workspace(tmp_path, store)
    store.close()


def test_a_report_of_the_watch_in_every_format(workspace: Any) -> None:
    with workspace.store.write() as session:
        Story(session).whole()
    told = command(workspace, formats=["html", " MD", "json"], period="10d")
    paths = [Path(p) for p in told["files"]]
    assert [p.suffix for p in paths] == [".html", ".md", ".json"]
    assert all(p.parent == workspace.home / "reports" for p in paths)
    facts = json.loads(paths[2].read_text(encoding="utf-8"))
    assert facts["summary"] == told["summary"]
    assert facts["start"].startswith("2026-02-05")
    assert not list(paths[0].parent.glob(".*"))


def test_the_stored_facts_of_a_closed_incident_are_what_is_printed(workspace: Any, tmp_path: Path) -> None:
    with workspace.store.write() as session:
        story = Story(session).whole()
        facts = incident_facts(session, story.incident, at=day(42)).to_json()
        facts["summary"] = "As it was sent."
        session.add(
            Report(kind="incident", model=story.name, incident_id=story.incident.id, created_at=day(42), facts=facts)
        )
        number = story.incident.id
    told = command(workspace, incident=number[:6], formats=["md"], out=tmp_path / "new" / "folder")
    assert told["summary"] == "As it was sent."
    assert told["files"] == [str(tmp_path / "new" / "folder" / f"incident-{number}.md")]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"formats": ["docx"]}, "There is no report format 'docx'; the formats are html, pdf, md, json"),
        ({"formats": [""]}, "names no format"),
        ({"period": "soon"}, "'soon' is not a length of time"),
        ({"period": "0"}, "is no time at all"),
        ({"period": "999999999999w"}, "is not a length of time"),
    ],
)
def test_a_wrong_option_is_named(workspace: Any, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        command(workspace, **options)
    assert not (workspace.home / "reports").exists()


def test_what_does_not_exist_is_named(workspace: Any) -> None:
    with pytest.raises(NotFound, match="no model 'ghost'"):
        command(workspace, model="ghost")
    with pytest.raises(NotFound, match="no incident 'i-none'"):
        command(workspace, incident="i-none")
    with workspace.store.write() as session:
        story = Story(session).watched().opened()
        number = story.incident.id
    with pytest.raises(InvalidInput, match="is of 'bike-demand', not of 'ghost'"):
        command(workspace, incident=number, model="ghost")


def test_a_folder_that_cannot_be_written_is_named(workspace: Any) -> None:
    (workspace.home / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(Unavailable, match=r"taken.*cannot be written .*--out"):
        command(workspace, out=workspace.home / "taken")
