"""Records by hand: an incident with everything that may hang on it, written with the store's own functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from agent.domain.incident import IncidentEvent
from agent.domain.proposal import ProposalEvent
from agent.store import audit
from agent.store.changes import move_incident, move_proposal
from agent.store.tables import (
    Alert,
    Approval,
    Deployment,
    Diagnosis,
    Execution,
    ExecutionStep,
    Incident,
    MeasurementRow,
    Model,
    MonitorRun,
    Proposal,
    Verification,
)
from tools import actions

START = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def spec(name: str, metric: str = "mae", task: str = "regression") -> str:
    return f"name: {name}\ntask: {task}\nmetric: {metric}\nfeatures:\n  temp: {{type: numeric}}\nowner: '#{name}'\n"


def document(features: tuple[str, ...] = ("temp",), **changes: Any) -> dict[str, Any]:
    """A diagnosis as `ml.diagnosis` writes it."""
    return {
        "verdict": "incident",
        "causes": [
            {
                "cause": "concept_drift_gradual",
                "probability": 0.934,
                "supports": ["E2", "E3"],
                "contradicts": ["E1"],
                "onset": day(30).isoformat(),
                "features": list(features),
                "segment": None,
            },
            {"cause": "seasonal", "probability": 0.05, "supports": ["E2"], "contradicts": [], "features": []},
        ],
        "action": {"kind": "retrain", "parameters": {}, "why": "retraining lowers the loss by 21.3", "escalate": False},
        "evidence": [
            {"id": "E1", "kind": "drift", "statement": "temp moved: 1.21", "value": 1.2149, "n": 3120, "unit": "psi"},
            {"id": "E2", "kind": "loss", "statement": "error 58.2", "value": 58.2, "interval": [55.0, 61.0], "n": 3011},
            {
                "id": "E3",
                "kind": "trial",
                "statement": "retraining gains 21.3",
                "value": 21.3,
                "interval": None,
                "n": 3011,
            },
        ],
        "ruled_out": [{"what": "bad_deployment", "why": "no version went live near the onset", "evidence": ["E2"]}],
        "not_checked": [{"what": "rollback", "why": "there is no earlier version"}],
        **changes,
    }


TRIAL = {
    "kind": "retrain",
    "gain": 21.3456,
    "interval": [18.8, 23.9],
    "n": 3011,
    "metric": {"name": "mae", "before": 58.249, "after": 34.81},
}
HELPED = {
    "statement": "It helped: mae 27.1 on 210 later rows, where version 1 would have had 61.2.",
    "n": 210,
    "metric": "mae",
    "after": 27.1234,
    "do_nothing": 61.234,
    "gain": 34.11,
    "interval": [30.2, 38.1],
}


@dataclass
class Story:
    """One model and one incident of it, told step by step."""

    session: Session
    name: str = "bike-demand"
    metric: str = "mae"
    title: str = "mae 24.1 on 168 labelled rows"
    features: tuple[str, ...] = ("temp",)
    incident: Incident = field(init=False)

    def watched(self, *, values: dict[int, float | None] | None = None, task: str = "regression") -> Story:
        """The model, its first version, and a look on each of these days."""
        self.session.add(Model(name=self.name, spec=spec(self.name, self.metric, task), registered_at=day(0)))
        self.session.flush()
        self.session.add(Deployment(model=self.name, version="1", kind="promote", at=day(20)))
        series = values if values is not None else {n: 14.0 if n <= 30 else 14.0 + 2 * (n - 30) for n in range(20, 50)}
        for number, value in series.items():
            self.look(number, value)
        return self

    def look(self, number: int, value: float | None, *, n: int = 168) -> None:
        run = MonitorRun(
            model=self.name, window_start=day(number - 7), window_end=day(number), rows=1000, champion="1", seconds=0.1
        )
        self.session.add(run)
        self.session.flush()
        status = "no_data" if value is None else "breach" if value > 18 else "ok"
        self.session.add(
            MeasurementRow(
                run_id=run.id,
                model=self.name,
                monitor=f"performance.{self.metric}",
                window_start=day(number - 7),
                window_end=day(number),
                value=value,
                low=None if value is None else value - 1.04,
                high=None if value is None else value + 1.06,
                n=n if value is not None else 3,
                unit=self.metric,
                threshold=18.0,
                status=status,
                detail="",
                facts={},
            )
        )

    def opened(self, number: int = 36) -> Story:
        self.incident = Incident(
            model=self.name, state="open", severity="critical", title=self.title, opened_at=day(number)
        )
        self.session.add(self.incident)
        self.session.flush()
        self._audit(number, "watch", "incident open", self.incident.id, {"detail": self.title})
        self.session.add(
            Alert(
                model=self.name,
                incident_id=self.incident.id,
                fingerprint=self.incident.id,
                severity="critical",
                monitor=f"performance.{self.metric}",
                feature=self.features[0],
                detail=self.title,
                first_seen=day(number),
                last_seen=day(number + 2),
                looks=3,
            )
        )
        return self

    def diagnosed(self, number: int = 37, **changes: Any) -> Diagnosis:
        told = document(self.features, **changes)
        row = Diagnosis(
            incident_id=self.incident.id,
            at=day(number),
            window_start=day(number - 7),
            window_end=day(number),
            verdict=told["verdict"],
            cause=told["causes"][0]["cause"],
            probability=told["causes"][0]["probability"],
            onset=day(30),
            action=told["action"]["kind"],
            document=told,
            seconds=3.2149,
        )
        self.session.add(row)
        move_incident(
            self.session,
            self.incident,
            IncidentEvent.DIAGNOSE,
            at=day(number),
            actor="diagnosis",
            reason="gradual drift",
        )
        self.session.flush()
        return row

    def proposed(self, number: int = 38, *, diagnosis: Diagnosis | None = None, trial: Any = TRIAL) -> Proposal:
        action = actions.Retrain(
            model=self.name, expected_version="1", data_version="4:1200", window_start=day(8), window_end=day(number)
        )
        row = Proposal(
            model=self.name,
            incident_id=self.incident.id,
            diagnosis_id=diagnosis.id if diagnosis else None,
            kind=action.kind,
            action=action.model_dump(mode="json"),
            digest=actions.digest(action),
            risk="high",
            why="retraining lowers the loss by 21.3",
            trial=trial,
            requested_by="watchkeeper",
            state="pending",
            created_at=day(number),
            approve_by=day(number + 2),
        )
        self.session.add(row)
        self.session.flush()
        self._audit(number, "watchkeeper", "proposal pending", row.id, {"digest": row.digest, "action": row.action})
        self._incident(IncidentEvent.PROPOSE, number)
        return row

    def rejected(self, row: Proposal, reason: str, *, person: str = "rita", number: float = 39) -> None:
        self._decide(row, person, "reject", reason, number)
        move_proposal(self.session, row, ProposalEvent.REJECT, at=day(number), actor=person, reason=reason)
        self._incident(IncidentEvent.DECLINE, number, f"rejected by {person}: {reason}")

    def ended(self, row: Proposal, event: ProposalEvent, reason: str, *, number: float = 40) -> None:
        move_proposal(self.session, row, event, at=day(number), actor="clock", reason=reason)
        self._incident(IncidentEvent.DECLINE, number, reason)

    def approved(self, row: Proposal, *, person: str = "ana", reason: str = "clear", number: float = 38.5) -> Execution:
        self._decide(row, person, "approve", reason, number)
        move_proposal(self.session, row, ProposalEvent.APPROVE, at=day(number), actor=person, reason=reason)
        row.approved_at, row.execute_by = day(number), day(number + 0.25)
        self._incident(IncidentEvent.APPROVE, number)
        execution = Execution(proposal_id=row.id, model=row.model, created_at=day(number))
        self.session.add(execution)
        self.session.flush()
        return execution

    def executed(self, row: Proposal, execution: Execution, *, number: float = 39) -> Verification:
        execution.state, execution.worker, execution.seconds = "done", "w1", 4.1249
        started = datetime(2026, 11, 21, tzinfo=UTC)
        execution.started_at, execution.finished_at = started, started + timedelta(seconds=4)
        for position, name in enumerate(("recheck", "train", "switch")):
            self.session.add(
                ExecutionStep(
                    execution_id=execution.id,
                    name=name,
                    position=position,
                    state="done",
                    token=1,
                    result={"to": "2", "share": 0.123456},
                    intended_at=started,
                    done_at=started + timedelta(seconds=position + 0.25),
                )
            )
        move_proposal(self.session, row, ProposalEvent.START, at=day(number), actor="w1")
        done = {"results": {"switch": {"from": "1", "to": "2"}}}
        move_proposal(self.session, row, ProposalEvent.FINISH, at=day(number), actor="w1", data=done)
        move_proposal(self.session, row, ProposalEvent.WATCH, at=day(number), actor="watchkeeper")
        self._incident(IncidentEvent.EXECUTE, number)
        self.session.add(Deployment(model=self.name, version="2", kind="retrain", at=day(number), proposal_id=row.id))
        watched = Verification(proposal_id=row.id, started_at=day(number), due_at=day(number + 14))
        self.session.add(watched)
        self.session.flush()
        return watched

    def judged(self, row: Proposal, watched: Verification, verdict: str = "succeeded", *, number: float = 42) -> None:
        watched.verdict, watched.decided_at, watched.document = verdict, day(number), HELPED
        event = {"succeeded": ProposalEvent.SUCCEED, "failed": ProposalEvent.FAIL}.get(verdict, ProposalEvent.GIVE_UP)
        move_proposal(self.session, row, event, at=day(number), actor="verification", data=HELPED)
        self._incident(
            IncidentEvent.RECOVER if verdict == "succeeded" else IncidentEvent.PERSIST, number, HELPED["statement"]
        )
        self.session.flush()

    def whole(self) -> Story:
        """From the first look to the recovery."""
        self.watched().opened()
        row = self.proposed(diagnosis=self.diagnosed())
        self.judged(row, self.executed(row, self.approved(row)))
        return self

    def _decide(self, row: Proposal, person: str, decision: str, reason: str, number: float) -> None:
        self.session.add(
            Approval(
                proposal_id=row.id, person=person, decision=decision, digest=row.digest, reason=reason, at=day(number)
            )
        )
        self._audit(number, person, f"decision {decision}", row.id, {"digest": row.digest, "reason": reason})

    def _incident(self, event: IncidentEvent, number: float, reason: str = "") -> None:
        move_incident(self.session, self.incident, event, at=day(number), actor="watchkeeper", reason=reason)

    def _audit(self, number: float, actor: str, event: str, subject: str, data: dict[str, Any]) -> None:
        audit.append(self.session, at=day(number), actor=actor, event=event, subject=subject, data=data)
