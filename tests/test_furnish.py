"""The tables that tests work on are those that Alembic makes."""

from __future__ import annotations

from sqlalchemy import inspect

from agent.store.migrate import revisions, upgrade
from agent.store.session import Store
from tests.furnish import furnish


def tables(store: Store) -> dict[str, list[str]]:
    found = inspect(store.engine)
    made = {}
    for name in found.get_table_names():
        columns = [f"{column['name']} {column['type']}" for column in found.get_columns(name)]
        indexes = [f"{index['name']} {index['column_names']} {index['unique']}" for index in found.get_indexes(name)]
        checks = [str(check["name"]) for check in found.get_check_constraints(name)]
        made[name] = [*columns, *sorted(indexes), *sorted(checks)]
    return made


def test_furnished_tables_are_those_of_the_migrations(database_url, tmp_path, request):
    made = []
    for number in range(2):
        url = database_url if number == 0 else _another(database_url, tmp_path, request)
        store = Store(url)
        furnish(store)
        current, newest = revisions(store)
        assert current == newest
        upgrade(store)
        made.append(tables(store))
        store.close()
    assert made[0] == made[1]
    assert len(made[0]) > 20


def _another(url, tmp_path, request):
    if url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'second.db'}"
    return request.getfixturevalue("postgres").create_database()
