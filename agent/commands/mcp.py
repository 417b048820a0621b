"""`mcp`: the tools for another assistant, over this process's own input and output, or over HTTP."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from agent.commands.workspace import me
from agent.domain.errors import InvalidInput
from agent.pipeline.services import Services


def command(home: Path | None, *, http: bool, port: int | None, person: str | None, read_only: bool) -> None:
    """Serve until told to stop. Raises: InvalidInput for a port without HTTP, Unavailable when it is taken."""
    from agent.bootstrap import build
    from agent.settings import load_settings

    settings = load_settings(home=home)
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    if not http:
        if port is not None:
            raise InvalidInput("--port goes with --http; without it the server speaks over its input and output.")
        _speak(build(settings), person or me(), read_only=read_only)
        return
    if person is not None or read_only:
        raise InvalidInput(
            "Over HTTP a token says who calls and what they may; --as and --read-only go without --http."
        )
    from agent.doors.guard import split_bind

    host, own = split_bind(settings.mcp_bind)
    resource = settings.mcp_url
    if port is not None and port != own:
        own, resource = port, f"http://{f'[{host}]' if ':' in host else host}:{port}/mcp"
    _listen(build(settings), host, own, resource)


def _speak(services: Services, person: str, *, read_only: bool) -> None:
    from agent.doors.mcp import stdio_server
    from tools.context import Caller

    caller = Caller(person, "person", may_propose=not read_only, through="mcp stdio")
    try:
        stdio_server(services, caller).run("stdio")
    except KeyboardInterrupt:
        pass


def _listen(services: Services, host: str, port: int, resource: str) -> None:
    import uvicorn

    from agent.commands.output import console
    from agent.commands.serve import listen
    from agent.doors.mcp import http_app

    with listen(host, port) as listening:
        app = http_app(services, resource)
        console.print(f"MCP at [bold]{resource}[/], for tokens of this address. Ctrl-C ends it.")
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3)
        uvicorn.Server(config).run(sockets=[listening])
