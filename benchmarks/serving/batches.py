"""20,000 rows at once: what each step takes in the process that answers, beside the library alone; then over HTTP.

`python -m benchmarks.serving.batches parts FOLDER` prints the steps as JSON, in seconds.
"""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.serving import world

ROWS = 20_000


def bodies() -> dict[str, tuple[str, str, bytes]]:
    """Name -> path, content type and body of the same rows in each form."""
    frame = world.rows(ROWS, 3).drop(columns=["label", "timestamp"])
    split = {"dataframe_split": {"columns": list(frame), "data": frame.to_numpy().tolist()}}
    tensors = [
        {"name": name, "shape": [ROWS], "datatype": "FP64", "data": frame[name].tolist()} for name in frame.columns
    ]
    return {
        "dataframe_split": ("/invocations", "application/json", orjson.dumps(split)),
        "inputs (columns)": (
            "/invocations",
            "application/json",
            orjson.dumps({"inputs": {name: frame[name].tolist() for name in frame}}),
        ),
        "Open Inference (columns)": ("/v2/models/bench/infer", "application/json", orjson.dumps({"inputs": tensors})),
        "CSV": ("/invocations", "text/csv", frame.to_csv(index=False).encode()),
    }


def over_http(port: int, runs: int = 5) -> dict[str, float]:
    """Rows a second, from sending the first byte to having read the last; the best of the runs."""
    found = {}
    for name, (path, kind, body) in bodies().items():
        best = float("inf")
        for _ in range(runs):
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            begun = time.perf_counter()
            line.request("POST", path, body, {"Content-Type": kind})
            answer = line.getresponse()
            answer.read()
            best = min(best, time.perf_counter() - begun)
            line.close()
            if answer.status != 200:
                raise SystemExit(f"{name}: the server answered {answer.status}.")
        found[name] = ROWS / best
    return found


def parts(home: Path) -> dict[str, float]:
    """Seconds of each step, the best of several."""
    from ml.serving.engines.prepare import open_prepared
    from ml.serving.inputs import Table
    from ml.serving.journal import Journal
    from ml.serving.protocols import open_inference, scoring
    from ml.serving.rows import Rows
    from ml.serving.signature import Signature

    spec = world.spec_of()
    signature = Signature(spec)
    folder = next((home / "workspace" / "serving" / "models" / spec.name).glob("1-*"))
    _, engine = open_prepared(folder)
    assert engine is not None
    sent = bodies()
    split, columnar, csv = (sent[name][2] for name in ("dataframe_split", "Open Inference (columns)", "CSV"))
    table: Table = scoring.parse(split, "application/json", signature.order, ROWS)
    rows = Rows(signature.check(table.columns, ROWS), [str(row) for row in range(ROWS)])
    answers = engine.answer(rows)
    with tempfile.TemporaryDirectory() as scratch:
        journal = Journal(Path(scratch))
        found = {
            "parse dataframe_split": _best(lambda: scoring.parse(split, "application/json", signature.order, ROWS)),
            "parse Open Inference columns": _best(lambda: open_inference.parse(columnar, signature)),
            "parse CSV": _best(lambda: scoring.parse(csv, "text/csv", signature.order, ROWS)),
            "check": _best(lambda: signature.check(table.columns, ROWS)),
            "answer (encode, score, shape)": _best(lambda: engine.answer(rows)),
            "journal": _best(lambda: journal.record(spec.name, "champion", "1", rows, answers, 0.01, time.time())),
            "write": _best(lambda: scoring.write(answers, rows.ids)),
        }
        journal.close()
    return found | _library(home, table.columns)


def _library(home: Path, columns: Mapping[str, Any]) -> dict[str, float]:
    """XGBoost alone, one thread: from a ready matrix, and from a table as `mlflow models serve` feeds it."""
    import pandas as pd
    import xgboost

    booster = xgboost.Booster(model_file=str(home / "peer" / "model.ubj"))
    booster.set_param({"nthread": 1})
    frame = pd.DataFrame(dict(columns))
    matrix = np.ascontiguousarray(frame.to_numpy(), dtype=np.float32)
    return {
        "XGBoost alone, matrix ready": _best(lambda: booster.inplace_predict(matrix)),
        "XGBoost alone, from a DataFrame": _best(lambda: booster.inplace_predict(frame)),
        "XGBoost alone, DMatrix": _best(lambda: booster.predict(xgboost.DMatrix(frame, nthread=1))),
    }


def _best(work: Callable[[], object], runs: int = 7) -> float:
    def once() -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    return min(once() for _ in range(runs))


if __name__ == "__main__":
    assert sys.argv[1] == "parts"
    print(json.dumps(parts(Path(sys.argv[2]))))
