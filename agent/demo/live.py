"""The demo for a person: the page is there at once, the stories play behind it, and the last decisions are theirs."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from agent.commands.output import console
from agent.commands.workspace import me
from agent.demo import stories
from agent.demo.replay import Stage, begin, play
from agent.demo.story import Story
from agent.domain.errors import WatchkeeperError
from agent.pipeline.notify import Courier
from agent.pipeline.services import Services
from agent.pipeline.slack.follow import follow
from agent.store.tables import Proposal

log = logging.getLogger(__name__)
LOOK_AGAIN = 0.3
"""Seconds between two looks at whether you have decided."""
TELL_EVERY = 1.0


class Stopped(Exception):
    """The server goes down while the story still plays."""


class Player:
    """Plays the stories in the order of their years; in the last one it stops the clock at each proposal, for you."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        try:
            for story in (stories.rain(), stories.bikes()):
                play(self._stage(story))
            stage = self._stage(stories.hearts())
            play(stage, decide=self._your_decision)
            console.print(
                "The stories are over. The workspace stays: look around, ask, report. Ctrl-C ends the server."
            )
        except Stopped:
            return
        except WatchkeeperError as error:
            log.error("demo: %s", error)

    def _stage(self, story: Story) -> Stage:
        return replace(begin(self._services, story, self._say), delivers=False)

    def _say(self, text: str) -> None:
        if self._stop.is_set():
            raise Stopped
        console.print(text, style="dim")

    def _your_decision(self, stage: Stage, proposal: Proposal, at: datetime) -> None:
        """Wait until somebody has decided, on the page or in another terminal."""
        console.print(
            f"[bold]{stage.model} {at:%Y-%m-%d}: {proposal.kind} waits for you.[/] "
            f"Decide on the page{', in Slack' if self._services.slack.on else ''}, or in another terminal: "
            f"watchkeeper approve {proposal.id}"
        )
        while not self._stop.wait(LOOK_AGAIN):
            with self._services.store.read() as session:
                if session.get_one(Proposal, proposal.id).state != "pending":
                    return
        raise Stopped


def serve_demo(services: Services, *, port: int, started: float) -> None:
    """Serve the page on 127.0.0.1 while the stories play, and Slack where it is set up.

    Raises: Unavailable when the port is taken.
    """
    from agent.commands.serve import listen, receiving, serve_on

    with listen("127.0.0.1", port) as listening:
        _greet(services, port, time.perf_counter() - started)
        with receiving(services, sockets=True) as wake, telling(services):
            player = Player(services)
            player.start()
            try:
                serve_on(services, listening, wake=wake)
            finally:
                player.stop()


@contextlib.contextmanager
def telling(services: Services) -> Iterator[None]:
    """What the stories promise is delivered beside them, so that no story waits for Slack's pace."""
    follow(services)
    courier, over = Courier(services), threading.Event()

    def tell() -> None:
        while not over.wait(TELL_EVERY):
            try:
                follow(services)
                courier.tick()
            except WatchkeeperError as error:
                log.error("demo: %s", error)

    thread = threading.Thread(target=tell, name="demo-tell", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=10)
        courier.close()


def _greet(services: Services, port: int, seconds: float) -> None:
    console.print(
        f"[bold]http://127.0.0.1:{port}[/]   three models on real data, a replayed clock ({seconds:.0f} s to prepare)\n"
    )
    console.print("Try next, in another terminal:")
    console.print(f'  export WATCHKEEPER_HOME={services.home} PATH="$PWD/.venv/bin:$PATH"', markup=False)
    console.print('  watchkeeper ask "what is wrong?"')
    console.print("  watchkeeper proposal list")
    console.print("  watchkeeper incident list\n")
    if services.slack.on:
        console.print(
            "To decide in Slack, say who you are there; then type what it prints, /watch link CODE, in Slack:"
        )
        console.print(f"  watchkeeper user add {me()} --role approver && watchkeeper user link-code {me()}\n")
