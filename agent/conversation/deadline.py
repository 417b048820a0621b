"""Work that waits for a language model, with an end: a total time by the clock on the wall, and a way to stop it.

The time limits of HTTP clients are for each read: a server that sends a byte now and then holds a call for ever. Here
the work runs in an event loop of its own and is cancelled when its time is over, so that its connections are closed.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
GRACE = 1.0
"""Seconds that work which was cancelled may take to put its things away."""


class Stopped(Exception):
    """Somebody asked that the work be stopped: the person who asked, or the client that went away."""


class Stop:
    """Says from any thread that the work is not wanted any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: list[Callable[[], object]] = []
        self.is_set = False

    def set(self) -> None:
        with self._lock:
            self.is_set, told = True, self._told
            self._told = []
        for tell in told:
            tell()

    def tell(self, callback: Callable[[], object]) -> None:
        """Call `callback` when it is set; at once if it is already."""
        with self._lock:
            if not self.is_set:
                self._told.append(callback)
                return
        callback()


def within(
    seconds: float, work: Callable[[], Coroutine[Any, Any, Result]], *, stop: Stop | None = None, grace: float = GRACE
) -> Result:
    """Run `work` to its end, for `seconds` at most, in a thread of its own.

    Work that blocks its thread (a client that knows no async) is left behind after `grace` seconds more.

    Raises: TimeoutError when the time is over; Stopped when `stop` was set; what the work raises.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_run, args=(loop,), name="answer", daemon=True)
    thread.start()
    future = asyncio.run_coroutine_threadsafe(_bounded(work, seconds), loop)
    if stop is not None:
        stop.tell(future.cancel)
    try:
        return future.result(seconds + grace)
    except concurrent.futures.CancelledError:
        raise Stopped("It was stopped.") from None
    except concurrent.futures.TimeoutError:
        raise TimeoutError(f"there was no end within {seconds:g} s") from None
    finally:
        future.cancel()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(grace)


async def _bounded(work: Callable[[], Coroutine[Any, Any, Result]], seconds: float) -> Result:
    async with asyncio.timeout(seconds):
        return await work()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=GRACE))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
