"""Hourly profiles beside the prediction log: what is known of answers that are not kept row by row.

Two more tables of a model: `bins`, the bin sets that its watch compares in, and `profiles`, what was counted in them,
by hour and version. Counts are only ever added, once per batch; the profiles of an hour add up exactly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml.data.bins import BinSet
from ml.data.delta import Batch, Table, reach, unavailable
from ml.data.profiles import Profile, merge
from ml.results import Window

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
    from deltalake import DeltaTable

HOUR = timedelta(hours=1)
Key = tuple[datetime, str]


class ProfileLog:
    """The profiles under the address of a prediction log."""

    def __init__(self, uri: str, options: Mapping[str, str] | None = None) -> None:
        self.uri, self._options = uri, dict(options) if options else None

    def keep_bins(self, model: str, bins: BinSet) -> None:
        """From now on answers that are not kept are counted in these bins. Raises: Unavailable."""
        kept = self.bins(model)
        if kept is not None and kept.id == bins.id:
            return
        import pyarrow as pa

        schema = pa.schema({"sequence": pa.int64(), "bin_set": pa.string(), "document": pa.string()})

        def row(table: DeltaTable) -> pa.Table:
            position = table.version() + 1
            batch = {"sequence": [position], "bin_set": [bins.id], "document": [json.dumps(bins.to_dict())]}
            return pa.table(batch, schema)

        reach(self.uri)
        table = self._table(model, "bins")
        table.append(schema, Batch(bins.id, table.create(schema).version() + 1), row)

    def bins(self, model: str) -> BinSet | None:
        """The bin set that was kept last; None where there is none. Raises: Unavailable."""
        rows = self._rows(model, "bins")
        if not rows:
            return None
        return BinSet.from_dict(json.loads(max(rows, key=lambda row: int(row["sequence"]))["document"]))

    def append(self, model: str, profiles: Mapping[Key, Profile], batch: Batch) -> bool:
        """Add profiles by hour and version; whether they were added now. Raises: Unavailable."""
        import pyarrow as pa

        reach(self.uri)
        schema = _schema()
        rows = pa.table(_columns(profiles), schema)
        return self._table(model, "profiles").append(schema, batch, lambda _: rows)[1]

    def read(self, model: str, window: Window | None, bins: BinSet) -> dict[Key, Profile]:
        """Profiles in these bins by hour and version, of the hours that begin in the window (None: all).

        Hours that were counted in other bins are absent: they cannot be added. Raises: Unavailable.
        """
        found: dict[Key, list[Profile]] = {}
        import pyarrow.compute as pc

        wanted = pc.field("bin_set") == bins.id
        if window:
            wanted &= (pc.field("hour") >= window.start) & (pc.field("hour") < window.end)
        for row in self._rows(model, "profiles", wanted):
            profile = Profile.from_dict(json.loads(row["document"]), bins)
            found.setdefault((row["hour"], row["model_version"]), []).append(profile)
        return {key: merge(parts) for key, parts in found.items()}

    def total(self, model: str, window: Window | None, bins: BinSet) -> Profile:
        """What was answered in a window and not kept, in one profile: to be merged with that of the rows that were."""
        return merge([Profile.empty(bins), *self.read(model, window, bins).values()])

    def join(self, model: str) -> None:
        """Add up the profiles of each hour, version and bin set into one row. Raises: Unavailable."""
        table = self._table(model, "profiles")
        if table.open() is None:
            return
        kept = {row["bin_set"]: BinSet.from_dict(json.loads(row["document"])) for row in self._rows(model, "bins")}

        def joined(opened: DeltaTable) -> pa.Table:
            import pyarrow as pa

            rows = _listed(opened)
            known = [row for row in rows if row["bin_set"] in kept]
            others = [row for row in rows if row["bin_set"] not in kept]
            parts: dict[tuple[Key, str], list[Profile]] = {}
            for row in known:
                key = (row["hour"], row["model_version"]), row["bin_set"]
                parts.setdefault(key, []).append(Profile.from_dict(json.loads(row["document"]), kept[key[1]]))
            columns = [_columns({key: merge(profiles)}) for (key, _), profiles in parts.items()]
            columns += [{name: [value] for name, value in row.items()} for row in others]
            return pa.concat_tables([pa.table(column, _schema()) for column in columns])

        table.rewrite(joined)

    def _rows(self, model: str, name: str, wanted: pc.Expression | None = None) -> list[dict[str, Any]]:
        from deltalake.exceptions import DeltaError

        reach(self.uri)
        table = self._table(model, name)
        opened = table.open()
        if opened is None:
            return []
        try:
            return _listed(opened, wanted)
        except (DeltaError, OSError) as error:
            raise unavailable(table.uri, error) from None

    def _table(self, model: str, name: str) -> Table:
        return Table(f"{self.uri}/{model}/{name}", self._options)


def _listed(table: DeltaTable, wanted: pc.Expression | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pyarrow_dataset().to_table(filter=wanted).to_pylist()
    return rows


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        {
            "hour": pa.timestamp("us", "UTC"),
            "model_version": pa.string(),
            "bin_set": pa.string(),
            "rows": pa.int64(),
            "document": pa.string(),
        }
    )


def _columns(profiles: Mapping[Key, Profile]) -> dict[str, list[Any]]:
    return {
        "hour": [hour for hour, _ in profiles],
        "model_version": [version for _, version in profiles],
        "bin_set": [profile.bins.id for profile in profiles.values()],
        "rows": [profile.rows for profile in profiles.values()],
        "document": [json.dumps(profile.to_dict(with_bins=False)) for profile in profiles.values()],
    }
