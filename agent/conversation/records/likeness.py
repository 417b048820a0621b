"""Past incidents that are like one, or like a description: by the words of their records (TF-IDF), or by an embedding
model where one is configured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.conversation.records.sight import Sight
from agent.domain.wording import words
from agent.store import queries
from agent.store.tables import Alert, Diagnosis, Incident, Proposal, Verification
from tools.context import Found

Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""Texts in, vectors out."""
MOST_COMPARED, SHOWN, ALIKE = 2000, 8, 0.05


def similar(sight: Sight, wanted: str | None, text: str | None, embed: Embed | None = None) -> Found:
    """The incidents most like one (or like a text), by cosine similarity; only those that are alike at all."""
    session = sight.session
    asked = sight.by_id(Incident, wanted) if wanted is not None else None
    query = select(Incident).where(sight.within(Incident.model, None)).order_by(Incident.opened_at.desc(), Incident.id)
    past = [row for row in session.scalars(query.limit(MOST_COMPARED)) if asked is None or row.id != asked.id]
    if not past:
        return Found({"similar": []}, missing="There is no other incident on record to compare with.")
    told = _told(session, [*past, *([asked] if asked else [])])
    sought = told[asked.id] if asked else str(text)
    found = _cosines(sought, [told[row.id] for row in past], embed)
    ranked = sorted(zip(found, past, strict=True), key=lambda one: (-one[0], one[1].id))
    near = [(likeness, row) for likeness, row in ranked[:SHOWN] if likeness >= ALIKE]
    if not near:
        return Found({"similar": []}, missing=f"None of {len(past)} past incidents is like that.", n=len(past))
    return Found(
        {"similar": [_line(session, row, likeness) for likeness, row in near]},
        n=len(past),
        unit="cosine similarity",
        evidence=tuple(row.id for _, row in near),
    )


def _told(session: Session, rows: Sequence[Incident]) -> dict[str, str]:
    """What the records say of each incident, as words: what fired, what was found, what ended it."""
    parts: dict[str, list[str]] = {row.id: [row.title, row.severity, row.resolution] for row in rows}
    alerts = select(Alert.incident_id, Alert.monitor, Alert.feature, Alert.detail)
    for incident, monitor, feature, detail in session.execute(alerts.where(Alert.incident_id.in_(parts))):
        parts[incident] += [monitor.replace(".", "_"), feature or "", detail]
    found = select(Diagnosis.incident_id, Diagnosis.cause, Diagnosis.action, Diagnosis.verdict)
    for incident, *said in session.execute(found.where(Diagnosis.incident_id.in_(parts)).order_by(Diagnosis.at)):
        parts[incident] += [text for one in said for text in (one, words(one))]
    return {incident: " ".join(part for part in said if part) for incident, said in parts.items()}


def _cosines(sought: str, texts: Sequence[str], embed: Embed | None) -> list[float]:
    import numpy as np

    if embed is not None:
        vectors = np.asarray(embed([sought, *texts]), dtype=np.float64)
        lengths = np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
        return [float(value) for value in vectors[1:] @ vectors[0] / (lengths[1:] * lengths[0])]
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Numbers differ from one incident to the next and would make unlike ones alike by chance.
    pattern = r"(?u)\b[^\W\d][\w-]+\b"
    try:
        table = TfidfVectorizer(token_pattern=pattern, sublinear_tf=True).fit_transform([sought, *texts])
    except ValueError:  # no word at all
        return [0.0] * len(texts)
    return [float(value) for value in (table[1:] @ table[0].T).toarray()[:, 0]]


def _line(session: Session, row: Incident, likeness: float) -> dict[str, Any]:
    diagnosis = queries.latest_diagnosis(session, row.id)
    of_it = select(Proposal).where(Proposal.incident_id == row.id).order_by(Proposal.created_at.desc())
    proposal = session.scalar(of_it.limit(1))
    verification = session.get(Verification, proposal.id) if proposal else None
    return {
        "id": row.id,
        "model": row.model,
        "similarity": round(min(likeness, 1.0), 3),
        "title": row.title,
        "cause": diagnosis.cause if diagnosis else None,
        "action": proposal.kind if proposal else (diagnosis.action if diagnosis else None),
        "outcome": (verification.verdict if verification else None) or (proposal.state if proposal else row.state),
        "resolution": row.resolution,
        "opened_at": row.opened_at,
        "resolved_at": row.resolved_at,
    }
