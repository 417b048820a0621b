"""A time limit that is only set for what waits: the same outcomes as `asyncio.timeout`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ml.serving.within import within

LONG = 30.0


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await work()

    return asyncio.run(main())


async def at_once(value: int) -> int:
    return value


async def after_waiting(value: int) -> int:
    for _ in range(3):
        await asyncio.sleep(0)
    await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    await asyncio.wait_for(asyncio.sleep(0), LONG)
    return value


async def breaks(wait: bool) -> int:
    if wait:
        await asyncio.sleep(0)
    raise ValueError("broken")


def test_what_needs_no_waiting_sets_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    set_timers: list[float | None] = []
    real = asyncio.timeout

    def seen(seconds: float | None) -> asyncio.Timeout:
        set_timers.append(seconds)
        return real(seconds)

    monkeypatch.setattr(asyncio, "timeout", seen)
    assert run(lambda: within(LONG, at_once(3))) == 3
    assert set_timers == []
    assert run(lambda: within(LONG, after_waiting(4))) == 4
    assert set_timers == [LONG]


@pytest.mark.parametrize("wait", [False, True])
def test_what_the_work_raises_comes_out(wait: bool) -> None:
    with pytest.raises(ValueError, match="broken"):
        run(lambda: within(LONG, breaks(wait)))


def test_what_takes_too_long_is_ended_and_cleans_up() -> None:
    cleaned = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    with pytest.raises(TimeoutError):
        run(lambda: within(0.01, slow()))
    assert cleaned == [True]


def test_a_cancellation_from_outside_stays_one() -> None:
    async def main() -> None:
        began = asyncio.Event()

        async def slow() -> None:
            began.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(within(LONG, slow()))
        await began.wait()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        run(main)


def test_work_that_swallows_its_cancellation_may_answer() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "answered"
        return "never"

    async def main() -> str:
        task = asyncio.create_task(within(LONG, stubborn()))
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert run(main) == "answered"


def test_limits_within_limits() -> None:
    async def inner() -> str:
        try:
            return await within(0.01, _never())
        except TimeoutError:
            return "inner"

    assert run(lambda: within(LONG, inner())) == "inner"


async def _never() -> str:
    await asyncio.Event().wait()
    return "never"
