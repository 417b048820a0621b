"""A workspace comes back from its backup: every row, every file, on either database; or it is said why not."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from agent.bootstrap import build
from agent.commands.backup import back_up, moved
from agent.commands.restore import restore
from agent.commands.workspace import TEMPLATES
from agent.domain.errors import Conflict, InvalidInput, Unavailable
from agent.pipeline import people, sessions
from agent.pipeline.freeze import kill_switch
from agent.settings import FILE, load_settings
from agent.store import audit
from agent.store.session import Store
from agent.store.tables import Base, Delivery, Outbox, Proposal
from tests.agent.conftest import Bench

SETTLED = {"web_session", "control", "audit", "audit_head"}
"""What a restore itself writes to."""


def contents(store: Store) -> dict[str, list[Any]]:
    """Every row of every table, in the order of its key."""
    with store.read() as session:
        return {
            table.name: [tuple(row) for row in session.execute(select(table).order_by(*table.primary_key.columns))]
            for table in Base.metadata.sorted_tables
        }


@dataclass
class Full:
    """A workspace with something in every part."""

    bench: Bench
    home: Path
    proposal: str


@pytest.fixture
def full_house(bench: Bench, database_url: str) -> Full:
    services, home = bench.services, bench.services.home
    (home / FILE).write_text(f"database_url: {database_url}\n" if "postgres" in database_url else "")
    (home / "approvals.yaml").write_text((TEMPLATES / "approvals.yaml").read_text().replace("{{person}}", "ann"))
    (home / "runbooks").mkdir()
    (home / "runbooks" / "ünusual name.md").write_text("# what to do")
    (home / "secret.key").write_bytes(b"k" * 64)
    (home / "serving" / "models").mkdir(parents=True)
    (home / "serving" / "models" / "copy").write_text("made again from the registry")
    (home / "log.lock").write_text("")
    proposal = bench.propose(bench.rollback(), incident=True)
    with services.store.write() as session:
        ann = people.add(session, services, "ann", role="admin", models=(), by="test")
        session.flush()
        sessions.open_session(session, services, ann, how="password")
        session.get_one(Proposal, proposal).state = "approved"
        event = Outbox(key="k", recipient="#x", title="t", body="b", subject="s", created_at=bench.clock())
        session.add(event)
        session.flush()
        # the earlier by key is told by the later: what points within a table comes back in any order
        told = {"event_id": event.id, "channel": "journal", "created_at": bench.clock()}
        session.add(Delivery(id="n-2", address="#y", **told))
        session.flush()
        session.add(Delivery(id="n-1", address="#x", told_by="n-2", state="collapsed", **told))
    return Full(bench, home, proposal)


@pytest.fixture
def other_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """From now on WATCHKEEPER_DATABASE_URL names an empty database of this kind."""
    made: list[str] = []

    def choose(kind: str) -> None:
        if kind == "postgres":
            server = request.getfixturevalue("postgres")
            made.append(server.create_database())
            monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", made[-1])
        else:
            monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", "sqlite:///watchkeeper.db")

    yield choose
    for address in made:
        request.getfixturevalue("postgres").drop_database(address)


@pytest.mark.parametrize(
    ("database_url", "to"), [("sqlite", "sqlite"), ("sqlite", "postgres"), ("postgres", "sqlite")],
    indirect=["database_url"],
)  # fmt: skip
def test_every_row_and_every_file_comes_back(
    full_house: Full, other_database, tmp_path_factory, database_url: str, to: str
) -> None:
    bench, elsewhere = full_house.bench, tmp_path_factory.mktemp("elsewhere")
    if trained := database_url.startswith("sqlite") and to == "sqlite":  # it takes seconds, and once shows it
        bench.add_versions(False)
        bench.serve(bench.clock() - timedelta(days=1), 30)
    before = contents(bench.services.store)
    archive = elsewhere / "w.backup.tar.gz"
    made = back_up(full_house.home, archive)
    assert made["audit"] == {"whole": True, "events": len(before["audit"]), "hash": before["audit_head"][0][2]}
    assert (made["models"], made["proposals"], made["not_in_it"]) == (1, 1, [])
    assert archive.stat().st_mode & 0o777 == 0o600
    rows = len(bench.services.log.read(bench.spec, None))
    old = full_house.home.rename(elsewhere / "gone")
    other_database(to)
    said = restore(archive, elsewhere / "back")
    services = build(load_settings(home=elsewhere / "back"))
    try:
        after = contents(services.store)
        assert {name: found for name, found in after.items() if name not in SETTLED} == {
            name: found for name, found in before.items() if name not in SETTLED
        }
        assert after["audit"][: len(before["audit"])] == before["audit"]
        assert len(services.log.read(bench.spec, None)) == rows == (30 if trained else 0)
        if trained:
            champion = services.registry.champion("churn")
            assert champion is not None
            services.registry.load("churn", champion.version, bench.spec)
        assert said["audit"]["whole"]
        assert (said["sessions_ended"], said["messages_waiting"]) == (1, 1)
        assert said["frozen"]
        assert said["under_way"] == [full_house.proposal]
        with services.store.write() as session:
            assert full_house.proposal in kill_switch(session)
            audit.append(session, at=bench.clock(), actor="x", event="goes on", subject="x", data={})
            session.add(Outbox(key="next", recipient="#x", title="t", body="b", subject="s", created_at=bench.clock()))
        with services.store.read() as session:
            assert audit.verify(session).whole
    finally:
        services.store.close()
    back = {path.relative_to(elsewhere / "back").as_posix() for path in (elsewhere / "back").rglob("*")}
    assert {"runbooks/ünusual name.md", "secret.key", FILE} <= back
    assert not {"serving/models", "log.lock"} & back
    assert (elsewhere / "back" / "secret.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in elsewhere.iterdir() if path.name.startswith(".")] == []
    old.rename(full_house.home)


def only_sqlite(test: Callable[..., Any]) -> Callable[..., Any]:
    return pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)(test)


@only_sqlite
def test_what_is_in_use_is_not_written_over(full_house: Full, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    archive = elsewhere / "w.backup.tar.gz"
    back_up(full_house.home, archive)
    with pytest.raises(InvalidInput, match="is there already"):
        back_up(full_house.home, archive)
    kept = archive.read_bytes()
    with pytest.raises(InvalidInput, match="is not empty"):
        restore(archive, full_house.home)
    (full_house.home / FILE).write_text(f"database_url: sqlite:///{full_house.home / 'watchkeeper.db'}\n")
    back_up(full_house.home, elsewhere / "absolute.tar.gz")
    with pytest.raises(Conflict, match="holds a workspace already"):
        restore(elsewhere / "absolute.tar.gz", elsewhere / "new")
    assert not (elsewhere / "new").exists()
    assert archive.read_bytes() == kept
    with pytest.raises(InvalidInput, match="There is no file"):
        restore(elsewhere / "nothing", elsewhere / "new")
    with pytest.raises(Unavailable, match="cannot be written"):
        back_up(full_house.home, elsewhere / "no" / "folder.tar.gz")


@only_sqlite
def test_a_copy_taken_while_others_write_is_of_one_moment(full_house: Full, tmp_path_factory) -> None:
    """Somebody writes chained events as fast as they can: what the backup holds of them is a whole beginning."""
    bench, over, elsewhere = full_house.bench, threading.Event(), tmp_path_factory.mktemp("elsewhere")

    def write() -> None:
        while not over.is_set():
            with bench.services.store.write() as session:
                audit.append(session, at=bench.clock(), actor="w", event="e", subject="s", data={"text": "x" * 2000})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = back_up(full_house.home, elsewhere / "w.backup.tar.gz")
    finally:
        over.set()
        writer.join()
    assert made["audit"]["whole"]
    said = restore(elsewhere / "w.backup.tar.gz", elsewhere / "back")
    assert said["audit"]["whole"]
    assert said["audit"]["events"] == made["audit"]["events"]
    with bench.services.store.read() as session:
        assert (
            session.scalar(select(func.count()).select_from(Base.metadata.tables["audit"])) >= made["audit"]["events"]
        )


def altered(archive: Path, target: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> Path:
    with tarfile.open(archive) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]
    change(members)
    with tarfile.open(target, "w:gz") as tar:
        for member, held in members:
            member.size = len(held)
            tar.addfile(member, io.BytesIO(held))
    return target


def renamed(name: str) -> Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[1][0].name = name

    return change


def another_byte(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    member, held = members[0]
    members[0] = (member, held[:-1] + bytes([held[-1] ^ 1]))


def said_otherwise(**said: object) -> Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        member, held = members[-1]
        members[-1] = (member, json.dumps(json.loads(held) | said).encode())

    return change


def a_link(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members[1][0].type, members[1][0].linkname = tarfile.SYMTYPE, "/etc/passwd"


@only_sqlite
def test_what_is_no_whole_backup_brings_nothing_back(full_house: Full, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    archive = elsewhere / "w.backup.tar.gz"
    back_up(full_house.home, archive)
    changes = {
        "out": renamed("home/../../out"), "absolute": renamed("/tmp/out"), "other": renamed("etc/x"),
        "missing": lambda members: members.pop(1), "twice": lambda members: members.insert(0, members[0]),
        "list": lambda members: members.pop(), "byte": another_byte, "form": said_otherwise(form=2),
        "elsewhere": said_otherwise(mlflow="../../out.db"), "nowhere": said_otherwise(home=None),
        "link": a_link,
    }  # fmt: skip
    wrong = [altered(archive, elsewhere / f"{name}.tar.gz", change) for name, change in changes.items()]
    for name, held in {
        "cut": archive.read_bytes()[: archive.stat().st_size // 2],
        "text": b"hello",
        "empty": b"",
        "zip": b"PK\x03\x04" + b"\0" * 40,
    }.items():
        wrong.append(elsewhere / f"{name}.tar.gz")
        wrong[-1].write_bytes(held)
    there = sorted(elsewhere.iterdir())
    for path in wrong:
        with pytest.raises(InvalidInput):
            restore(path, elsewhere / "back")
        assert sorted(elsewhere.iterdir()) == there, path.name


def test_mlflow_is_told_where_its_files_stand_now(tmp_path: Path, registry_template: Path) -> None:
    import sqlite3

    target = tmp_path / "mlflow.db"
    target.write_bytes(registry_template.read_bytes())
    with sqlite3.connect(target) as here:
        for number, place in enumerate(["file:///a%20b/w/artifacts/1", "/a b/w/artifacts/2", "/a b/wx/3", "s3://b/4"]):
            here.execute(
                "INSERT INTO experiments (name, artifact_location, lifecycle_stage) VALUES (?, ?, 'active')",
                (str(number), place),
            )
    moved(target, "/a b/w", Path("/new place"))
    with sqlite3.connect(target) as here:
        found = here.execute("SELECT artifact_location FROM experiments WHERE name IN ('0','1','2','3')").fetchall()
    assert [place for (place,) in found] == [
        "file:///new%20place/artifacts/1", "/new place/artifacts/2", "/a b/wx/3", "s3://b/4",
    ]  # fmt: skip
