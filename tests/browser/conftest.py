"""A real Chromium over a served workspace, made once for each worker; skipped only where there is no browser."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from agent.doors.api.app import create_app
from tests.browser.workspace import Place, furnish, make, reopen

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 60_000
"""Milliseconds that a condition may take on a busy machine."""
AXE = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser on a machine that does much else takes its time: what hangs is ended later than elsewhere."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def executable() -> str:
    """Chromium on this machine; CHROMIUM names another browser."""
    found = os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no Chromium was found ({', '.join(NAMES)}); set CHROMIUM to its path")
    return found


@pytest.fixture(scope="module")
def chromium(executable: str) -> Iterator[Any]:
    """The browser, for one file of tests: Playwright's loop runs as long, and no other may run beside it in this
    thread."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGS)
        yield browser
        browser.close()


class Served:
    """The application of a workspace on a port of this machine, in a thread of this process."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.app = create_app(place.services)
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        config = uvicorn.Config(
            self.app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
        self.server = uvicorn.Server(config)
        self.app.state.ending = lambda: self.server.should_exit
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        self.socket.close()


@pytest.fixture(scope="session")
def template(executable: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    """The furnished workspace, and until when its rows reach. The browser comes first: without one nothing is made."""
    folder = tmp_path_factory.mktemp("template") / "watch"
    place = furnish(make(folder))
    place.services.store.close()
    return folder, place.arrived


@pytest.fixture(scope="module")
def served(template: tuple[Path, datetime], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A copy in which `churn` is healthy and nobody has signed in yet, on a port of its own."""
    folder = tmp_path_factory.mktemp("workspace") / "watch"
    shutil.copytree(template[0], folder)
    server = Served(reopen(folder, template[1]))
    yield server
    server.stop()
    server.place.services.store.close()


class Tab:
    """A browser window of somebody, with what went wrong in it."""

    def __init__(self, context: Any, address: str) -> None:
        self.context, self.address = context, address
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._asked)

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} {message.location.get('url', '')}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.foreign.append(request.url)

    def go(self, path: str) -> Any:
        self.page.goto(self.address + path, wait_until="load")
        return self.page

    def turn(self, dark: bool) -> None:
        """Dark or light, as at sunset; colours fade into each other, and what moves for ever is not waited for. Nor is
        what Chromium holds back for a part that is not drawn: it never ends, and is not seen."""
        self.page.emulate_media(color_scheme="dark" if dark else "light")
        self.page.evaluate(
            """Promise.race([new Promise(over => setTimeout(over, 1500)), Promise.allSettled(document.getAnimations()
               .filter(one => one.effect.getComputedTiming().iterations !== Infinity).map(one => one.finished))])"""
        )

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        root = "document.documentElement"
        return int(self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth"))

    def widest(self) -> str:
        """The elements that stick out, for whoever has to mend it."""
        script = """[...document.querySelectorAll('body *')]
            .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
            .slice(0, 5).map(one => one.outerHTML.slice(0, 100)).join(' | ')"""
        return str(self.page.evaluate(script))

    def axe(self, rules: list[str] | None = None) -> list[str]:
        """What axe-core finds serious or critical; by some of its rules alone, where only their matter has changed."""
        if not self.page.evaluate("typeof window.axe === 'object'"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        options = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
        found = self.page.evaluate("options => axe.run(document, options)", options)
        return [
            f"{one['impact']} {one['id']}: {one['nodes'][0]['html'][:160]} {one['nodes'][0].get('failureSummary', '')}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]


@pytest.fixture
def tab(chromium: Any, served: Served) -> Iterator[Callable[..., Tab]]:
    """`tab("ann", width=360, dark=True)`: a window in which ann has signed in; None is nobody."""
    with contextlib.ExitStack() as stack:

        def open_tab(name: str | None = "ann", *, width: int = 1440, dark: bool = False, **options: Any) -> Tab:
            context = chromium.new_context(
                viewport={"width": width, "height": 800 if width > 500 else 740},
                color_scheme="dark" if dark else "light",
                has_touch=width < 500,
                reduced_motion="reduce",
                timezone_id="Europe/Berlin",
                bypass_csp=False,
                **options,
            )
            stack.callback(context.close)
            if name is not None:
                cookie = {"name": "watchkeeper", "value": served.place.sign_in(name), "url": served.address}
                context.add_cookies([cookie])
            return Tab(context, served.address)

        yield open_tab
