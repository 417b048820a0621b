"""What the API promises beside its routes: keys that do a POST once, ETags, people and tokens, bounds on callers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from agent.domain.errors import Conflict, InvalidInput, TooMany
from agent.doors import idempotency
from agent.doors.limits import Limits
from agent.store.tables import AuditEvent, KeptAnswer
from tests.agent.doors.signing.conftest import PASSWORD, Place, Visitor, bearer
from tests.agent.doors.test_api import repair

pytestmark = pytest.mark.usefixtures("fast_passwords")
FREEZE = "/api/v1/freeze"
BOTH = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """SQLite, but where a test is about who is first."""
    if getattr(request, "param", "sqlite") == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'watchkeeper.db'}"


def admin_of(place: Place) -> Visitor:
    return with_csrf(place.signed_in(place.person("root", "admin")))


def with_csrf(browser: Visitor) -> Visitor:
    page = browser.get("/profile").text
    browser.headers["x-csrf-token"] = page.split('name="csrf" value="')[1].split('"')[0]
    return browser


def events(place: Place) -> int:
    with place.services.store.read() as session:
        return session.scalar(select(func.count()).select_from(AuditEvent).where(AuditEvent.event == "frozen"))


@BOTH
def test_the_same_key_does_it_once_and_answers_the_same(place: Place, clock) -> None:
    root = admin_of(place)
    sent: dict[str, Any] = {"json": {"reason": "moving"}, "headers": {"idempotency-key": "k1"}}
    first, again = root.post(FREEZE, **sent), root.post(FREEZE, **sent)
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert "idempotent-replay" not in first.headers
    assert again.headers["idempotent-replay"] == "true"
    assert events(place) == 1
    other = root.post(FREEZE, json={"reason": "another"}, headers={"idempotency-key": "k1"})
    assert (other.status_code, events(place)) == (422, 1)
    ann = with_csrf(place.signed_in(place.person("ann", "operator")))
    assert ann.post(FREEZE, **sent).json()["by"] == "ann", "a key is nobody else's"
    clock.advance("25h")
    root = with_csrf(place.signed_in(place.person("late", "admin")))
    assert root.post(FREEZE, **sent).json()["by"] == "late"
    assert place.visitor().post(FREEZE, **sent).status_code == 401, "and no answer is given to who may not ask"


@BOTH
def test_of_many_at_once_one_does_it(place: Place) -> None:
    person = place.person("root", "admin")
    browsers = [with_csrf(place.signed_in(person)) for _ in range(6)]
    sent: dict[str, Any] = {"json": {"reason": "moving"}, "headers": {"idempotency-key": "k1"}}
    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(lambda browser: browser.post(FREEZE, **sent).status_code, browsers))
    assert set(codes) <= {200, 409}
    assert 200 in codes
    assert events(place) == 1


@BOTH
def test_what_failed_may_be_tried_again_and_what_hangs_is_waited_for(place: Place, clock) -> None:
    root = admin_of(place)
    key = {"idempotency-key": "k1"}
    assert root.post(FREEZE, json={"reason": " "}, headers=key).status_code == 422
    assert root.post(FREEZE, json={"reason": "now"}, headers=key).status_code == 200
    assert idempotency._begin(place.services, "n", "w") is None
    with pytest.raises(Conflict, match="still at work"):
        idempotency._begin(place.services, "n", "w")
    with pytest.raises(InvalidInput, match="another request"):
        idempotency._begin(place.services, "n", "x")
    clock.advance("6m")
    assert idempotency._begin(place.services, "n", "w") is None, "the first was cut off"
    clock.advance("25h")
    assert idempotency._begin(place.services, "m", "w") is None
    with place.services.store.read() as session:
        assert session.scalar(select(func.count()).select_from(KeptAnswer)) == 1, "old answers are not kept"


def test_an_answer_that_is_known_is_not_sent_again(place: Place) -> None:
    browser = place.visitor()
    first = browser.get("/api/v1/models")
    tag = first.headers["etag"]
    again = browser.get("/api/v1/models", headers={"if-none-match": f'"x", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert browser.get("/api/v1/models", headers={"if-none-match": '"x"'}).status_code == 200


def test_people_are_added_changed_and_shut_out_over_the_api(place: Place) -> None:
    root = admin_of(place)
    made = root.post("/api/v1/people", json={"name": "ann", "role": "operator"})
    assert made.status_code == 201, made.text
    assert "/set-up?for=password&code=" in made.json()["link"]
    path = f"/api/v1/people/{made.json()['id']}"
    read = root.get(path)
    stale = read.headers["etag"]
    changed = root.patch(path, json={"role": "approver"}, headers={"if-match": stale})
    assert (changed.status_code, changed.json()["role"]) == (200, "approver")
    lost = root.patch(path, json={"role": "viewer"}, headers={"if-match": stale})
    assert (lost.status_code, root.get(path).json()["role"]) == (412, "approver")
    out = root.patch(path, json={"active": False}, headers={"if-match": changed.headers["etag"]})
    assert out.json()["active"] is False
    assert root.patch("/api/v1/people/root", json={"role": "viewer"}).status_code == 409, "the only admin"
    assert {one["name"] for one in root.get("/api/v1/people").json()["items"]} == {"ann", "root"}
    assert root.post("/api/v1/people", json={"name": "ANN"}).status_code == 409


def test_a_token_is_made_within_ones_role_and_ends(place: Place) -> None:
    ann = with_csrf(place.signed_in(place.person("ann", "operator")))
    assert ann.post("/api/v1/tokens", json={"name": "CI", "scopes": ["decide"]}).status_code == 403
    assert ann.post("/api/v1/tokens", json={"name": "CI", "days": 999}).status_code == 422
    made = ann.post("/api/v1/tokens", json={"name": "CI", "scopes": ["read", "propose"], "models": ["churn"]}).json()
    program = place.visitor(headers={"authorization": f"Bearer {made['token']}"})
    me = program.get("/api/v1/me").json()
    assert (me["name"], me["kind"], me["scopes"], me["models"]) == ("ann", "token", ["propose", "read"], ["churn"])
    assert program.post("/api/v1/tokens", json={"name": "more"}).status_code == 403
    assert "token" not in ann.get("/api/v1/tokens").json()["items"][0]
    ben = with_csrf(place.signed_in(place.person("ben", "approver")))
    assert ben.get("/api/v1/tokens").json()["items"] == []
    assert ben.delete(f"/api/v1/tokens/{made['id']}").status_code == 404
    assert ann.delete(f"/api/v1/tokens/{made['id']}").json()["state"] == "revoked"
    assert program.get("/api/v1/me").status_code == 401


def test_every_list_is_paged(place: Place) -> None:
    root = admin_of(place)
    for name in ("ann", "Ben", "cid"):
        place.person(name)
        place.token(name, "read")
    for path, key in (("people", "name"), ("tokens", "person"), ("models", "name")):
        whole = root.get(f"/api/v1/{path}").json()
        assert whole["next"] is None
        found: list[dict[str, Any]] = []
        cursor, pages = None, 0
        while pages == 0 or cursor is not None:
            page = root.get(f"/api/v1/{path}", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
            found, cursor, pages = [*found, *page["items"]], page["next"], pages + 1
            assert len(page["items"]) <= 2
        assert found == whole["items"], path
        assert pages == (1 if path == "models" else 2)
        assert {one[key] for one in found} >= ({"churn"} if path == "models" else {"ann", "Ben", "cid"})
        for wrong in ("x", "W10", "WyJub2JvZHkiXQ", "e30"):
            assert root.get(f"/api/v1/{path}", params={"cursor": wrong}).status_code == 422, wrong


def test_a_token_is_for_one_door(place: Place) -> None:
    place.person("ann")
    other = place.token("ann", "read", audience="http://127.0.0.1:8002/mcp")
    assert place.visitor().get("/api/v1/me", headers=bearer(other)).status_code == 401
    assert place.visitor().get("/api/v1/me", headers=bearer(place.token("ann", "read"))).status_code == 200
    stranger = place.token("nobody here", "read")
    assert place.visitor().get("/api/v1/me", headers=bearer(stranger)).status_code == 401


def test_who_decides_is_who_is_signed_in_and_high_risk_asks_again(place: Place, clock) -> None:
    bench = place.bench
    low, high = bench.propose(repair(bench), incident=True), bench.propose(bench.rollback())
    with place.services.store.write() as session:
        from agent.store.tables import Proposal

        session.get_one(Proposal, high).risk = "high"
    ann = with_csrf(place.signed_in(place.person("ann", "approver", password=True)))
    as_other = ann.post(f"/api/v1/proposals/{low}/approve", json={"person": "ben"})
    assert as_other.status_code == 403
    assert "cannot act as 'ben'" in as_other.json()["detail"]
    done = ann.post(f"/api/v1/proposals/{low}/approve", json={})
    assert (done.status_code, done.json()["approvals"][0]["person"]) == (200, "ann")
    clock.advance("11m")
    stale = ann.post(f"/api/v1/proposals/{high}/approve", json={})
    assert (stale.status_code, stale.json()["type"]) == (403, "urn:watchkeeper:sign-in-again")
    made = place.token("ann", "read", "decide")
    assert place.visitor().post(f"/api/v1/proposals/{high}/approve", json={}, headers=bearer(made)).status_code == 403
    back = ann.form("/sign-in", {"name": "ann", "password": PASSWORD, "again": "1"}, page="/sign-in?again=true")
    assert back.status_code == 303
    fresh = with_csrf(ann).post(f"/api/v1/proposals/{high}/approve", json={})
    assert fresh.json().get("type") != "urn:watchkeeper:sign-in-again"


def test_a_browser_left_behind_lets_nobody_in_for_good(place: Place, clock) -> None:
    """Ten minutes after the sign-in no link, no role and no token that decides comes out of it; reading goes on."""
    root = with_csrf(place.signed_in(place.person("root", "admin", password=True)))
    ann = root.post("/api/v1/people", json={"name": "ann"})
    assert ann.status_code == 201
    clock.advance("11m")
    stale = [
        root.post("/api/v1/people", json={"name": "ben"}),
        root.patch("/api/v1/people/ann", json={"role": "admin"}),
        *(root.post("/api/v1/tokens", json={"name": one, "scopes": ["read", one]}) for one in ("admin", "decide")),
    ]
    assert [(one.status_code, one.json()["type"]) for one in stale] == [(403, "urn:watchkeeper:sign-in-again")] * 4
    for form in ("people", f"people/{ann.json()['id']}/link", f"people/{ann.json()['id']}/change"):
        answer = root.form(f"/settings/{form}", {"name": "cid", "role": "admin"}, page="/settings")
        assert (answer.status_code, answer.headers["location"][:13]) == (303, "/sign-in?next"), form
    assert {one["name"] for one in root.get("/api/v1/people").json()["items"]} == {"ann", "root"}
    assert root.post("/api/v1/tokens", json={"name": "reads", "scopes": ["read"]}).status_code == 201
    by_token = bearer(place.token("root", "read", "admin"))
    assert place.visitor().post("/api/v1/people", json={"name": "dan"}, headers=by_token).status_code == 201


def test_a_bucket_empties_fills_and_forgets_who_was_silent() -> None:
    now = [0.0]
    limits = Limits(1.0, 3, most=100, clock=lambda: now[0])
    for _ in range(3):
        limits.spend("a")
    with pytest.raises(TooMany) as told:
        limits.spend("a")
    assert told.value.wait == 1
    limits.spend("b")
    now[0] = 1.0
    limits.spend("a")
    with pytest.raises(TooMany):
        limits.spend("a")
    for number in range(10_000):
        limits.spend(f"n{number}")
    assert len(limits) == 100


def test_a_caller_who_asks_too_much_is_told_when_to_come_back(place: Place) -> None:
    ann = place.person("ann")
    place.app.state.limits = Limits(0.001, 5)
    browser, other = place.signed_in(ann), place.signed_in(place.person("ben"))
    codes = [browser.get("/api/v1/me").status_code for _ in range(7)]
    assert codes == [200] * 5 + [429] * 2
    told = browser.get("/api/v1/me")
    assert int(told.headers["retry-after"]) >= 1
    assert told.headers["content-type"] == "application/problem+json"
    assert other.get("/api/v1/me").status_code == 200, "others are not held up"


@pytest.mark.parametrize("spread", ["one address", "many addresses"])
def test_passwords_are_not_guessed_by_asking_often(place: Place, spread: str) -> None:
    place.person("ann", password=True)
    for limits in (place.app.state.attempts.address, place.app.state.attempts.account):
        limits.clock = lambda: 0.0  # however long the guesses take here
    codes = []
    for number in range(30):
        address = "10.0.0.1" if spread == "one address" else f"10.0.{number}.1"
        browser = place.visitor(client=(address, 1), headers={"x-forwarded-for": f"192.0.2.{number}"})
        codes.append(browser.sign_in("ann", f"guess number {number}").status_code)
    assert codes[-1] == 429
    late = place.visitor(client=("10.9.9.9", 1)).sign_in("ann")
    if spread == "one address":
        assert (codes.count(403), late.status_code) == (10, 303), "and its owner comes in elsewhere"
        return
    assert (codes.count(403), late.status_code) == (15, 429)
    assert timedelta(seconds=int(late.headers["retry-after"])) <= timedelta(minutes=1)


@pytest.mark.parametrize(
    "next",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/%09/evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
    ],
)
def test_nobody_is_sent_elsewhere(place: Place, next: str) -> None:
    place.person("ann", password=True)
    browser = place.visitor()
    answer = browser.sign_in("ann", next=next)
    assert answer.status_code == 303
    assert answer.headers["location"] in ("/", "/%09/evil.example")
    shown = browser.get("/sign-in", params={"next": next}, follow_redirects=False)
    assert shown.headers["location"] in ("/", "/%09/evil.example")


def test_a_sign_in_form_of_another_page_is_not_taken(place: Place) -> None:
    place.person("ann", password=True)
    data = {"name": "ann", "password": PASSWORD}
    browser = place.visitor()
    assert browser.post("/sign-in", data=data, follow_redirects=False).status_code == 403
    browser.get("/sign-in")
    assert browser.post("/sign-in", data={**data, "csrf": "x"}, follow_redirects=False).status_code == 403
    token = place.visitor().get("/sign-in").text.split('name="csrf" value="')[1].split('"')[0]
    assert browser.post("/sign-in", data={**data, "csrf": token}, follow_redirects=False).status_code == 403
    assert browser.sign_in("ann").status_code == 303
