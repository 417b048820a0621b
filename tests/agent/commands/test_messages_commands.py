"""`doctor messages`, `delivery test|list|retry`, `preferences`: what somebody who installs it sees, right and wrong."""

from __future__ import annotations

import base64
import socket
from dataclasses import replace

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

from agent.commands.delivery import list_deliveries, render_deliveries, render_preferences, retry, set_preferences
from agent.commands.messages import examine
from agent.commands.trying import render_tested, send_test
from agent.domain.errors import InvalidInput
from agent.domain.notifying import parse_notifications
from agent.pipeline.channels import channels
from agent.pipeline.letters import COMPOSERS
from agent.pipeline.notify import deliver_due
from agent.settings import FILE
from agent.store.changes import promise
from agent.store.migrate import upgrade
from agent.store.session import Store

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def database_url(tmp_path):
    return f"sqlite:///{tmp_path / 'watchkeeper.db'}"


@pytest.fixture(scope="module")
def smtp():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port = made.getsockname()[1]
    controller = Controller(Sink(), hostname="127.0.0.1", port=port)
    controller.start()
    yield f"smtp://127.0.0.1:{port}"
    controller.stop()


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_the_doctor_names_each_way_with_its_cause_and_cure(tmp_path, monkeypatch, smtp):
    monkeypatch.delenv("WATCHKEEPER_HOME")
    (tmp_path / FILE).write_text("", encoding="utf-8")
    store = Store(f"sqlite:///{tmp_path / 'watchkeeper.db'}")
    upgrade(store)
    store.close()

    def found(routes, **settings):
        (tmp_path / "notifications.yaml").write_text(routes, encoding="utf-8")
        with monkeypatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(f"WATCHKEEPER_{name}", value)
            result = examine(tmp_path)
        return result["exit_code"], {check["name"]: check for check in result["checks"]}

    code, checks = found("")
    assert (code, checks["mail"]["says"]) == (0, "not set up (WATCHKEEPER_SMTP_URL)")
    code, checks = found("routes:\n  - {to: mial}")
    assert (code, "notifications.yaml:2: routes.0.to" in checks["routes"]["says"]) == (2, True)
    code, checks = found("routes: [{to: mail, address: a@example.com}, {to: slack}]")
    assert (code, checks["mail"]["ok"], checks["slack"]["ok"]) == (2, False, False)
    code, checks = found("routes: [{to: mail, address: a@example.com}]", SMTP_URL="mail.example.com")
    assert (code, "write it as smtp://" in checks["mail"]["says"]) == (2, True)
    code, checks = found("", SMTP_URL="smtp://127.0.0.1:1")
    assert (code, "127.0.0.1:1" in checks["mail"]["says"]) == (3, True)
    hooks = 'webhooks: {a: {url: "http://127.0.0.1:9/"}}\napprise: {b: {url: "nothing://x"}, c: {url: "json://h"}}'
    code, checks = found(hooks, SMTP_URL=smtp, ALERTS_SECRET="short")
    assert code == 2
    assert {name for name, check in checks.items() if not check["ok"]} == {"webhook a", "apprise b", "inbound"}
    assert "WATCHKEEPER_WEBHOOK_SECRET" in checks["webhook a"]["says"]
    code, checks = found(hooks.replace("nothing", "json"), WEBHOOK_SECRET=SECRET, ALERTS_SECRET=SECRET, SMTP_URL=smtp)
    assert (code, [name for name, check in checks.items() if not check["ok"]]) == (0, [])
    assert SECRET not in str(checks)


@pytest.fixture
def workspace(bench, smtp):
    routes = parse_notifications("routes: [{to: mail, address: a@example.com}, {to: mail, address: b@example.com}]")
    made = channels(bench.services.home, lambda: routes, bench.services.wall, smtp_url=smtp)
    return replace(bench.services, channels=made, composers=COMPOSERS, notifications=lambda: routes)


def test_a_message_can_be_tried_at_once(workspace, capsys):
    done = send_test(workspace, None, None)
    assert (done["exit_code"], [item["address"] for item in done["tried"]]) == (0, ["a@example.com", "b@example.com"])
    assert send_test(workspace, "mail", "nobody")["exit_code"] == 2
    done = send_test(workspace, "slack", "#a")
    render_tested(done)
    assert (done["exit_code"], "SLACK_BOT_TOKEN" in capsys.readouterr().out) == (2, True)
    with pytest.raises(InvalidInput, match="none of slack, mail"):
        send_test(workspace, "fax", "1")


def test_what_failed_is_seen_cured_and_sent_again(workspace, bench, capsys):
    broken = replace(workspace, channels={})
    with bench.services.store.write() as session:
        promise(session, key="k:1", recipient="#a", title="churn: [red] fell", body="b", subject="s", at=bench.clock())
    deliver_due(broken)
    listed = list_deliveries(workspace, state="failed", channel=None, limit=10)
    render_deliveries(listed)
    out = capsys.readouterr().out
    assert "1 delivered, 2 failed" in out
    assert "churn: [red] fell" in out
    assert "set WATCHKEEPER_SMTP_URL" in out
    assert retry(workspace, None, failed=True, channel="mail") == {"again": 2}
    assert deliver_due(workspace) == 2
    assert list_deliveries(workspace, state=None, channel=None, limit=10)["counts"] == {"delivered": 3}
    with pytest.raises(InvalidInput, match="none of waiting"):
        list_deliveries(workspace, state="lost", channel=None, limit=10)


def test_wishes_are_set_by_parts(workspace, capsys):
    set_preferences(workspace, "ann", {"channels": {"mail": "ann@example.com"}, "quiet": "22:00-07:00"})
    kept = set_preferences(workspace, "ann", {"channels": {"slack": "U0123ABCD"}, "digest": "1d", "quiet": None})
    render_preferences(kept)
    assert kept["ann"]["channels"] == {"mail": "ann@example.com", "slack": "U0123ABCD"}
    assert (kept["ann"]["quiet"], kept["ann"]["digest"]) == ("22:00-07:00", "1d")
    assert "every 1d" in capsys.readouterr().out
    kept = set_preferences(workspace, "ann", {"channels": {"mail": ""}})
    assert kept["ann"]["channels"] == {"slack": "U0123ABCD"}
