"""The documents are true: what they show can be read, run and reached."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from agent.domain.notifying import DECISIONS, parse_notifications
from agent.domain.policy import Policy
from agent.store.tables import DELIVERY_STATES
from ml.spec import parse_spec
from tools.actions import CHARACTER, Risk

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
COMMAND = re.compile(r"(?:^\$ |`|\.venv/bin/|run --rm )watchkeeper ([a-z][a-z -]*)", re.MULTILINE)


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def yaml_blocks(name: str) -> list[str]:
    return re.findall(r"^```yaml\n(.+?)^```", text_of(name), re.MULTILINE | re.DOTALL)


def specs() -> list[tuple[str, str]]:
    return [(name, block) for name in NAMES for block in yaml_blocks(name) if block.startswith("name:")]


@pytest.mark.parametrize(("name", "block"), specs())
def test_every_spec_that_is_shown_is_one(name, block):
    assert parse_spec(block, source=name).used_features


def test_the_front_page_shows_a_spec_of_fifteen_lines():
    (block,) = [block for name, block in specs() if name == "README.md"]
    assert len(block.splitlines()) == 15


def test_the_policy_that_is_shown_is_one():
    (block,) = yaml_blocks("docs/how-to/approvals.md")
    assert set(Policy.model_validate(yaml.safe_load(block)).risk) == set(Risk)


def test_every_key_of_the_policy_is_explained():
    explained = set(re.findall(r"^\| `(\w+)` \|", text_of("docs/how-to/approvals.md"), re.MULTILINE))
    assert explained == set(Policy.model_fields)


def test_the_risks_that_are_shown_are_those_of_the_table():
    page = text_of("docs/how-to/approvals.md")
    shown = dict(re.findall(r"^\| (low|medium|high) \| (.+) \|$", page, re.MULTILINE))
    for risk in Risk:
        assert set(re.findall(r"`(\w+)`", shown[risk])) == {kind for kind, c in CHARACTER.items() if c.risk is risk}


def test_the_routes_that_are_shown_are_ones_and_every_kind_is_explained():
    page = "docs/how-to/notifications.md"
    first, phone = [parse_notifications(block) for block in yaml_blocks(page)]
    assert (len(first.routes), phone.routes[0].to) == (5, "apprise")
    assert set(re.findall(r"`(\w+)`", text_of(page))) >= {
        *DECISIONS,
        "incident",
        "report",
        "verified",
        *DELIVERY_STATES,
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_command_that_is_mentioned_exists(name, commands):
    groups = {command.split()[0] for command in commands if " " in command}
    for words in COMMAND.findall(text_of(name)):
        first, *rest = words.split()
        command = f"{first} {rest[0]}" if first in groups and rest else first
        assert command in commands, f"{name} mentions `watchkeeper {words.strip()}`"


def test_the_search_for_commands_finds_them():
    found = {words.split()[0] for name in NAMES for words in COMMAND.findall(text_of(name))}
    assert found >= {"init", "ingest", "watch", "approve", "audit", "demo"}


@pytest.mark.parametrize("name", NAMES)
def test_every_relative_link_leads_somewhere(name):
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", text_of(name))
    assert [target for target in targets if not ((ROOT / name).parent / target).exists()] == []


def test_every_page_of_the_documentation_is_on_its_map():
    map_page = text_of("docs/README.md")
    pages = [page.relative_to(ROOT / "docs") for page in ROOT.glob("docs/**/*.md") if page.name != "README.md"]
    assert [str(page) for page in pages if str(page) not in map_page] == []


def test_every_make_target_that_is_mentioned_exists():
    targets = set(re.findall(r"^([a-z-]+):.*?## ", text_of("Makefile"), re.MULTILINE))
    mentioned = {
        word for name in NAMES for word in re.findall(r"(?:`|^\$ |^    )make ([a-z-]+)", text_of(name), re.MULTILINE)
    }
    assert mentioned
    assert mentioned <= targets


def test_the_generated_pages_are_current():
    loader = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert loader is not None
    assert loader.loader is not None
    generate = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(generate)
    stale = [path for path, page in generate.PAGES.items() if text_of(path) != page()]
    assert stale == [], "run `make docs`"


def test_the_wheel_ships_the_four_packages_and_no_tests():
    project = tomllib.loads(text_of("pyproject.toml"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [
        "agent",
        "tools",
        "ml",
        "notifications",
    ]


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock", "requirements-bootstrap.lock"])
def test_the_locks_have_hashes_and_no_addresses(name):
    lock = text_of(name)
    assert "://" not in lock
    assert re.findall(r"^--(?:index-url|extra-index-url|find-links)", lock, re.MULTILINE) == []
    packages = re.findall(r"^[a-z0-9][\w.-]*==[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE)
    assert len(packages) == len(re.findall(r"^[a-z0-9]", lock, re.MULTILINE)) > 0


def test_no_mark_of_unfinished_work_is_left_in_the_documents():
    marks = ("TO" + "DO", "FIX" + "ME", "lorem ipsum")
    assert [name for name in NAMES if any(mark in text_of(name) for mark in marks)] == []
