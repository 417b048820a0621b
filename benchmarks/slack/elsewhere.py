"""The Slack of this machine in a process of its own, as the real one is: what it does takes nothing from ours."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

from agent.doors.slack.loopback.delivery import Delivery, signed
from agent.doors.slack.loopback.server import LoopbackSlack
from agent.pipeline.slack_app import SlackApp

BUTTON = {"type": "button", "text": {"type": "plain_text", "text": "Reject"}, "action_id": "reject"}


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """`app`: how to reach it. Each method returns when it is done there."""

    app: SlackApp
    _line: Connection
    _process: Any

    def deliver_to(self, url: str | None, workers: int) -> None:
        """Signed HTTP to this address, so many requests at once; None: Socket Mode."""
        self._ask("deliver_to", url, workers)

    def ask(self, questions: int) -> None:
        """So many people write to us; returns when each is acknowledged."""
        self._ask("ask", questions)

    def clicks(self, at_once: int) -> list[float]:
        """So many clicks at once; seconds from sending each to its acknowledgement."""
        return list(self._ask("clicks", at_once))

    def close(self) -> None:
        self._line.send(None)
        self._process.join(10)

    def _ask(self, name: str, *given: Any) -> Any:
        self._line.send((name, given))
        done = self._line.recv()
        if isinstance(done, Exception):
            raise done
        return done


def start() -> Elsewhere:
    """A workspace with one channel and two people."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    return Elsewhere(SlackApp(*ours.recv()), ours, process)


class Wire:
    """Signed requests over connections that stand open, with as little work for each as there can be: the clients of
    a benchmark must not be what it measures."""

    def __init__(self, url: str, secret: str, connections: int) -> None:
        self.url, self.secret = urlsplit(url), secret
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._open = asyncio.run_coroutine_threadsafe(self._connect(connections), self._loop).result(30)

    def send(self, delivery: Delivery) -> None:
        body, headers = signed(delivery.kind, delivery.payload, self.secret)
        head = [f"POST {self.url.path} HTTP/1.1", f"host: {self.url.netloc}", f"content-length: {len(body)}"]
        request = "\r\n".join([*head, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode() + body
        asyncio.run_coroutine_threadsafe(self._post(delivery, request), self._loop)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _connect(self, count: int) -> asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        # Held here too: a reader that only its own waiting task knows is garbage to Python, and so is the task.
        self._held = [await asyncio.open_connection(self.url.hostname, self.url.port) for _ in range(count)]
        for connection in self._held:
            free.put_nowait(connection)
        return free

    async def _post(self, delivery: Delivery, request: bytes) -> None:
        reader, writer = await self._open.get()
        delivery.sent_at = time.monotonic()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
        delivery.acknowledge(int(head.split()[1]), {})
        self._open.put_nowait((reader, writer))


def _serve(line: Connection) -> None:
    with LoopbackSlack() as slack:
        slack.add_user("ann")
        slack.add_user("ben")
        slack.add_channel("#churn", "ann", "ben")
        line.send((slack.bot_token, slack.app_token, slack.signing_secret, slack.api_url))
        client = SlackApp(slack.bot_token, api_url=slack.api_url).client()
        channel = slack.workspace.channel("#churn").id
        blocks = [{"type": "actions", "elements": [BUTTON]}]
        posted = client.chat_postMessage(channel=channel, text="card", blocks=blocks, unfurl_links=False)
        card = {"channel": channel, "ts": posted["ts"]}
        while (said := line.recv()) is not None:
            name, given = said
            try:
                line.send(_do(slack, card, name, *given))
            except TimeoutError as late:
                line.send(late)


def _do(slack: LoopbackSlack, card: dict[str, Any], name: str, *given: Any) -> Any:
    match name:
        case "deliver_to":
            slack.deliver_to(given[0])
            if given[0]:
                slack._http = Wire(given[0], slack.signing_secret, given[1])
        case "ask":
            sent = [slack.say("ann", "#churn", f"@watchkeeper question {number}") for number in range(given[0])]
            for delivery in sent:
                assert delivery is not None
                delivery.wait(30)
        case "clicks":
            clicked = [slack.click("ben", card, "reject") for _ in range(given[0])]
            answered = [delivery.wait(60) for delivery in clicked]
            assert {delivery.status for delivery in answered} == {200}
            return [delivery.seconds for delivery in answered]
    return None
