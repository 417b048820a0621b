"""`serve`, `api`, `worker`: the long-running processes. One Ctrl-C or SIGTERM ends them cleanly within seconds."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from agent.commands.output import console
from agent.domain.errors import InvalidInput, Unavailable
from agent.pipeline.services import Services

GRACE, PATIENCE = 3, 5
"""Seconds that open requests, and then running steps, have to end."""


def command(home: Path | None, *, api: bool, worker: bool) -> None:
    """Run a workspace until told to stop.

    Raises: InvalidInput for an address that others can reach where nobody can sign in, Unavailable.
    """
    from agent.bootstrap import build
    from agent.domain.addresses import split_bind
    from agent.settings import load_settings

    settings = load_settings(home=home)
    host, port = split_bind(settings.bind)
    services = build(settings)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if api:
        for line in opening_words(services, settings.bind):
            console.print(line, soft_wrap=True)
    run(services, host=host, port=port, api=api, worker=worker, proxies=settings.trusted_proxies)


def opening_words(services: Services, bind: str) -> list[str]:
    """What is said before the door opens: the link by which the first person is made, or a warning.

    Raises: InvalidInput for an address that others can reach, while nobody could sign in or the name is not known.
    """
    from agent.domain.addresses import is_loopback, split_bind
    from agent.pipeline import people
    from agent.pipeline.set_up import first_link

    host, port = split_bind(bind)
    public = urlsplit(services.public_url)
    with services.store.read() as session:
        known = people.anybody(session)
    if services.sign_in.required:
        if not known and services.sign_in.provider is None:
            raise InvalidInput(
                f"{services.public_url} (bind {bind}) could be reached from other machines, and nobody can sign in "
                "yet. Make the first person with `watchkeeper user add NAME --role admin`, or name an OpenID provider "
                f"(WATCHKEEPER_OIDC_ISSUER); or stay on this machine: WATCHKEEPER_BIND=127.0.0.1:{port}."
            )
        if not is_loopback(host) and public.hostname in ("0.0.0.0", "::", "127.0.0.1", "localhost", "::1"):  # noqa: S104 (refused)
            raise InvalidInput(
                f"WATCHKEEPER_PUBLIC_URL is {services.public_url!r}, which others cannot open; write the address that "
                "they type, such as https://watch.example.org: no other name is answered."
            )
        if public.scheme == "http":
            return ["[yellow]Passwords cross the network readable: PUBLIC_URL is http. Put TLS in front.[/]"]
        return []
    if known:
        return []
    link = first_link(services)
    return [
        "Nobody has to sign in yet: whoever is at this machine may do everything. To change that, open this link once, "
        f"within a day, and make the first person:\n  {link}"
    ]


def run(services: Services, *, host: str, port: int, api: bool, worker: bool, proxies: str = "") -> None:
    """Serve (`api`) and keep watch (`worker`) in this process. Raises: Unavailable when the port is taken."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(listen(host, port)) if api else None
        told = stack.enter_context(signals())  # uvicorn hands on the signal that ended it: to us, who still clear up
        wake = stack.enter_context(receiving(services, sockets=worker))
        if worker:
            stack.enter_context(watching(services))
            console.print("The watch is on: models are looked at, what is approved is carried out.")
        if listening is None:
            console.print("Ctrl-C ends it.")
            told.wait()
        else:
            serve_on(services, listening, proxies, wake)
    services.store.close()


@contextlib.contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket, bound before anything else starts. Raises: Unavailable when the address is not free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen(2048)
        except OSError as error:
            raise Unavailable(
                f"{address(host, port)} cannot be opened ({error.strerror}): end what listens there, "
                f"or set WATCHKEEPER_BIND=127.0.0.1:{port + 1}."
            ) from None
        yield listening


def serve_on(
    services: Services, listening: socket.socket, proxies: str = "", wake: Callable[[], None] = lambda: None
) -> None:
    """Answer requests until a signal; open ones are ended first. proxies: whose forwarded headers count."""
    import uvicorn

    from agent.doors.api.app import create_app

    host, port = listening.getsockname()[:2]
    app = create_app(services, wake=wake)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        lifespan="off",
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies or "",
        server_header=False,
    )
    console.print(f"Listening on [bold]{address(host, port)}[/]. Ctrl-C ends it.")
    server = uvicorn.Server(config)
    app.state.ending = lambda: server.should_exit  # open streams of events end at once, not after the grace
    settle_heap()
    server.run(sockets=[listening])


def settle_heap() -> None:
    """What is there by now stays for good: not to be looked through, a tenth of a second long, while somebody waits."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@contextlib.contextmanager
def receiving(services: Services, *, sockets: bool) -> Iterator[Callable[[], None]]:
    """The threads that work on what comes from outside, and Slack's sockets; yields what wakes the threads."""
    from agent.doors.inbound import Workers, handlers

    workers = Workers(services, handlers()).start()
    try:
        with (
            slack_sockets(services, workers.wake) if sockets and services.slack.app_token else contextlib.nullcontext()
        ):
            yield workers.wake
    finally:
        workers.stop()


@contextlib.contextmanager
def slack_sockets(services: Services, wake: Callable[[], None]) -> Iterator[None]:
    """Socket Mode, for as long as the block lasts."""
    from agent.doors.slack.receive import Reception
    from agent.doors.slack.sockets import SocketMode

    reception = Reception(services, wake)
    sockets = SocketMode(reception).start()
    console.print("Slack is listened to, over Socket Mode.")
    try:
        yield
    finally:
        sockets.stop()
        reception.close()


@contextlib.contextmanager
def watching(services: Services) -> Iterator[None]:
    """The background loops, for as long as the block lasts.

    A step that runs longer than the patience of whoever stops us is left: its lease runs out, and it is resumed.
    """
    from agent.scheduler import Scheduler

    scheduler = Scheduler(services)
    scheduler.start()
    try:
        yield
    finally:
        stopper = threading.Thread(target=scheduler.stop, name="stop", daemon=True)
        stopper.start()
        stopper.join(PATIENCE)
        if stopper.is_alive():
            console.print("A step is still at work; the next worker takes it up where this one leaves it.")
            os._exit(0)


@contextlib.contextmanager
def signals() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets, instead of ending the process where it stands."""
    told = threading.Event()

    def tell(number: int, frame: FrameType | None) -> None:
        told.set()

    before = {kind: signal.signal(kind, tell) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
