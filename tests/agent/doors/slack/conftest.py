"""A Slack of each test's own, on a loopback port."""

from __future__ import annotations

import pytest
from slack_sdk import WebClient

from agent.doors.slack.loopback.server import LoopbackSlack
from agent.store.migrate import upgrade
from agent.store.session import Store


@pytest.fixture
def slack():
    """ann, ben and cat in #churn, with the app; `slack` is the whole workspace (see LoopbackSlack)."""
    with LoopbackSlack() as made:
        for name in ("ann", "ben", "cat"):
            made.add_user(name)
        made.add_channel("#churn", "ann", "ben", "cat")
        yield made


@pytest.fixture
def client(slack):
    """The real client, with the app's token."""
    return WebClient(slack.bot_token, base_url=slack.api_url, timeout=10)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A migrated SQLite file, made once and copied for each test."""
    path = tmp_path_factory.mktemp("empty") / "watchkeeper.db"
    store = Store(f"sqlite:///{path}")
    upgrade(store)
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    return path


@pytest.fixture
def store(empty_database, tmp_path):
    """A database of the test's own."""
    (tmp_path / "watchkeeper.db").write_bytes(empty_database.read_bytes())
    made = Store(f"sqlite:///{tmp_path / 'watchkeeper.db'}")
    yield made
    made.close()
