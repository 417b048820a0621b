"""An answer while it is being written: each sentence is checked and filtered before anybody sees it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from agent.conversation.guard.output import clean

_END = re.compile(r"(?<=[.!?\]])\s|\n")


class Spoken:
    """Takes what a model streams, gives out whole sentences that check; after the first that does not, nothing more.

    What is held back comes with the whole answer, repaired or marked.
    """

    def __init__(
        self,
        checks: Callable[[str], bool],
        give: Callable[[str], None],
        restart: Callable[[], None],
        public_url: str = "",
        secrets: Sequence[str] = (),
    ) -> None:
        self._checks, self._give, self._restart = checks, give, restart
        self._public_url, self._secrets = public_url, secrets
        self._pending = ""
        self._held = False
        self.given = ""

    def begin(self) -> None:
        """What comes now replaces what came before: another model, or the text before a tool call."""
        if self.given:
            self._restart()
        self._pending, self._held, self.given = "", False, ""

    def add(self, text: str) -> None:
        self._pending += text
        while not self._held and (end := _END.search(self._pending)) is not None:
            self._say(self._pending[: end.end()])
            self._pending = self._pending[end.end() :]

    def _say(self, sentence: str) -> None:
        if not sentence.strip():
            return
        if not self._checks(sentence):
            self._held = True
            return
        said = clean(sentence, self._public_url, secrets=self._secrets)
        space = sentence[len(sentence.rstrip()) :]
        self._give(said + space)
        self.given += said + space


def remainder(whole: str, shown: str) -> str | None:
    """What of `whole` is still to be shown; None when what was shown is not its beginning. Spaces do not count.

    >>> remainder("It is fine. [i-1]\\nMore.", "It is  fine. [i-1] "), remainder("No.", "Yes.")
    ('\\nMore.', None)
    """
    at = 0
    for letter in shown:
        if letter.isspace():
            continue
        while at < len(whole) and whole[at].isspace():
            at += 1
        if at >= len(whole) or whole[at] != letter:
            return None
        at += 1
    return whole[at:] if shown.strip() else whole
