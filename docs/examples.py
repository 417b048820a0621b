"""Write docs/examples/: reports of a demo workspace (`watchkeeper demo --headless --home DIR`), in each format.

python docs/examples.py DIR
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from agent.bootstrap import build
from agent.pipeline.reporting import Wanted, gather, told
from agent.pipeline.services import Services
from agent.reports.facts import incident_facts
from agent.reports.render import render_file
from agent.settings import load_settings
from agent.store.tables import Incident, MonitorRun, Proposal

OUT = Path(__file__).parent / "examples"
MONTH = timedelta(days=31)


def reports(services: Services) -> dict[str, dict[str, Any]]:
    """The month of each model, every incident that was acted on and one that is open, a card, a comparison."""
    made: dict[str, dict[str, Any]] = {}
    with services.store.read() as session:
        ends = dict(
            session.execute(select(MonitorRun.model, func.max(MonitorRun.window_end)).group_by(MonitorRun.model)).all()
        )
        acted = select(Proposal.incident_id)
        rows = session.scalars(
            select(Incident).where(Incident.id.in_(acted) | Incident.resolved_at.is_(None)).order_by(Incident.opened_at)
        ).all()
        for row in rows:
            at = row.resolved_at or ends[row.model]
            name = f"incident-{row.model}-{row.opened_at:%Y-%m-%d}"
            made[name] = incident_facts(session, row, at=at).to_json()
    for model, end in ends.items():
        wanted = {"month": Wanted("monthly", model=model, start=end - MONTH, end=end)}
        if model != "rainfall":
            wanted["compared"] = Wanted("comparison", model=model, start=end - MONTH, end=end)
            wanted["card"] = Wanted("card", model=model, end=end)
        for kind, asked in wanted.items():
            made[f"{kind}-{model}"] = told(services, gather(services, asked))
    return made


def write(name: str, facts: dict[str, Any]) -> None:
    import pypdfium2  # type: ignore[import-untyped, unused-ignore]

    for format in ("html", "pdf", "json"):
        (OUT / f"{name}.{format}").write_bytes(render_file(facts, format))
    first = pypdfium2.PdfDocument(OUT / f"{name}.pdf")[0]
    first.render(scale=1.1).to_pil().convert("P", palette=1, colors=64).save(OUT / f"{name}.png", optimize=True)
    print(f"wrote {name}")


def main() -> None:
    OUT.mkdir(exist_ok=True)
    services = build(load_settings(home=Path(sys.argv[1])), migrate=True)
    for name, facts in reports(services).items():
        write(name, facts)


if __name__ == "__main__":
    main()
