"""What all servers of the benchmark serve: one XGBoost model of 200 trees on 20 numbers, in each one's own form."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from ml.models.recipes import FittedModel, fit
from ml.spec import ModelSpec

FEATURES = 20
TREES = 200
BODIES = 500
"""Different requests, sent in turn: no server answers from memory."""


def spec_of(name: str = "bench") -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": name,
            "task": "binary",
            "features": {f"x{j}": {"type": "numeric"} for j in range(FEATURES)},
            "training": {"parameters": {"n_estimators": TREES, "max_depth": 6}},
        }
    )


def rows(count: int, seed: int) -> pd.DataFrame:
    """Features, label and time; full float64 precision, as real measurements have it."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(count, FEATURES)), columns=[f"x{j}" for j in range(FEATURES)])
    signal = frame["x0"] + frame["x1"] * frame["x2"] + np.sin(3 * frame["x3"]) + rng.normal(0, 0.7, count)
    times = pd.date_range("2026-01-01", periods=count, freq="min", tz="UTC")
    return frame.assign(label=(signal > 0).astype(int), timestamp=times)


def fitted(seed: int = 0, count: int = 5_000) -> FittedModel:
    return fit(spec_of(), rows(count, seed), seed=seed)


def build(home: Path) -> None:
    """workspace (with the model as champion in its registry), peer (the same booster as MLflow's xgboost flavour),
    peer.onnx (the same booster for ONNX Runtime), split.lua and bare.lua (the requests)."""
    from mlflow.xgboost import save_model

    from ml.models.deployment import promote
    from ml.models.registry import Registry
    from ml.models.training import register_external
    from ml.serving.engines.convert import write_onnx

    warnings.filterwarnings("ignore")
    spec, model = spec_of(), fitted()
    workspace = home / "workspace"
    watchkeeper("init", str(workspace))
    (home / "bench.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json", exclude_defaults=True)))
    watchkeeper("model", "add", str(home / "bench.yaml"), "--home", str(workspace))
    registry = Registry(f"sqlite:///{workspace / 'mlflow.db'}")
    made = register_external(spec, model, registry=registry, run_tag="benchmark", reference=rows(500, 1))
    promote(registry, spec.name, made.version, expected=None)
    estimator = model.pipeline.steps[-1][1].estimator_
    save_model(estimator, str(home / "peer"), pip_requirements=["xgboost"])
    write_onnx(estimator, FEATURES, home / "peer.onnx")
    sent = rows(BODIES, 2).drop(columns=["label", "timestamp"])
    bodies = [json.dumps({"dataframe_split": {"columns": list(sent), "data": [row]}}) for row in sent.values.tolist()]
    (home / "split.lua").write_text(_script("/invocations", bodies))
    bare = [json.dumps({"data": [row]}) for row in sent.values.tolist()]
    (home / "bare.lua").write_text(_script("/predict", bare))


def watchkeeper(*arguments: str) -> None:
    """Run the command. Raises: SystemExit with what it said when it fails."""
    program = str(Path(sys.executable).parent / "watchkeeper")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise SystemExit(f"watchkeeper {' '.join(arguments)}:\n{done.stdout}{done.stderr}")


def _script(path: str, bodies: list[str]) -> str:
    """For wrk: the bodies in turn, and what it found as one line of JSON."""
    listed = ",\n".join(f"[==[{body}]==]" for body in bodies)
    return f"""local bodies = {{{listed}}}
local requests, at = {{}}, 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
init = function(args)
  for k, body in ipairs(bodies) do requests[k] = wrk.format(nil, "{path}", nil, body) end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "errors": %d}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""
