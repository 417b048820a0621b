"""Answers that are being made: begun once for each question, stopped from any process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import select, update

from agent.conversation.deadline import Stop
from agent.domain.errors import WatchkeeperError
from agent.pipeline.services import Services
from agent.store.tables import SlackAnswer

LOOK = 0.5
"""Seconds between two looks whether somebody has stopped an answer."""


def begin(services: Services, once: str, thread: str, user: str) -> SlackAnswer:
    """The row of an answer; one that was begun before (and cut off) is the same."""
    with services.store.write() as session:
        row = session.get(SlackAnswer, once, with_for_update=True)
        if row is None:
            row = SlackAnswer(once=once, thread=thread, user=user, begun_at=services.wall())
            session.add(row)
            session.flush()
        return row


def note(services: Services, once: str, reference: str) -> None:
    """Where it is written."""
    with services.store.write() as session:
        session.execute(update(SlackAnswer).where(SlackAnswer.once == once).values(reference=reference))


def end(services: Services, once: str, message: str | None) -> None:
    with services.store.write() as session:
        row = session.get_one(SlackAnswer, once)
        row.state, row.message_id, row.ended_at = "done", message, services.wall()


def stop(services: Services, *, thread: str = "", once: str = "") -> int:
    """Stop what is being answered in a thread, or one answer; how many."""
    wanted = SlackAnswer.once == once if once else SlackAnswer.thread == thread
    with services.store.write() as session:
        rows = session.scalars(select(SlackAnswer).where(wanted, SlackAnswer.state == "working")).all()
        for row in rows:
            row.state = "stopped"
        return len(rows)


@contextmanager
def stoppable(services: Services, once: str) -> Iterator[Stop]:
    """A stop that is set when the row says so."""
    flag, over = Stop(), threading.Event()

    def look() -> None:
        while not over.wait(LOOK):
            try:
                with services.store.read() as session:
                    state = session.scalar(select(SlackAnswer.state).where(SlackAnswer.once == once))
            except WatchkeeperError:  # asked again in a moment
                continue
            if state == "stopped":
                flag.set()
                return

    watcher = threading.Thread(target=look, name="slack-stop", daemon=True)
    watcher.start()
    try:
        yield flag
    finally:
        over.set()
        watcher.join()
