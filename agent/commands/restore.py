"""`restore`: a workspace from a backup, in a new folder; nothing that was approved before runs there by itself."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update

from agent.commands.archive import DATABASE, MLFLOW, unpacked
from agent.commands.backup import local_file, moved
from agent.commands.output import console
from agent.commands.workspace import me
from agent.domain.errors import InvalidInput, Unavailable
from agent.domain.proposal import ProposalState
from agent.pipeline.freeze import freeze
from agent.pipeline.services import Services
from agent.settings import Settings, load_settings
from agent.store import audit, copying, migrate
from agent.store.session import Store
from agent.store.tables import ApiToken, Delivery, Proposal, WebSession

UNDER_WAY = (ProposalState.APPROVED, ProposalState.EXECUTING)


def restore(archive: Path, folder: Path) -> dict[str, Any]:
    """Bring a workspace back. It stands in `folder` whole, or not at all.

    Raises: InvalidInput for a folder or a database that is in use, or an archive that is not whole; Unavailable.
    """
    from agent.bootstrap import build

    archive, folder = archive.expanduser(), folder.expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} is not empty; a backup is brought back into a new folder.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise Unavailable(f"{folder} cannot be made ({error.strerror}); choose another folder.") from None
    try:
        told = unpacked(archive, scratch)
        home = scratch / "home"
        _place_mlflow(scratch, told, home, folder)
        settings = load_settings(home=home)
        _place_database(scratch / DATABASE, settings, home)
        if folder.exists():
            folder.rmdir()
        home.rename(folder)
    except OSError as error:
        raise Unavailable(f"{folder} cannot be written ({error.strerror or error}).") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    services = build(load_settings(home=folder), migrate=True)
    try:
        return {"home": folder, "taken_at": told["taken_at"], **_settle(services, told)}
    finally:
        services.store.close()


def _place_mlflow(scratch: Path, told: dict[str, Any], home: Path, folder: Path) -> None:
    source, name = scratch / MLFLOW, told.get("mlflow")
    if source.is_file() and isinstance(name, str) and name:
        moved(source, str(told["home"]), folder)
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        source.rename(home / name)


def _place_database(taken: Path, settings: Settings, home: Path) -> None:
    """The rows into the database that the settings name: a file of the workspace, or an empty database elsewhere."""
    file = local_file(settings.database_url)
    if file is not None and file.is_relative_to(home.resolve()):
        file.parent.mkdir(parents=True, exist_ok=True)
        taken.rename(file)
        return
    copy, store = Store(f"sqlite:///{taken}"), Store(settings.database_url)
    try:
        migrate.upgrade(copy)
        copying.bring(taken, store)
    finally:
        copy.close()
        store.close()


def _settle(services: Services, told: dict[str, Any]) -> dict[str, Any]:
    """Browsers sign in anew; what was under way waits for people; the audit says what happened."""
    with services.store.write() as session:
        found = audit.verify(session)
        at = services.wall()
        ended = update(WebSession).where(WebSession.ended_at.is_(None)).values(ended_at=at)
        sessions = int(session.execute(ended).rowcount)  # type: ignore[attr-defined]
        under_way = list(
            session.scalars(select(Proposal.id).where(Proposal.state.in_(UNDER_WAY)).order_by(Proposal.id))
        )
        if under_way:
            reason = f"restored from a backup of {told['taken_at'][:16]} UTC: was {under_way[0]} carried out since?"
            freeze(services, session, person=me(), reason=reason)
        data = {"taken_at": told["taken_at"], "under_way": under_way, "sessions_ended": sessions}
        audit.append(session, at=at, actor=me(), event="restored from a backup", subject="workspace", data=data)
        waiting = session.scalar(select(func.count()).select_from(Delivery).where(Delivery.state == "waiting"))
        live = select(func.count()).select_from(ApiToken)
        live = live.where(ApiToken.revoked_at.is_(None), ApiToken.expires_at > at)
        return {
            "audit": {"whole": found.whole, "events": found.events, "faults": [fault.what for fault in found.faults]},
            "under_way": under_way,
            "frozen": bool(under_way),
            "sessions_ended": sessions,
            "tokens_live": session.scalar(live) or 0,
            "messages_waiting": waiting or 0,
            "not_in_it": list(told.get("not_in_it", [])),
        }


def render_restored(item: dict[str, Any]) -> None:
    console.print(f"[bold]{item['home']}[/] is as it was on {str(item['taken_at'])[:16].replace('T', ' ')} UTC.")
    whole = item["audit"]["whole"]
    console.print(f"The audit's {item['audit']['events']} events are {'whole' if whole else '[red]BROKEN[/]'}.")
    for fault in item["audit"]["faults"][:5]:
        console.print(f"  {fault}", markup=False)
    if item["frozen"]:
        console.print(
            f"[yellow]Frozen[/]: {', '.join(item['under_way'])} was approved and not over then. See whether it was "
            "carried out since (`watchkeeper proposal show`), then `watchkeeper unfreeze`."
        )
    if item["messages_waiting"]:
        console.print(
            f"{item['messages_waiting']} messages were waiting; they go out when a worker starts, perhaps again."
        )
    if item["tokens_live"]:
        console.print(
            f"{item['tokens_live']} tokens open it; one that was revoked since is live again: see `token list`."
        )
    console.print(f"Browsers sign in anew ({item['sessions_ended']} sessions ended).")
    for left in item["not_in_it"]:
        console.print(f"[yellow]Not in the backup[/]: {left}.")
