from __future__ import annotations

from pathlib import Path

import pytest

from ml.serving.journal import Journal, Limits
from ml.serving.records import Found, Labelled, Served, decode, scan, segments
from ml.serving.rows import Answers, Rows

NOW = 1_767_225_600.25
NAN = float("nan")


def write(journal: Journal, *ids: str, **columns: list) -> bool:
    values = columns or {"income": [1.5] * len(ids), "region": ["north"] * len(ids)}
    answers = Answers(["1"] * len(ids), [0.25] * len(ids))
    return journal.record("loans", "champion", "3", Rows(values, list(ids)), answers, 0.002, NOW)


def found(journal: Journal, start: int = 0, *, live: bool = True) -> list[Served | Labelled]:
    items = scan(journal.folder, start, live=live)
    return [decode(item.payload) for item in items if isinstance(item, Found)]


def ids(journal: Journal, **how: bool) -> list[str]:
    return [name for record in found(journal, **how) for name in record.ids]


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 30_000])
def test_what_is_written_is_read_back(tmp_path: Path, rows: int) -> None:
    journal = Journal(tmp_path / "journal")
    names = [f"p{k}" for k in range(rows)]
    write(
        journal,
        *names,
        income=[0.5, NAN, float("inf"), *([2.0] * rows)][:rows],
        owner=[None, True, *[False] * rows][:rows],
    )
    records = found(journal)
    assert [name for record in records for name in record.ids] == names
    first = records[0]
    assert isinstance(first, Served)
    assert (first.model, first.route, first.version, first.latency) == ("loans", "champion", "3", 0.002)
    assert first.at == 1_767_225_600_250_000
    assert sum(len(record.predictions) for record in records) == rows
    assert first.columns["owner"][:2] == [None, True][:rows]


def test_labels_are_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.record_labels("loans", ["p1", "p2"], [1, "yes"], [None, "2026-01-01T00:00:00Z"], NOW)
    assert found(journal) == [
        Labelled("loans", 1_767_225_600_250_000, ["p1", "p2"], [1, "yes"], [None, "2026-01-01T00:00:00Z"])
    ]


def test_segments_follow_one_another_without_a_gap(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", Limits(segment_bytes=400))
    for k in range(20):
        write(journal, f"p{k}")
    files = segments(journal.folder)
    assert len(files) > 3
    sizes = [path.stat().st_size for _, path in files]
    assert [base for base, _ in files] == [sum(sizes[:k]) for k in range(len(sizes))]
    assert ids(journal) == [f"p{k}" for k in range(20)]
    third = files[2][0]
    assert [record.ids for record in found(journal)[-len(found(journal, third)) :]] == [
        record.ids for record in found(journal, third)
    ]
