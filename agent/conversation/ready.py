"""What takes seconds the first time in a process is done before the clock of an answer runs."""

from __future__ import annotations

import threading

from agent.conversation.llm import LanguageModels, imported

_lock = threading.Lock()
_done: set[str] = set()


def make_ready(models: LanguageModels) -> None:
    """Import the loop and the clients of the chain; learn the offline model's intents, which answer if all else fails.

    A server calls it when it starts, in a thread of its own; an answer waits for it.
    """
    wanted = ",".join(models.chain)
    if wanted in _done:
        return
    with _lock:
        if wanted in _done:
            return
        from agent.conversation import attempts, loop, raw, spoken  # noqa: F401 (this is what takes time)
        from agent.conversation.guard import grounding  # noqa: F401
        from agent.conversation.offline import intents, model  # noqa: F401

        intents.classifier()
        imported(models)
        _done.add(wanted)
