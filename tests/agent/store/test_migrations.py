"""The migrations make the tables that the code declares, on both databases, and a database behind is refused."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from agent.domain.errors import InvalidInput, Unavailable
from agent.store.migrate import require_current, revisions, upgrade
from agent.store.session import Store
from agent.store.tables import Base


def test_the_migrated_tables_are_the_declared_ones(database_url):
    store = Store(database_url)
    upgrade(store)
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"target_metadata": Base.metadata})
        assert compare_metadata(context, Base.metadata) == []
    require_current(store)
    store.close()


def test_an_empty_database_says_what_to_run(database_url):
    store = Store(database_url)
    assert revisions(store)[0] is None
    with pytest.raises(Unavailable, match=r"has no tables yet; run `watchkeeper db upgrade`"):
        require_current(store)
    store.close()


def test_an_unreachable_database_is_named_without_its_password():
    store = Store("postgresql://me:secret@127.0.0.1:1/none")
    with pytest.raises(Unavailable, match="cannot be used") as caught:
        revisions(store)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y"])
def test_an_address_of_another_kind_is_refused(url):
    with pytest.raises(InvalidInput):
        Store(url)
