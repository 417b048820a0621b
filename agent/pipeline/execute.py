"""What each action does, as named steps. The only place that imports what changes models.

A step may be run again after a crash, so each effect finds out whether it has happened already: training by the tag of
its proposal, a switch of version by the alias it sets. Effects on our own records wait for `finish`, which runs in the
transaction that ends the execution.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from agent.domain.deciding import When
from agent.domain.errors import Held, Refused, Superseded
from agent.pipeline.afar import train_afar
from agent.pipeline.apart import LOG, train_apart
from agent.pipeline.fit_data import check_data, check_quality, pin_data, training_rows
from agent.pipeline.freeze import held_back
from agent.pipeline.release import given_on, start_of
from agent.pipeline.silence import begin
from agent.pipeline.work import Steps, Work
from agent.store.changes import promise
from agent.store.tables import Deployment, Model, UnfitWindow, Verification
from ml.models.registry import CHAMPION
from ml.spec import format_duration
from tools import actions
from tools.actions import ActionKind


def recheck(work: Work) -> Mapping[str, Any]:
    """Was it approved by people who still may, in time, and in the world that they saw?"""
    services, proposal = work.services, work.proposal
    with services.store.read() as session:
        start = start_of(services, session, proposal)
        approvers = [one.person for one in given_on(session, proposal) if one.decision == "approve"]
    if start.when is When.NEVER:
        raise Superseded(start.reason)
    if start.when is When.LATER:
        raise Held(start.reason)
    expected = proposal.action.get("expected_version")
    current = services.registry.alias(proposal.model, CHAMPION) or ""
    if expected is not None and current != expected:
        raise Superseded(f"the champion is version {current or 'none'} now, not {expected or 'none'}")
    return {"approved_by": approvers, "champion": current}


def train(work: Work) -> Mapping[str, Any]:
    """Fit a challenger on the pinned rows in a process of its own, here or on the cluster, and register it; once for
    each proposal."""
    from ml.models import training

    folder = work.services.home / "executions" / work.proposal.id / str(work.attempt)

    def make(made: Path) -> None:
        rows, limit = training_rows(work), work.spec.training.time_limit
        if cluster := work.services.cluster:
            candidate = train_afar(
                work.spec, rows, folder, cluster=cluster, limit=limit, stopped=work.stopped, progress=work.progress
            )
        else:
            candidate = train_apart(
                work.spec,
                rows,
                folder,
                limit=limit,
                stopped=work.stopped,
                progress=work.progress,
                environment=work.services.child_environment,
            )
        shutil.copytree(candidate, made, dirs_exist_ok=True)
        shutil.rmtree(candidate)
        work.progress("registering")

    candidate = training.register(work.spec, work.services.registry, _lineage(work), make)
    log = str(folder / LOG) if (folder / LOG).exists() else None
    return {"version": candidate.version, "run_id": candidate.run_id, "metrics": dict(candidate.metrics), "log": log}


def _lineage(work: Work) -> Any:
    from agent.pipeline.code_version import code_version
    from ml.models.training import Lineage

    return Lineage(
        run_tag=work.proposal.id,
        data_version=work.proposal.action["data_version"],
        code_version=code_version(work.services.home),
        parent_version=work.expected,
        proposal=work.proposal.id,
    )


def evaluate(work: Work) -> Mapping[str, Any]:
    """Champion against challenger on the held-out, later rows; only a clear gain passes."""
    from ml.models import evaluation

    registry, spec = work.services.registry, work.spec
    expected = work.proposal.action["expected_version"]
    if not expected:
        return {"verdict": "accept", "reason": "there is no champion to beat"}
    version = work.results["train"]["version"]
    held_out = registry.reference(spec.name, version)
    if held_out is None or held_out.empty:
        raise Refused(f"version {version} has no held-out rows to be judged on")
    comparison = evaluation.compare(
        spec, registry.load(spec.name, expected, spec), registry.load(spec.name, version, spec), held_out
    )
    if comparison.verdict != "accept":
        raise Refused(f"version {version} was not accepted: {comparison.reason}")
    assert comparison.interval is not None, "an accepted comparison has an interval"
    return {
        "verdict": str(comparison.verdict),
        "reason": comparison.reason,
        "n": comparison.n,
        "gain": comparison.gain,
        "interval": [comparison.interval.low, comparison.interval.high],
    }


def recalibrate(work: Work) -> Mapping[str, Any]:
    """Register the champion with a refitted map from score to probability, once for each proposal."""
    from agent.pipeline.code_version import code_version
    from ml.models import recipes, training

    expected, registry, spec = work.proposal.action["expected_version"], work.services.registry, work.spec
    candidate = training.register_external(
        spec,
        recipes.recalibrate(spec, registry.load(spec.name, expected, spec), training_rows(work)),
        registry=registry,
        run_tag=work.proposal.id,
        data_version=work.proposal.action["data_version"],
        code_version=code_version(work.services.home),
        parent_version=expected,
        proposal=work.proposal.id,
        reference=registry.reference(spec.name, expected),
    )
    return {"version": candidate.version, "run_id": candidate.run_id, "metrics": dict(candidate.metrics)}


def switch(work: Work) -> Mapping[str, Any]:
    """Make the version champion, if the champion is still the expected one, and nothing has been frozen meanwhile."""
    from ml.models import deployment

    registry = work.services.registry
    target = work.version
    with work.services.store.read() as session:
        frozen = held_back(work.services, session)
    if frozen and registry.alias(work.spec.name, CHAMPION) != target:
        raise Held(frozen)
    switched = deployment.promote(registry, work.spec.name, target, expected=work.expected, confirm=work.confirm)
    return {"from": switched.from_version, "to": switched.to_version}


FIT_DATA: Steps = (("pin_data", pin_data), ("check_data", check_data), ("check_quality", check_quality))
STEPS: Mapping[ActionKind, Steps] = {
    ActionKind.RETRAIN: (
        ("recheck", recheck),
        *FIT_DATA,
        ("train", train),
        ("evaluate", evaluate),
        ("switch", switch),
    ),
    ActionKind.RECALIBRATE: (
        ("recheck", recheck),
        *FIT_DATA,
        ("recalibrate", recalibrate),
        ("switch", switch),
    ),
    ActionKind.ROLLBACK: (("recheck", recheck), ("switch", switch)),
    ActionKind.PROMOTE: (("recheck", recheck), ("switch", switch)),
    ActionKind.REFRESH_REFERENCE: (("recheck", recheck),),
    ActionKind.FIX_DATA: (("recheck", recheck),),
    ActionKind.SILENCE: (("recheck", recheck),),
}


def finish(session: Session, work: Work) -> None:
    """The effects on our own records, in the transaction that ends the execution."""
    proposal, spec, action = work.proposal, work.spec, work.action
    verification = spec.verification
    if isinstance(action, actions.FixData):
        _mark_unfit(session, work, action)
    elif isinstance(action, actions.Silence):
        begin(session, action, proposal, work.at)
    elif isinstance(action, actions.RefreshReference):
        model = session.get(Model, spec.name)
        assert model is not None
        model.reference_start, model.reference_end = action.window_start, action.window_end
    else:
        session.add(
            Deployment(
                model=spec.name,
                version=work.results["switch"]["to"],
                kind=action.kind,
                at=work.at,
                note=proposal.why,
                proposal_id=proposal.id,
            )
        )
    session.add(
        Verification(proposal_id=proposal.id, started_at=work.at, due_at=work.at + spec.label_delay + verification.time)
    )
    promise(
        session,
        key=f"executed:{proposal.id}",
        recipient=spec.owner or "approvers",
        title=f"{spec.name}: {action.kind} done",
        body=f"No incident is opened by these alerts until {action.until:%Y-%m-%d %H:%M} UTC."
        if isinstance(action, actions.Silence)
        else f"Watched until {verification.rows} labelled rows or {format_duration(verification.time)} have come in.",
        subject=proposal.id,
        at=work.at,
    )


def _mark_unfit(session: Session, work: Work, action: actions.FixData) -> None:
    proposal = work.proposal
    columns = ", ".join(action.features)
    session.add(
        UnfitWindow(
            model=work.spec.name,
            start=action.onset,
            end=action.window_end,
            features=list(action.features),
            reason=proposal.why,
            proposal_id=proposal.id,
        )
    )
    promise(
        session,
        key=f"fix_data:{proposal.id}",
        recipient=action.notify or "data owner",
        title=f"{work.spec.name}: {columns} arrives broken since {action.onset:%Y-%m-%d %H:%M} UTC",
        body=f"{proposal.why}\nWhat undoes it: {action.repair}.\n"
        f"Rows from {action.onset:%Y-%m-%d %H:%M} UTC on are not trained on until this is fixed at its source.",
        subject=proposal.id,
        at=work.at,
    )
