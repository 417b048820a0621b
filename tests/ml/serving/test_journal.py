from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import Unavailable
from ml.serving.journal import Journal, JournalFull, Limits, folders, is_orphan, size_of
from ml.serving.records import CHUNK, Damage, Encoder, Found, Labelled, Served, decode, scan, segments
from ml.serving.rows import Answers, Rows

NOW = 1_767_225_600.25
NAN = float("nan")


def write(journal: Journal, *ids: str, **columns: list) -> bool:
    values: dict[str, list] = columns or {"income": [1.5] * len(ids), "region": ["north"] * len(ids)}
    answers = Answers(["1"] * len(ids), [0.25] * len(ids))
    return journal.record("loans", "champion", "3", Rows(values, list(ids)), answers, 0.002, NOW)


def found(journal: Journal, start: int = 0, *, live: bool = True) -> list[Served | Labelled]:
    items = scan(journal.folder, start, live=live)
    return [decode(item.payload) for item in items if isinstance(item, Found)]


def ids(journal: Journal, *, live: bool = True) -> list[str]:
    return [name for record in found(journal, live=live) for name in record.ids]


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
    assert len(first.predictions) == min(rows, CHUNK)
    assert first.columns["owner"] is None if rows == 1 else first.columns["owner"][:2] == [None, True]


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


def test_half_a_record_at_the_end_is_waited_for_while_its_process_lives_and_cut_when_it_is_gone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    for name in ("p1", "p2", "p3"):
        write(journal, name)
    path = segments(journal.folder)[0][1]
    whole = path.read_bytes()
    for cut in range(1, len(whole) // 3):
        path.write_bytes(whole[:-cut])
        assert ids(journal, live=True) == ["p1", "p2"]
        assert not [item for item in scan(journal.folder, 0, live=True) if isinstance(item, Damage)]
        damages = [item for item in scan(journal.folder, 0, live=False) if isinstance(item, Damage)]
        assert [(damage.torn, damage.end) for damage in damages] == [(True, len(whole) - cut)]
    assert ids(journal, live=False) == ["p1", "p2"]


@given(st.integers(0, 10**6), st.integers(1, 255), st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_damage_costs_no_more_than_the_record_that_has_it(tmp_path_factory, place: int, change: int, size: int) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal"), Limits(segment_bytes=700))
    names = [f"p{k}" for k in range(20)]
    for name in names:
        write(journal, name)
    files = [path for _, path in segments(journal.folder)]
    path = files[place % len(files)]
    data = bytearray(path.read_bytes())
    start = place % len(data)
    changed = min(size, len(data) - start)
    for at in range(start, start + changed):
        data[at] ^= change
    path.write_bytes(data)
    left = ids(journal, live=False)
    record = len(data) // max(data.count(journal._encoder._marker), 1)
    assert len(left) >= len(names) - 2 - changed // record
    assert set(left) < set(names)
    damages = [item for item in scan(journal.folder, 0, live=False) if isinstance(item, Damage)]
    assert 1 <= len(damages) <= 2
    assert {damage.segment for damage in damages} == {path}
    journal.close()


def test_a_text_that_looks_like_a_record_is_none(tmp_path: Path) -> None:
    """Whoever knows the form of a record still does not know the folder's marker."""
    forged = b"".join(Encoder("guessed").labels("loans", 0, ["forged"], [1], [None])).decode("latin-1")
    journal = Journal(tmp_path / "journal")
    write(journal, "p1", income=[1.0], region=[forged])
    write(journal, "p2")
    path = segments(journal.folder)[0][1]
    data = bytearray(path.read_bytes())
    data[9] ^= 1  # the length of the first record
    path.write_bytes(data)
    assert ids(journal, live=False) == ["p2"]


def test_a_record_of_a_newer_form_is_no_record_of_ours() -> None:
    with pytest.raises(ValueError, match="a record of kind 7 with 2 parts"):
        decode(msgpack.packb([7, 1]))


def test_a_folder_is_an_orphan_once_its_journal_is_closed(tmp_path: Path) -> None:
    journal, other = Journal(tmp_path / "journal"), Journal(tmp_path / "journal")
    assert folders(tmp_path / "journal") == sorted([journal.folder, other.folder])
    assert not is_orphan(journal.folder)
    journal.close()
    assert (is_orphan(journal.folder), is_orphan(other.folder)) == (True, False)
    with pytest.raises(JournalFull, match="is closed"):
        write(journal, "p1")


@pytest.mark.parametrize("when_full", ["refuse", "answer"])
def test_a_full_journal_refuses_or_answers_without_logging(tmp_path: Path, when_full: Any) -> None:
    limits = Limits(max_bytes=2000, segment_bytes=500, when_full=when_full)
    journal = Journal(tmp_path / "journal", limits)
    wrote = 0
    for k in range(100):
        try:
            wrote += write(journal, f"p{k}")
        except JournalFull:
            assert when_full == "refuse"
    assert 10 < wrote < 30
    assert len(ids(journal)) == wrote == journal.counts.rows
    assert (journal.counts.refused, journal.counts.unlogged) == ((100 - wrote, 0), (0, 100 - wrote))[
        when_full == "answer"
    ]
    assert size_of(journal.root) <= 2000
    for _, path in segments(journal.folder)[:2]:
        path.unlink()
    journal._look_again = 0.0
    assert write(journal, "again"), "there is room again"


def test_the_bound_holds_for_all_folders_together(tmp_path: Path) -> None:
    limits = Limits(max_bytes=3000, segment_bytes=300)
    for _ in range(20):
        journal = Journal(tmp_path / "journal", limits)
        try:
            for k in range(10):
                write(journal, f"p{k}")
        except JournalFull:
            break
    else:
        pytest.fail("a process that starts again and again filled the disk")
    assert size_of(tmp_path / "journal") <= 3000 + limits.segment_bytes


def test_what_is_packed_need_not_be_plain(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    answers = Answers(np.array(["a"] * 9, object), np.linspace(0, 1, 9))
    columns = {"income": np.arange(9.0), "count": np.arange(9), "region": ["n", "\ud800"] * 4 + [None]}
    rows = Rows(columns, [f"p{k}" for k in range(9)])
    journal.record("loans", "champion", "1", rows, answers, 0.001, NOW)
    (record,) = found(journal)
    assert np.frombuffer(record.columns["income"]).tolist() == list(range(9))
    assert record.columns["count"] == list(range(9))
    assert record.columns["region"][:2] == ["n", "?"]
    assert record.scores == np.linspace(0, 1, 9).tolist()


LIMITED = """
import resource, signal, sys
from pathlib import Path
from ml.serving.journal import Journal, JournalFull, Limits
from ml.serving.rows import Answers, Rows
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))  # a disk that is full: the write is cut short
journal = Journal(Path(sys.argv[1]))
for k in range(40):
    try:
        answers = Answers(["1"], [0.5])
        journal.record("loans", "champion", "1", Rows({"income": [1.0]}, [f"p{k}"]), answers, 0.001, 0.0)
        print(k)
    except JournalFull:
        print("full", file=sys.stderr)
"""


def test_a_disk_that_fills_up_in_the_middle_of_a_record(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True)
    answered = [f"p{k}" for k in done.stdout.split()]
    (folder,) = folders(tmp_path)
    items = list(scan(folder, 0, live=False))
    assert done.stderr.count("full") == 40 - len(answered) > 0
    assert [decode(item.payload).ids[0] for item in items if isinstance(item, Found)] == answered
    assert not [item for item in items if isinstance(item, Damage)], "half a record was taken back"


def test_with_fsync_the_file_and_its_name_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    at = "/proc/self/fd/{}"
    monkeypatch.setattr("os.fsync", lambda file: synced.append(Path(at.format(file)).resolve().name))
    monkeypatch.setattr("os.fdatasync", lambda file: synced.append(Path(at.format(file)).resolve().suffix))
    journal = Journal(tmp_path / "journal", Limits(fsync=True))
    write(journal, "p1")
    write(journal, "p2")
    assert synced == [journal.folder.name, "journal", ".segment", ".segment"]


def test_a_root_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"The journal at .*file cannot be made"):
        Journal(tmp_path / "file")
