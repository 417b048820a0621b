"""Whoever acknowledges goes first, and a flood of them does not stop the work."""

from __future__ import annotations

import threading
import time

import pytest

from agent.store import precedence
from agent.store.precedence import Precedence


def in_thread(work) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_who_works_steps_aside_while_something_is_expected():
    turns, order = Precedence(needed=True), []
    turns.expect(1)

    def work():
        with turns.after():
            order.append("work")

    working = in_thread(work)
    time.sleep(0.05)
    with turns.first():
        order.append("keep")
        turns.expect(-1)
        time.sleep(0.05)
        order.append("kept")
    working.join(5)
    assert order == ["keep", "kept", "work"]


def test_workers_that_wait_together_let_the_next_crowd_by():
    """They all saw that nothing was expected; only one of them goes when something comes."""
    turns, order = Precedence(needed=True), []
    begun = threading.Event()

    def work():
        with turns.after():
            order.append("work")
            begun.set()
            time.sleep(0.05)

    working = [in_thread(work) for _ in range(5)]
    begun.wait(5)
    turns.expect(1)
    with turns.first():
        order.append("keep")
    turns.expect(-1)
    for thread in working:
        thread.join(5)
    assert (order[0], len(order)) == ("work", 6)
    assert order.index("keep") <= 2, "the one that had begun, and at most one that was owed a turn"


def test_a_flood_lets_one_by_from_time_to_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(precedence, "LONGEST", 0.1)
    turns, order = Precedence(needed=True), []
    over = threading.Event()
    turns.expect(1)  # and it never ends

    def flood():
        while not over.is_set():
            with turns.first():
                order.append("keep")
                time.sleep(0.01)

    def work():
        for _ in range(3):
            with turns.after():
                order.append("work")

    flooding, working = in_thread(flood), in_thread(work)
    working.join(5)
    over.set()
    flooding.join(5)
    assert not working.is_alive()
    between = "".join("w" if one == "work" else "k" for one in order).split("w")
    assert all(len(run) >= 3 for run in between[1:-1]), f"a tenth of a second of the flood between two turns: {order}"


def test_where_writers_do_not_wait_for_each_other_nobody_steps_aside():
    turns = Precedence(needed=False)
    turns.expect(1)
    with turns.after(), turns.after():
        pass
    assert turns._expected == 1
