"""The columns that a model takes, and the check of what came against them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ml.serving import cells, ids
from ml.serving.problems import MOST_FAULTS, Fault, Refused, refuse_rows
from ml.spec import FeatureType, ModelSpec


@dataclass(frozen=True)
class Signature:
    """What a spec says of a model's rows.

    Every feature that the model is fed must be there; one that is only watched (`used: false`), the entity and
    `prediction_id` may be.
    """

    spec: ModelSpec

    @cached_property
    def kinds(self) -> dict[str, FeatureType]:
        """Every column that may be sent, beside `prediction_id`: the features in the spec's order, then the entity."""
        found = {name: feature.type for name, feature in self.spec.features.items()}
        if self.spec.entity:
            found.setdefault(self.spec.entity, FeatureType.CATEGORICAL)
        return found

    @cached_property
    def required(self) -> tuple[str, ...]:
        return self.spec.used_features

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The columns of rows that come without names."""
        return self.spec.used_features

    @cached_property
    def _readers(self) -> tuple[tuple[str, FeatureType, cells.Reader, bool], ...]:
        needed = set(self.required)
        return tuple((name, kind, cells.READERS[kind], name in needed) for name, kind in self.kinds.items())

    def check(self, columns: Mapping[str, Sequence[Any]], count: int) -> dict[str, Sequence[Any]]:
        """The columns in the form of `Rows`; those that may be absent and are become missing values.

        columns: one value a row each, `count` rows. Raises: Refused naming the column, the row and the rule.
        """
        checked: dict[str, Sequence[Any]] = {}
        seen = 0
        faults: list[Fault] = []
        for name, kind, read, needed in self._readers:
            values = columns.get(name)
            if values is None:
                if needed:
                    faults.append(Fault("missing column", _missing(self.spec.name), name))
                elif name in self.spec.features:
                    checked[name] = [cells.NAN if kind is FeatureType.NUMERIC else None] * count
                continue
            seen += 1
            try:
                if count == 1:
                    checked[name] = (read(values[0]),)
                elif kind is FeatureType.NUMERIC:
                    checked[name] = cells.read_numbers(values)
                elif kind is FeatureType.CATEGORICAL:
                    checked[name] = cells.read_levels(values)
                else:
                    checked[name] = list(map(read, values))
            except cells.WrongCell:
                faults += _wrong_cells(name, values, read, MOST_FAULTS - len(faults))
        if len(columns) - (ids.COLUMN in columns) > seen:
            faults = [self._unknown(name) for name in columns if name not in self.kinds and name != ids.COLUMN] + faults
        if faults:
            raise refuse_rows(faults)
        return checked

    def _unknown(self, name: str) -> Fault:
        near = difflib.get_close_matches(name[:100], list(self.kinds), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"its columns are {_listed(list(self.kinds))}."
        shown = cells.clean(name[:100], FeatureType.TEXT)
        return Fault("unknown column", f"{self.spec.name!r} has no such column; {hint}", shown)


def too_many(count: int, most: int) -> Refused:
    return Refused(
        413, "too many rows", f"{count:,} rows are more than the {most:,} of one request; send fewer at once."
    )


def _missing(model: str) -> str:
    return f"is missing, and {model!r} is fed it; send it, with null where the value is not known."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _wrong_cells(name: str, values: Sequence[Any], read: cells.Reader, most: int) -> list[Fault]:
    found: list[Fault] = []
    for row, value in enumerate(values):
        try:
            read(value)
        except cells.WrongCell as error:
            found.append(Fault(error.rule, f"{error}; correct the value, or send null.", name, row))
            if len(found) >= max(most, 1):
                break
    return found
