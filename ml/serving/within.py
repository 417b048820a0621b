"""A time limit that costs nothing where nothing is waited for.

Most requests are read, answered and journalled in one step of the event loop. `asyncio.timeout` makes and drops a timer
for each of them, which is a tenth of their time; here one is made only once something really waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

Result = TypeVar("Result")


async def within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """What `work` returns or raises. Raises: TimeoutError when it waits for longer than `seconds`."""
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    async with asyncio.timeout(seconds):
        rest: Result = await _Rest(work, waits_for)
        return rest


class _Rest:
    """What is left of a coroutine that has been started by hand, and waits for something."""

    def __init__(self, work: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self._work, self._waits_for = work, waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        work, waits_for = self._work, self._waits_for
        while True:
            try:
                got = yield waits_for
            except BaseException as error:  # noqa: BLE001 (the work decides what becomes of it, as in `yield from`)
                try:
                    waits_for = work.throw(error)
                except StopIteration as done:
                    return done.value
                continue
            try:
                waits_for = work.send(got)
            except StopIteration as done:
                return done.value
