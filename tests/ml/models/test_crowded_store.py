"""More ask the registry at once than its store has connections."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from ml.errors import Unavailable
from ml.models.registry import Registry


def test_a_store_without_a_free_connection_is_out_of_reach_and_no_refusal(tmp_path, monkeypatch):
    registry = Registry(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert registry.alias("churn", "champion") is None
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    engine = SqlAlchemyStore._engine_map[registry.uri]
    monkeypatch.setattr(engine.pool, "_timeout", 0.1)
    with ExitStack() as held:
        for _ in range(engine.pool.size() + engine.pool._max_overflow):
            held.enter_context(engine.connect())
        with pytest.raises(Unavailable, match="QueuePool limit"):
            registry.alias("churn", "champion")
    assert registry.alias("churn", "champion") is None
