"""Ways to ask, with what a right answer calls and tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.agent.conversation.offline.talk import Answered
from tests.agent.conversation.offline.workspace import Workspace

FOLDER = Path(__file__).parent / "paraphrases"


@dataclass(frozen=True, slots=True)
class Case:
    intent: str
    question: str
    tool: str
    arguments: Mapping[str, Any]
    says: tuple[str, ...]

    def wrong(self, found: Answered, place: Workspace) -> str:
        """What is wrong with an answer; empty when it is right: the tool with these arguments, each fact in the text,
        and nothing proposed that was not asked for."""
        arguments = {key: place.named(value) for key, value in self.arguments.items()}
        if not found.called(self.tool, **arguments):
            return f"did not call {self.tool} {arguments}, but {[(n, dict(a)) for n, a in found.calls]}"
        proposed = [name for name, _ in found.calls if name.startswith("propose_") and name != self.tool]
        if proposed:
            return f"proposed {proposed}, unasked"
        missing = [fact for fact in self.says if place.named(fact) not in found.text]
        return f"did not say {missing}, but: {found.text[:300]}" if missing else ""


def cases(which: str) -> Iterator[Case]:
    """`asked`: 400, which tuning may look at. `unseen`: 120, which it may not."""
    for path in sorted(FOLDER.glob("*.yaml")):
        for told in yaml.safe_load(path.read_text(encoding="utf-8")):
            for question in told[which]:
                says = told.get("instead", {}).get(question, told["says"])
                yield Case(told["intent"], question, told["tool"], told["arguments"], tuple(says))
