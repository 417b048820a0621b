"""Every page, wide and narrow, light and dark: nothing sticks out, nothing fails, axe-core finds nothing grave.

SHOTS=DIR keeps a picture of each.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from agent.conversation.chat import reply
from agent.pipeline.desk import desk_of
from agent.store.tables import Incident, Report
from tests.browser.conftest import Served, Tab
from tools.context import Caller

WIDTHS = (1440, 360)


@pytest.fixture(scope="module")
def paths(served: Served) -> list[str]:
    """Every page of a workspace in which something is wrong."""
    place = served.place
    proposal = place.go_wrong()
    ann = Caller("ann", "person", None, may_propose=True)
    talk = reply(desk_of(place.services), "web:test", "How did the performance of churn develop?", ann).conversation
    with place.services.store.read() as session:
        report = session.scalars(select(Report.id)).first()
        incidents = session.scalars(select(Incident.id).order_by(Incident.opened_at)).all()
    return [
        "/", "/models/churn", "/models/bike-demand", "/models/idle", "/incidents",
        *(f"/incidents/{one}" for one in incidents), "/approvals", f"/approvals/{proposal}", "/reports",
        f"/reports/{report}", "/chat", f"/chat/{talk}", "/activity", "/alerts", "/settings", "/settings/models/churn",
        "/profile", "/models/churn/predict", "/nowhere", "/offline",
    ]  # fmt: skip


@pytest.mark.timeout(600)  # two dozen pages, light and dark, each with axe
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page(served: Served, paths: list[str], tab: Callable[..., Tab], width: int) -> None:
    """Each page is opened light, and turns dark as it does at sunset: colours are all that differs."""
    window, faults = tab("ann", width=width), []
    for path in paths:
        window.errors.clear()
        page = window.go(path)
        for dark in (False, True):
            window.turn(dark)
            page.locator("[hx-trigger='load'] .loading").first.wait_for(state="detached")
            look = f"{path} ({'dark' if dark else 'light'})"
            if wide := window.overflow():
                faults.append(f"{look} is {wide} px too wide: {window.widest()}")
            faults += [f"{look}: {said}" for said in window.axe(["color-contrast"] if dark else None)]
            keep_shot(page, path, width, dark)
        faults += [f"{path}: {said}" for said in window.errors if "404" not in said]
        window.turn(False)
    assert not window.foreign
    assert not faults, "\n".join(faults)


def keep_shot(page: Any, path: str, width: int, dark: bool) -> None:
    if folder := os.environ.get("SHOTS"):
        name = path.strip("/").replace("/", "-") or "watch"
        page.screenshot(path=Path(folder) / f"{name}-{width}-{'dark' if dark else 'light'}.png", full_page=width < 500)


def test_signing_in_and_the_pages_of_nobody(tab: Callable[..., Tab]) -> None:
    for width in WIDTHS:
        window = tab(None, width=width)
        page = window.go("/")
        assert page.url.startswith(window.address + "/sign-in")
        for dark in (False, True):
            window.turn(dark)
            assert window.overflow() == 0
            assert window.axe() == []
        assert window.errors == []
