"""The real Alertmanager as the sender: firing, grouped, tried again while we are down, resolved.

Needs Debian's package prometheus-alertmanager; skips, with the reason, where it is not installed.
"""

from __future__ import annotations

import base64
import contextlib
import re
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn
import yaml
from sqlalchemy import select

from agent.doors.api.app import create_app
from agent.doors.inbound import Workers
from agent.pipeline import outside
from agent.store.tables import Alert, Incident

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "alerts-from-others.md"
BINARY = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
PATIENCE = 40.0

pytestmark = pytest.mark.skipif(
    BINARY is None, reason="no Alertmanager here; on Debian: apt install prometheus-alertmanager"
)


@pytest.fixture
def database_url(tmp_path):
    return f"sqlite:///{tmp_path / 'watchkeeper.db'}"


def free_port():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


class Us:
    """Our door on a real port, which can be shut and opened again."""

    def __init__(self, services, port):
        self.services, self.port = services, port
        self.workers = Workers(services, outside.HANDLERS, urgent=0, others=2).start()

    @contextlib.contextmanager
    def open(self):
        app = create_app(self.services, wake=self.workers.wake)
        server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            until(lambda: server.started)
            yield
        finally:
            server.should_exit = True
            thread.join()


def until(what):
    end = time.monotonic() + PATIENCE
    while not (found := what()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
    return found


@pytest.fixture
def us(bench):
    made = Us(replace(bench.services, alerts_secrets=(SECRET,), wall=lambda: datetime.now(UTC)), free_port())
    yield made
    made.workers.stop()


@pytest.fixture
def alertmanager(us, tmp_path):
    """A function that tells Alertmanager of alerts, as Prometheus does."""
    (tmp_path / "secret").write_text(SECRET)
    (shown,) = re.findall(r"^```yaml\n(route:.+?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    wanted = yaml.safe_load(shown)  # what people copy, but for the address, the place of the secret, and the hurry
    (hook,) = wanted["receivers"][0]["webhook_configs"]
    hook["url"] = hook["url"].replace("https://watch.example.com", f"http://127.0.0.1:{us.port}")
    hook["http_config"]["authorization"]["credentials_file"] = str(tmp_path / "secret")
    wanted["route"] |= {"group_wait": "500ms", "group_interval": "1s", "repeat_interval": "1h"}
    config = tmp_path / "alertmanager.yml"
    config.write_text(yaml.safe_dump(wanted))
    port = free_port()
    command = [
        BINARY, f"--config.file={config}", f"--storage.path={tmp_path / 'am'}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--log.level=error",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        address = f"http://127.0.0.1:{port}"

        def is_ready():
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{address}/-/ready").is_success
            return False

        def tell(*names, resolved=False, **labels):
            now = datetime.now(UTC)
            alerts = [
                {
                    "labels": {"alertname": name.partition("/")[0], "instance": name, **labels},
                    "annotations": {"summary": f"{name} is slow"},
                    "startsAt": (now - timedelta(minutes=5)).isoformat(),
                    **({"endsAt": (now - timedelta(seconds=1)).isoformat()} if resolved else {}),
                }
                for name in names
            ]
            httpx.post(f"{address}/api/v2/alerts", json=alerts).raise_for_status()

        try:
            until(is_ready)
            yield tell
        finally:
            process.terminate()


def test_firing_grouped_told_again_after_we_were_down_and_resolved(us, alertmanager):
    def seen():
        with us.services.store.read() as session:
            incidents = session.scalars(select(Incident).order_by(Incident.opened_at, Incident.id)).all()
            alerts = session.scalars(select(Alert)).all()
            return incidents, {alert.labels["instance"]: alert.cleared_at is None for alert in alerts}

    with us.open():
        alertmanager("Slow/a", "Slow/b", "Full/c")
        until(lambda: len(seen()[1]) == 3)
        incidents, _ = seen()
        assert sorted((one.model, one.state) for one in incidents) == [("", "open"), ("", "open")]
        alertmanager("Wrong/m", model="churn", severity="critical")
        until(lambda: len(seen()[0]) == 3)
        assert [(one.model, one.severity) for one in seen()[0] if one.model] == [("churn", "critical")]
    alertmanager("Slow/a", "Slow/b", "Full/c", resolved=True)
    alertmanager("Late/d")
    time.sleep(1.5)  # it tries, and nobody is there
    assert len(seen()[1]) == 4
    with us.open():
        until(lambda: len(seen()[1]) == 5 and sum(seen()[1].values()) == 2)
        alertmanager("Wrong/m", model="churn", severity="critical", resolved=True)
        until(lambda: sum(seen()[1].values()) == 1)
    incidents, firing = seen()
    assert [instance for instance, fires in firing.items() if fires] == ["Late/d"]
    assert sorted((one.model, one.state) for one in incidents) == [
        ("", "open"), ("", "resolved"), ("", "resolved"), ("churn", "resolved"),
    ]  # fmt: skip
