"""One Delta table: made when first needed, appended to under compare-and-set, opened at any version.

Every append names the same application transaction, so that of two appends which saw the same version one fails
and looks again: what it decided on the rows that it saw (which ids are new) stays true when it lands.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.errors import DataError, NotFound, Unavailable

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from deltalake import DeltaTable

ATTEMPTS = 60
STUMP = 3  # files that one append writes at most: rows, a commit, and one under way
_SERIAL = "watchkeeper.append"


def is_local(uri: str) -> bool:
    return "://" not in uri or uri.startswith("file://")


class TypeChanged(DataError):
    """A column has another type than the table's, in every row."""


@dataclass(frozen=True)
class Batch:
    """Names an append, so that it happens once. A name may stand for a stream: each append of it then says the position
    up to which it goes, and one that goes no further than what has landed does nothing. table: the id of the table that
    it goes to, where one is known: another table, or none, in its place is then a log that is away."""

    name: str
    position: int = 1
    table: str | None = None


@dataclass(frozen=True)
class Table:
    """Where a table is, and how to reach it (`options` are the object store's)."""

    uri: str
    options: dict[str, str] | None = None

    def open(self, version: int | None = None) -> DeltaTable | None:
        """The table at a version, the newest by default; None where nothing was ever written.

        Raises: NotFound for a version that is not there (any more); Unavailable.
        """
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError

        try:
            return DeltaTable(self.uri, version=version, storage_options=self.options)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            if version is not None and not isinstance(error, OSError):
                raise NotFound(f"{self.uri}: there is no version {version} (any more); pin a newer one.") from None
            raise unavailable(self.uri, error) from None

    def create(self, schema: pa.Schema) -> DeltaTable:
        """The table, made with this schema (version 0, no rows) if there is none. Raises: Unavailable."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        opened = self.open()
        if opened is not None:
            return opened
        try:
            if is_local(self.uri):
                Path(self.uri.removeprefix("file://")).mkdir(parents=True, exist_ok=True)
            DeltaTable.create(
                self.uri,
                schema,
                mode="ignore",
                storage_options=self.options,
                configuration={"delta.setTransactionRetentionDuration": "interval 30 days"},
            )
        except (DeltaError, OSError) as error:
            opened = self.open()  # somebody else made it in between
            if opened is None:
                raise unavailable(self.uri, error) from None
        opened = self.open()
        if opened is None:
            raise Unavailable(f"{self.uri}: the table vanished while it was made; try again.")
        return opened

    def append(
        self, schema: pa.Schema, batch: Batch, new_rows: Callable[[DeltaTable], pa.Table | None]
    ) -> tuple[int, bool]:
        """Append what `new_rows` makes of the table as it is; again if another append came first.

        A batch that has landed before appends nothing. Returns the version that holds the rows, and whether
        this call wrote. Raises: Unavailable; DataError where a column's type is not the table's.
        """
        from deltalake import CommitProperties, Transaction, write_deltalake
        from deltalake.exceptions import CommitFailedError, DeltaError

        table = self._to_append(schema, batch)
        for attempt in range(ATTEMPTS):
            landed = table.transaction_version(f"batch:{batch.name}")
            if landed is not None and landed >= batch.position:
                return table.version(), False
            _same_types(table, schema)
            rows = new_rows(table)
            if rows is None or rows.num_rows == 0:
                return table.version(), False
            marks = [Transaction(_SERIAL, table.version() + 1), Transaction(f"batch:{batch.name}", batch.position)]
            try:
                write_deltalake(
                    table,
                    rows,
                    mode="append",
                    schema_mode="merge",
                    commit_properties=CommitProperties(app_transactions=marks),
                )
                self._is_kept(table.version())
                return table.version(), True
            except CommitFailedError:
                time.sleep(min(0.01 * 2**attempt, 0.25))
                table = self._to_append(schema, batch)
            except (DeltaError, OSError) as error:
                with contextlib.suppress(OSError):
                    self._remove_stump()
                raise unavailable(self.uri, error) from None
        raise Unavailable(f"{self.uri}: {ATTEMPTS} other writers came first; try again.")

    def has(self, batch: Batch) -> bool:
        """Whether a batch has landed, at its position or a later one. Raises: Unavailable."""
        table = self.open()
        return table is not None and (table.transaction_version(f"batch:{batch.name}") or 0) >= batch.position

    def rewrite(self, make: Callable[[DeltaTable], pa.Table]) -> None:
        """Put what `make` makes of the table in place of its rows, unless something was appended meanwhile: then the
        table stays as it is, for another time. Raises: Unavailable."""
        from deltalake import CommitProperties, Transaction, write_deltalake
        from deltalake.exceptions import CommitFailedError, DeltaError

        table = self.open()
        if table is None:
            return
        marks = [Transaction(_SERIAL, table.version() + 1)]
        try:
            rows = make(table)
            if rows.num_rows:
                write_deltalake(
                    table, rows, mode="overwrite", commit_properties=CommitProperties(app_transactions=marks)
                )
        except CommitFailedError:
            return
        except (DeltaError, OSError) as error:
            raise unavailable(self.uri, error) from None

    def _to_append(self, schema: pa.Schema, batch: Batch) -> DeltaTable:
        if batch.table is None:
            return self.create(schema)
        table = self.open()
        if table is None or str(table.metadata().id) != batch.table:
            what = "is gone" if table is None else "is another one now"
            raise Unavailable(
                f"{self.uri}: the table that was here {what}; give back the prediction log that was there."
            )
        return table

    def _is_kept(self, version: int) -> None:
        """Raises: Unavailable where the folder vanished while it was written to."""
        if is_local(self.uri) and not (self._folder / "_delta_log" / f"{version:020d}.json").exists():
            raise Unavailable(f"{self.uri}: the table vanished while it was written to; give it back.")
        self._remove_stump()

    def _remove_stump(self) -> None:
        """A folder that vanished while it was written to is made anew by that, with nothing in it but what was being
        written: no table, and in the way of the one that is given back. Raises: Unavailable where that was so."""
        log = self._folder / "_delta_log"
        if not is_local(self.uri) or (log / f"{0:020d}.json").exists() or (log / "_last_checkpoint").exists():
            return
        if self._folder.exists() and sum(path.is_file() for path in self._folder.rglob("*")) <= STUMP:
            shutil.rmtree(self._folder)
            for parent in list(self._folder.parents)[:2]:  # of the model, of the log; not where something is in them
                with contextlib.suppress(OSError):
                    parent.rmdir()
        raise Unavailable(f"{self.uri}: the table vanished while it was written to; give it back.")

    @property
    def _folder(self) -> Path:
        return Path(self.uri.removeprefix("file://"))


def _same_types(table: DeltaTable, schema: pa.Schema) -> None:
    """Refuse a column whose type is not the table's: Delta would turn numbers into text without a word."""
    import pyarrow as pa

    stored = pa.schema(table.schema())
    for field in schema:
        at = stored.get_field_index(field.name)
        if at >= 0 and stored.field(at).type != field.type:
            raise TypeChanged(
                f"{table.table_uri}: column {field.name!r} changed its type from {stored.field(at).type} to "
                f"{field.type}; give the feature another name, or the type that it had."
            )


def reach(uri: str) -> None:
    """A local log's folder is there or can be made. Raises: Unavailable where its parent is missing."""
    if is_local(uri):
        folder = Path(uri.removeprefix("file://"))
        if not folder.is_dir() and not folder.absolute().parent.is_dir():
            raise Unavailable(
                f"The prediction log has no place: {folder.absolute().parent} does not exist; "
                f"create it, mount it, or point LOG_URI elsewhere."
            )


def unavailable(uri: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"The prediction log at {uri} cannot be reached ({_reason(error)}); check LOG_URI and its rights."
    )


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(". ")


def files_between(table: DeltaTable, column: str, low: Any, high: Any) -> list[str]:
    """The table's files that may hold rows with `low <= column < high`, by the statistics in the Delta log."""
    return [
        file
        for file, least, most in files_with_bounds(table, column)
        if not (least is not None and high is not None and least >= high)
        and not (most is not None and low is not None and most < low)
    ]


def files_with_bounds(table: DeltaTable, column: str) -> list[tuple[str, Any, Any]]:
    """The table's files, with the least and the greatest value of a column in each; None where they are not known."""
    import pyarrow as pa

    files = table.file_uris()
    actions = pa.table(table.get_add_actions(flatten=True))
    names = set(actions.column_names)
    if f"min.{column}" not in names or f"max.{column}" not in names:
        return [(file, None, None) for file in files]
    by_name = {file.rsplit("/", 1)[-1]: file for file in files}
    bounds = (actions[f"{end}.{column}"].to_pylist() for end in ("min", "max"))
    paths = (by_name[path.rsplit("/", 1)[-1]] for path in actions["path"].to_pylist())
    return list(zip(paths, *bounds, strict=True))


def view(connection: duckdb.DuckDBPyConnection, name: str, table: DeltaTable, files: list[str] | None = None) -> bool:
    """Make the table a view in DuckDB: its Parquet files where they are local, else through the object store's reader.

    Returns whether there is any file; without one there is no view.
    """
    files = table.file_uris() if files is None else files
    if not files:
        return False
    if is_local(table.table_uri):
        listed = ", ".join("'" + file.removeprefix("file://").replace("'", "''") + "'" for file in files)
        connection.execute(f"CREATE OR REPLACE VIEW {name} AS FROM read_parquet([{listed}], union_by_name = true)")
    else:
        connection.register(name, table.to_pyarrow_dataset())
    return True
