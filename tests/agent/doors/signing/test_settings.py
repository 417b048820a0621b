"""Settings of people who have signed in: who is added, changed, shut out; tokens; what is wrong is said in place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agent.pipeline import people
from agent.store.tables import ApiToken, Person
from tests.agent.doors.signing.conftest import Place


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'watchkeeper.db'}"


def once(answer: Any) -> str:
    """What is shown this once."""
    found = re.search(r'class="code once">([^<]+)<', answer.text)
    return found.group(1).replace("&amp;", "&") if found else ""


def test_an_admin_adds_somebody_who_comes_in_by_the_link(place: Place) -> None:
    admin = place.signed_in(place.person("ann", "admin"))
    form = {"name": "dora", "role": "operator", "models": "churn-*, bikes"}
    made = admin.form("/settings/people", form, page="/settings")
    assert made.status_code == 200
    assert "set-up?for=password" in once(made)
    assert once(made) not in admin.get("/settings").text, "shown once"
    with place.services.store.read() as session:
        row = people.by_name(session, "dora")
        assert (row.role, row.models, row.created_by) == ("operator", ["bikes", "churn-*"], "ann")
    path = once(made).partition("8000")[2]
    code, words = path.rpartition("code=")[2], "a long watch at sea"
    typed = {"code": code, "for": "password", "password": words, "again": words}
    link = place.visitor().form("/set-up", typed, page=path)
    assert (link.status_code, link.headers.get("location")) == (303, "/profile")

    twice = admin.form("/settings/people", form, page="/settings")
    assert twice.status_code == 422
    assert "already" in twice.text
    assert 'value="dora"' in twice.text, "what was typed is still there"
    assert admin.form("/settings/people", {**form, "name": "eve", "role": "king"}, page="/settings").status_code == 422


def test_roles_change_in_place_and_the_last_admin_stays(place: Place) -> None:
    ann, ben = place.person("ann", "admin"), place.person("ben", "viewer")
    admin = place.signed_in(ann)
    changed = admin.form(f"/settings/people/{ben.id}/change", {"role": "approver", "models": ""}, page="/settings")
    assert changed.status_code == 303
    with place.services.store.read() as session:
        assert session.get_one(Person, ben.id).role == "approver"
    last = admin.form(f"/settings/people/{ann.id}/change", {"role": "viewer"}, page="/settings")
    assert last.status_code == 422
    assert "admin" in last.text
    assert admin.form(f"/settings/people/{ann.id}/active", {"active": "no"}, page="/settings").status_code == 409
    assert "set-up?for=password" in once(admin.form(f"/settings/people/{ben.id}/link", {}, page="/settings"))
    shut = admin.form(f"/settings/people/{ben.id}/active", {"active": "no"}, page="/settings")
    assert shut.status_code == 303
    with place.services.store.read() as session:
        assert not session.get_one(Person, ben.id).active


def test_a_token_is_made_within_a_role_shown_once_and_works(place: Place) -> None:
    ben = place.signed_in(place.person("ben", "viewer"))
    form = {"name": "CI", "scope_read": "yes", "days": "30"}
    made = ben.form("/settings/tokens", form, page="/settings")
    secret = once(made)
    assert secret.startswith("wk_")
    headers = {"authorization": f"Bearer {secret}"}
    assert place.visitor().get("/api/v1/me", headers=headers).json()["name"] == "ben"
    for wrong in ({"scope_decide": "yes"}, {"scope_king": "yes"}, {"name": ""}, {"days": "9999"}, {"days": "x"}):
        answer = ben.form("/settings/tokens", {**form, **wrong}, page="/settings")
        assert (answer.status_code, once(answer)) == (422, ""), wrong
        assert 'aria-invalid="true"' in answer.text, "said beside the form"
    with place.services.store.read() as session:
        assert session.query(ApiToken).count() == 1
    page = ben.get("/settings").text
    assert "scope_propose" not in page, "a viewer is not offered what they may not"
    assert "Add somebody" not in page
