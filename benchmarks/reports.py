"""A report over 50 models and 90 days: seconds and memory, and the PDF's share of it. `make bench-reports`."""

from __future__ import annotations

import hashlib
import random
import resource
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from agent.reports import canvas
from agent.reports.facts import period_facts
from agent.reports.render import render_file
from agent.store.migrate import upgrade
from agent.store.session import Store
from agent.store.tables import MeasurementRow, Model, MonitorRun

MODELS, DAYS, FEATURES = 50, 90, 20
START = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = "name: {name}\ntask: regression\nmetric: mae\nsegments: [f00]\nfeatures:\n{features}\n"


def fill(store: Store) -> None:
    """A look every six hours for each model, with drift of every feature once a day."""
    chance = random.Random(0)
    features = "\n".join(f"  f{i:02}: {{type: {'categorical' if i == 0 else 'numeric'}}}" for i in range(FEATURES))
    with store.write() as session:
        for number in range(MODELS):
            name = f"model-{number:02}"
            session.add(Model(name=name, spec=SPEC.format(name=name, features=features), registered_at=START))
        session.flush()
        for number in range(MODELS):
            name = f"model-{number:02}"
            runs, rows = [], []
            for look in range(DAYS * 4):
                end = START + timedelta(hours=6 * look + 6)
                run = f"r-{number:02}-{look:04}"
                span = {"window_start": end - timedelta(days=7), "window_end": end}
                runs.append(
                    {"id": run, "model": name, "rows": 1000, "champion": "1", "seconds": 0.2, "state": {}, **span}
                )
                value = 10 + chance.random() * 4 + (8 if number % 7 == 0 and look > 300 else 0)
                plain: dict[str, Any] = {
                    "run_id": run,
                    "model": name,
                    "n": 500,
                    "unit": "",
                    "detail": "",
                    "facts": {},
                    "segment": None,
                    **span,
                }
                rows.append({
                    **plain, "monitor": "performance.mae", "feature": None, "value": value, "low": value - 1,
                    "high": value + 1, "threshold": 18.0, "status": "breach" if value > 18 else "ok",
                })  # fmt: skip
                if look % 4 == 0:
                    rows += [
                        {**plain, "monitor": "drift.psi", "feature": f"f{i:02}", "value": chance.random() / 4,
                         "low": None, "high": None, "threshold": 0.2, "status": "ok"}
                        for i in range(FEATURES)
                    ]  # fmt: skip
            session.execute(insert(MonitorRun), runs)
            session.execute(insert(MeasurementRow), rows)


def _anew(facts: dict[str, Any], format: str) -> bytes:
    """The file, with every picture drawn again."""
    canvas.forget()
    return render_file(facts, format)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{Path(folder) / 'watchkeeper.db'}")
        upgrade(store)
        fill(store)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        began, cpu = time.perf_counter(), time.process_time()
        with store.read() as session:
            facts = period_facts(session, start=START, end=START + timedelta(days=DAYS), cadence="monthly").to_json()
        steps = {"facts": (time.perf_counter() - began, time.process_time() - cpu, "")}
        for format in ("pdf", "html", "md", "json"):
            began, cpu = time.perf_counter(), time.process_time()
            content = render_file(facts, format)
            again = f"{len(content) / 1024:.0f} kB {hashlib.sha256(content).hexdigest()[:12]}"
            steps[format] = (time.perf_counter() - began, time.process_time() - cpu, again)
        same = all(_anew(facts, f) == _anew(facts, f) for f in ("html", "pdf"))
        store.close()
    print(f"{MODELS} models, {DAYS} days, {MODELS * DAYS * 4} looks")
    print(f"{'step':8}{'seconds':>9}{'of CPU':>9}  output")
    for name, (seconds, used, output) in steps.items():
        print(f"{name:8}{seconds:9.2f}{used:9.2f}  {output}")
    print(f"{'all':8}{sum(s for s, _, _ in steps.values()):9.2f}{sum(c for _, c, _ in steps.values()):9.2f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"peak memory {peak:.0f} MB ({before:.0f} MB before the report); "
        f"the same bytes again: {'yes' if same else 'NO'}"
    )


if __name__ == "__main__":
    main()
