"""OpenID Connect against a provider that speaks the real protocol with signed tokens, and one that lies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.domain.roles import Role
from agent.domain.signing import Provider, SignIn
from agent.pipeline import people
from tests.agent.conftest import Bench
from tests.agent.doors.signing.conftest import HOST, Place, Visitor
from tests.agent.doors.signing.provider import CLIENT, SECRET, IdentityProvider, identity_provider

pytestmark = pytest.mark.usefixtures("fast_passwords")


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """What is shown here is the protocol; the tables are tried on both databases elsewhere."""
    return f"sqlite:///{tmp_path / 'watchkeeper.db'}"


@pytest.fixture(scope="module")
def served() -> Iterator[IdentityProvider]:
    with identity_provider() as idp:
        yield idp


@pytest.fixture
def idp(served: IdentityProvider) -> IdentityProvider:
    served.person = {"sub": "s-1", "email": "ann@example.org", "email_verified": True}
    served.lies, served.codes = {}, {}
    return served


def place_with(bench: Bench, idp: IdentityProvider, **options: Any) -> Place:
    provider = Provider(idp.issuer, CLIENT, SECRET, "Example ID", **options)
    bench.clock.time = datetime.now(UTC)
    return Place(bench, sign_in=SignIn(provider=provider))


@pytest.fixture
def place(bench: Bench, idp: IdentityProvider) -> Place:
    return place_with(bench, idp, newcomers=Role.VIEWER)


def go(browser: Visitor, idp: IdentityProvider, query: str = "", change: Any = lambda url: url) -> Any:
    away = browser.get(f"/sign-in/oidc{query}", follow_redirects=False)
    assert away.status_code == 303, away.text
    back = change(idp.authorize(away.headers["location"]))
    return browser.get(back.removeprefix(HOST), follow_redirects=False)


def test_a_newcomer_comes_in_and_is_known_again(place: Place, idp: IdentityProvider) -> None:
    browser = place.visitor()
    page = browser.get("/sign-in?next=/incidents/i-1")
    assert "Continue with Example ID" in page.text
    back = go(browser, idp, "?next=/incidents/i-1")
    assert (back.status_code, back.headers["location"]) == (303, "/incidents/i-1")
    assert browser.who == "ann@example.org"
    idp.person["email"] = "renamed@example.org"
    other = place.visitor()
    assert go(other, idp).status_code == 303
    assert other.who == "ann@example.org", "known by the subject, not by a name that changes hands"


@pytest.mark.parametrize(
    "lies",
    [
        {"claims": {"iss": "https://evil.example"}},
        {"claims": {"aud": "another"}},
        {"claims": {"aud": [CLIENT, "another"], "azp": "another"}},
        {"claims": {"nonce": "replayed"}},
        {"claims": {"nonce": None}},
        pytest.param({"claims": {"exp": int(time.time()) - 3600}}, id="an hour too late"),  # one id in every worker
        {"claims": {"exp": None}},
        {"claims": {"sub": None}},
        {"claims": {"email_verified": False}},
        {"claims": {"email_verified": "true"}},
        {"claims": {"email": None}},
        {"signature": "none"},
        {"signature": "other key"},
        {"signature": "shared secret"},
    ],
    ids=str,
)
def test_a_token_that_is_not_right_lets_nobody_in(place: Place, idp: IdentityProvider, lies: dict[str, Any]) -> None:
    idp.lies = lies
    browser = place.visitor()
    answer = go(browser, idp)
    assert answer.status_code == 403, answer.text
    assert browser.who == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.replace("state=", "state=x"), "another browser"),
        (lambda url: url.replace("code=", "code=x"), "refused"),
        (lambda url: url.replace("code=", "nocode="), "no code"),
        (lambda url: url + "&error=access_denied", "access_denied"),
        (lambda url: url.split("&iss=")[0] + "&iss=https%3A%2F%2Fevil.example", "another provider"),
        (lambda url: url.split("?")[0], "another browser"),
    ],
)
def test_an_answer_that_was_changed_lets_nobody_in(place: Place, idp: IdentityProvider, change: Any, said: str) -> None:
    browser = place.visitor()
    answer = go(browser, idp, change=change)
    assert answer.status_code == 403
    assert said in answer.text
    assert browser.who == ""


def test_an_answer_is_for_the_browser_that_left_and_once(place: Place, idp: IdentityProvider) -> None:
    victim, attacker = place.visitor(), place.visitor()
    away = attacker.get("/sign-in/oidc", follow_redirects=False)
    back = idp.authorize(away.headers["location"]).removeprefix(HOST)
    assert victim.get(back, follow_redirects=False).status_code == 403, "signed in as somebody else without a word"
    assert attacker.get(back, follow_redirects=False).status_code == 303
    assert attacker.get(back, follow_redirects=False).status_code == 403, "a second time"


def test_who_is_not_known_stays_outside_where_nobody_new_may_come(bench: Bench, idp: IdentityProvider) -> None:
    place = place_with(bench, idp)
    browser = place.visitor()
    refused = go(browser, idp)
    assert refused.status_code == 403
    assert "an admin adds one" in refused.text
    place.person("ann@example.org", "approver")
    assert go(browser, idp).status_code == 303
    assert browser.who == "ann@example.org"


def test_an_account_with_a_password_is_not_taken_over_by_its_name(place: Place, idp: IdentityProvider) -> None:
    ann = place.person("ann@example.org", "admin", password=True)
    browser = place.visitor()
    assert go(browser, idp).status_code == 403
    idp.person["sub"] = "s-2"
    inside = place.signed_in(ann)
    leaving = inside.form("/profile/connect", page="/profile")
    there = leaving.headers["refresh"].partition("url=")[2]
    back = idp.authorize(there).removeprefix(HOST)
    assert place.visitor().get(back, follow_redirects=False).status_code == 403, "another browser cannot end it"
    assert inside.get(back, follow_redirects=False).status_code == 303
    assert go(browser, idp).status_code == 303, "connected by who they are"
    assert browser.who == "ann@example.org"


def test_groups_mean_roles_and_are_asked_each_time(bench: Bench, idp: IdentityProvider) -> None:
    place = place_with(bench, idp, roles_claim="groups", roles={"leads": Role.APPROVER, "ops": Role.OPERATOR})
    assert go(place.visitor(), idp).status_code == 403, "no group that means anything"
    for groups, role in ((["ops", "leads"], "approver"), ("ops", "operator")):
        idp.person["groups"] = groups
        assert go(place.visitor(), idp).status_code == 303
        with place.services.store.read() as session:
            assert people.by_name(session, "ann@example.org").role == role
    with place.services.store.write() as session:
        place.person("root", "admin")
    with place.services.store.write() as session:
        people.deactivate(session, place.services, people.by_name(session, "ann@example.org"), by="root")
    assert go(place.visitor(), idp).status_code == 403


def test_again_means_that_the_provider_has_asked_anew(place: Place, idp: IdentityProvider) -> None:
    browser = place.visitor()
    idp.lies = {"claims": {"auth_time": None}}
    assert go(browser, idp).status_code == 303
    assert go(browser, idp, "?again=true").status_code == 403, "nothing says when they typed their password"
    idp.lies = {"claims": {"auth_time": int(time.time()) - 3600}}
    assert go(browser, idp, "?again=true").status_code == 403
    idp.lies = {}
    away = browser.get("/sign-in/oidc?again=true", follow_redirects=False).headers["location"]
    assert "prompt=login" in away
    assert "max_age=0" in away
    assert go(browser, idp, "?again=true").status_code == 303


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
    ],
    ids=str,
)
def test_a_provider_that_is_another_or_unsafe_is_not_followed(bench: Bench, idp: IdentityProvider, document) -> None:
    idp.lies = {"document": document}
    place = place_with(bench, idp)
    away = place.visitor().get("/sign-in/oidc", follow_redirects=False)
    if away.status_code == 303:
        back = idp.authorize(away.headers["location"])
        browser = place.visitor()
        browser.cookies.update(away.cookies)
        away = browser.get(back.removeprefix(HOST), follow_redirects=False)
    assert away.status_code == 503


def test_a_provider_that_is_away_leaves_the_password(bench: Bench, idp: IdentityProvider) -> None:
    place = Place(bench, sign_in=SignIn(provider=replace(Provider("http://127.0.0.1:9", CLIENT), name="gone")))
    place.person("ann", password=True)
    browser = place.visitor()
    assert browser.get("/sign-in/oidc", follow_redirects=False).status_code == 503
    assert browser.sign_in("ann").status_code == 303
