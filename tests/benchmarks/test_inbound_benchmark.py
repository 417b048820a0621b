"""2,000 alerts with 60 % repeated, as `make bench-alerts` sends 10,000: none is lost, each key is one incident."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.doors.api.app import create_app
from agent.pipeline import inbox, outside
from agent.pipeline.notify import deliver_due
from agent.store.tables import Alert
from benchmarks.inbound.run import SECRET, counted
from benchmarks.inbound.stream import stream
from tests.agent.conftest import bench, registry_template  # noqa: F401 (fixtures)
from tests.agent.doors.conftest import Browser


@pytest.mark.parametrize("keys", [40])
def test_two_thousand_alerts_are_all_there_and_each_key_is_one_incident(bench, keys):  # noqa: F811
    services = replace(bench.services, alerts_secrets=(SECRET,))
    door, sent = Browser(create_app(services)), stream(2_000, keys=keys, together=8)
    headers = {"authorization": f"Bearer {SECRET}"}
    for body in sent.bodies:
        assert door.post("/api/v1/webhooks/alertmanager", content=body, headers=headers).status_code == 202
    inbox.work_due(services, outside.HANDLERS)
    assert counted(services.store, sent) == {"kept": sent.fingerprints, "incidents": keys, "lost": 0}
    assert deliver_due(services) == keys
    with services.store.read() as session:
        assert {alert.model for alert in session.query(Alert)} == {""}
