"""Every commit to a registry is seen, by whomever, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.models.changes import Changes
from ml.models.registry import Registry


@pytest.fixture
def changes(registry: Registry) -> Changes:
    registry.store.ask(lambda client: client.search_registered_models(max_results=1))
    changes = Changes(registry.uri)
    changes.since_last_asked()
    return changes


def test_a_commit_is_seen_once_and_a_question_is_none(registry: Registry, changes: Changes) -> None:
    assert not changes.since_last_asked()
    registry.store.ask(lambda client: client.create_registered_model("changes"))
    assert changes.since_last_asked()
    assert not changes.since_last_asked()
    registry.store.ask(lambda client: client.search_registered_models(max_results=10))
    assert not changes.since_last_asked()
    registry.store.ask(lambda client: client.set_registered_model_tag("changes", "a", "b"))
    assert changes.since_last_asked()
    changes.close()


def test_a_file_that_is_away_broken_or_put_back_is_a_change(tmp_path: Path) -> None:
    import sqlite3

    def database(path: Path) -> Path:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE t (x)")
        connection.close()
        return path

    path = database(tmp_path / "mlflow.db")
    changes = Changes(f"sqlite:///{path}")
    assert changes.since_last_asked()
    assert not changes.since_last_asked()
    path.rename(tmp_path / "elsewhere")
    assert changes.since_last_asked()
    assert changes.since_last_asked(), "as long as it is away"
    assert not path.exists(), "looking does not make it"
    database(tmp_path / "other").rename(path)
    assert changes.since_last_asked()
    assert not changes.since_last_asked()
    path.write_bytes(b"broken" * 1000)
    assert changes.since_last_asked()
    changes.close()


def test_of_a_server_it_cannot_be_told() -> None:
    changes = Changes("http://127.0.0.1:1")
    assert not changes.cheap
    assert [changes.since_last_asked() for _ in range(2)] == [True, True]
