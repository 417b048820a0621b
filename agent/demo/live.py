"""The demo for a person: the page is there at once, the stories play behind it, and the last decisions are theirs."""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime

from agent.commands.output import console
from agent.demo import stories
from agent.demo.replay import Stage, begin, play
from agent.domain.errors import WatchkeeperError
from agent.pipeline.services import Services
from agent.store.tables import Proposal

log = logging.getLogger(__name__)
LOOK_AGAIN = 0.3
"""Seconds between two looks at whether you have decided."""


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
                play(begin(self._services, story, self._say))
            stage = begin(self._services, stories.hearts(), self._say)
            play(stage, decide=self._your_decision)
            console.print(
                "The stories are over. The workspace stays: look around, ask, report. Ctrl-C ends the server."
            )
        except Stopped:
            return
        except WatchkeeperError as error:
            log.error("demo: %s", error)

    def _say(self, text: str) -> None:
        if self._stop.is_set():
            raise Stopped
        console.print(text, style="dim")

    def _your_decision(self, stage: Stage, proposal: Proposal, at: datetime) -> None:
        """Wait until somebody has decided, on the page or in another terminal."""
        console.print(
            f"[bold]{stage.model} {at:%Y-%m-%d}: {proposal.kind} waits for you.[/] "
            f"Decide on the page, or in another terminal: watchkeeper approve {proposal.id}"
        )
        while not self._stop.wait(LOOK_AGAIN):
            with self._services.store.read() as session:
                if session.get_one(Proposal, proposal.id).state != "pending":
                    return
        raise Stopped


def serve_demo(services: Services, *, port: int, started: float) -> None:
    """Serve the page on 127.0.0.1 while the stories play. Raises: Unavailable when the port is taken."""
    from agent.commands.serve import listen, serve_on

    with listen("127.0.0.1", port) as listening:
        _greet(services, port, time.perf_counter() - started)
        player = Player(services)
        player.start()
        try:
            serve_on(services, listening)
        finally:
            player.stop()


def _greet(services: Services, port: int, seconds: float) -> None:
    console.print(
        f"[bold]http://127.0.0.1:{port}[/]   three models on real data, a replayed clock ({seconds:.0f} s to prepare)\n"
    )
    console.print("Try next, in another terminal:")
    console.print(f'  export WATCHKEEPER_HOME={services.home} PATH="$PWD/.venv/bin:$PATH"', markup=False)
    console.print('  watchkeeper ask "what is wrong?"')
    console.print("  watchkeeper proposal list")
    console.print("  watchkeeper incident list\n")
