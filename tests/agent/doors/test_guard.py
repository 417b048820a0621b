"""What a request must be to get past the door at all, signed in or not."""

from __future__ import annotations

import pytest

from agent.domain.addresses import is_loopback, split_bind
from agent.domain.errors import InvalidInput, NotAllowed
from agent.doors.guard import MOST_BYTES, only_this_machine
from tests.agent.doors.conftest import HOST, Browser


@pytest.mark.parametrize(
    ("bind", "host", "port"),
    [("127.0.0.1:8000", "127.0.0.1", 8000), ("[::1]:80", "::1", 80), ("localhost:1", "localhost", 1)],
)
def test_loopback_addresses_are_taken(bind: str, host: str, port: int) -> None:
    assert split_bind(bind) == (host, port)
    assert is_loopback(host)


@pytest.mark.parametrize(
    "bind", ["0.0.0.0:8000", "[::]:8000", "192.168.1.4:8000", "example.org:80", "127.0.0.1.evil.org:80"]
)
def test_addresses_that_others_can_reach_are_known(bind: str) -> None:
    assert not is_loopback(split_bind(bind)[0])


@pytest.mark.parametrize("bind", ["", "127.0.0.1", ":80", "127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:٣"])
def test_what_is_no_address_is_refused(bind: str) -> None:
    with pytest.raises(InvalidInput, match="not an address"):
        split_bind(bind)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8000", "10.0.0.1", "", "[::", "localhost.evil.example"]
)
@pytest.mark.parametrize("path", ["/", "/api/v1/models"])
def test_a_foreign_name_for_this_machine_is_refused(browser: Browser, host: str, path: str) -> None:
    answer = browser.get(path, headers={"host": host})
    assert answer.status_code == 403
    assert "churn" not in answer.text


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "127.5.5.5:1"])
def test_loopback_names_are_answered(browser: Browser, host: str) -> None:
    assert browser.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "https://127.0.0.1:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_others_cannot_write(browser: Browser, headers: dict[str, str]) -> None:
    body = {"person": "ann", "reason": "x"}
    assert browser.post("/api/v1/freeze", json=body, headers=headers).status_code == 403
    assert browser.post("/freeze", data=body, headers=headers).status_code == 403
    assert browser.api("/freeze")["frozen"] is False


@pytest.mark.parametrize("headers", [{}, {"origin": HOST, "sec-fetch-site": "same-origin"}])
def test_our_own_pages_and_programs_can(browser: Browser, headers: dict[str, str]) -> None:
    assert browser.post("/api/v1/freeze", json={"person": "ann", "reason": "x"}, headers=headers).status_code == 200


def test_a_body_is_bounded(browser: Browser) -> None:
    answer = browser.post("/api/v1/ask", content=b"x" * (MOST_BYTES + 1))
    assert answer.status_code == 413
    assert "fewer rows" in answer.json()["detail"]


def test_a_body_of_unsaid_length_is_bounded_too(browser: Browser) -> None:
    async def endless():
        for _ in range(MOST_BYTES // 2**20 + 2):
            yield b"x" * 2**20

    answer = browser.post("/api/v1/ask", content=endless(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/", "/api/v1/models", "/static/style.css", "/nowhere", "/api/v1/nowhere"])
def test_every_answer_forbids_foreign_and_inline_code(browser: Browser, path: str) -> None:
    headers = browser.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("times", [1, 2])
def test_the_busy_door_decides_as_the_other_and_remembers_only_who_may(times: int) -> None:
    def asked(method: str = "POST", **headers: str) -> None:
        named = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
        for _ in range(times):
            only_this_machine({"type": "http", "method": method, "scheme": "http", "headers": named})

    asked(host="127.0.0.1:8001")
    asked(host="localhost:8001", origin="http://localhost:8001", sec_fetch_site="same-origin")
    asked("GET", host="localhost:8001", origin="http://evil.example")
    for headers in (
        {"host": "evil.example"},
        {},
        {"host": "localhost:8001", "origin": "http://evil.example"},
        {"host": "localhost:8001", "sec_fetch_site": "cross-site"},
    ):
        with pytest.raises(NotAllowed):
            asked(**headers)
