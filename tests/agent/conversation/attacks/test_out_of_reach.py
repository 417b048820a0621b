"""Nothing that a model can reach approves, rejects, freezes or executes: looked for while it runs, too."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.catalogue import CATALOGUE
from tools.context import Caller

DECIDING = re.compile(
    r"approv|reject|freez|execut(?!ions)|decide|deploy(?!ments)|cancel|withdraw|release|register|delete|write|set_"
)
ROOT = Path(__file__).parents[4]
WHOLE = """
import sys
{imports}
from tools.catalogue import CATALOGUE, call
reached = [name for name in sys.modules if name in {forbidden!r}]
print(*sorted(reached))
"""
FORBIDDEN = ("ml.models.training", "ml.models.deployment", "agent.pipeline.execute", "agent.pipeline.approve",
             "agent.pipeline.freeze", "agent.pipeline.cancel", "agent.executor")  # fmt: skip


def test_no_tool_is_called_like_a_decision() -> None:
    assert [name for name in CATALOGUE if DECIDING.search(name)] == []
    assert {tool.effect for tool in CATALOGUE.values()} == {"read", "propose"}
    assert [name for name, tool in CATALOGUE.items() if (tool.effect == "propose") != name.startswith("propose_")] == []


def test_the_search_for_deciding_names_finds_them() -> None:
    assert all(
        DECIDING.search(name)
        for name in ("approve_proposal", "reject", "freeze", "execute", "deploy_version", "set_champion")
    )


@pytest.mark.parametrize(
    "imports",
    [
        "import tools.langchain, tools.catalogue, tools.propose",
        "import agent.conversation.chat, agent.conversation.loop, agent.conversation.drafting",
        "import agent.conversation.offline.model, agent.conversation.guard.grounding, agent.conversation.records",
    ],
    ids=["tools", "conversation", "offline"],
)
def test_what_decides_is_not_even_loaded(imports: str) -> None:
    """In a process of its own: the modules that change things are not there to be called."""
    program = WHOLE.format(imports=imports, forbidden=FORBIDDEN)
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    assert loaded.stdout.split() == []


def test_the_doors_of_models_offer_the_catalogue_and_nothing_else() -> None:
    import asyncio

    from tools.context import ToolContext
    from tools.langchain import as_langchain
    from tools.mcp import CatalogueServer

    context = ToolContext(None, Caller("eve", "person", None, may_propose=True), None, None, None)

    async def who() -> ToolContext:
        return context

    listed = asyncio.run(CatalogueServer(who, version="0").list_tools())
    assert {tool.name for tool in listed} == set(CATALOGUE)
    assert {tool.name for tool in as_langchain(context)} == set(CATALOGUE)


def test_a_reader_is_offered_no_proposals() -> None:
    from tools.catalogue import offered_to

    assert {tool.effect for tool in offered_to(Caller("cat", "person", None, may_propose=False))} == {"read"}
