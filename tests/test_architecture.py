"""Rules of the house that neither ruff nor the import contracts can say."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("agent", "ml", "notifications", "tools")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
CONTRACTS = {
    c["id"]: c for c in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}
HEAVY = (
    "duckdb",
    "deltalake",
    "evidently",
    "fastapi",
    "matplotlib",
    "mlflow",
    "pandas",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "xgboost",
)

# Two decisions in one file; the list gets shorter, never longer.
TO_BE_SPLIT = {"ml.diagnosis.breaks", "ml.diagnosis.investigate"}


def covered(module: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(module, pattern) or module.startswith(f"{pattern}.") for pattern in patterns)


@pytest.mark.parametrize(
    "module", ["ml.models.training", "ml.models.deployment", "agent.pipeline.execute", "agent.pipeline.approve"]
)
def test_what_changes_things_is_out_of_reach_of_what_a_language_model_calls(module):
    assert module in MODULES
    assert covered(module, CONTRACTS["reads-and-proposes-never-acts"]["forbidden_modules"])


def test_the_contract_guards_everything_a_language_model_can_call():
    sources = CONTRACTS["reads-and-proposes-never-acts"]["source_modules"]
    callable_parts = [
        name for name in MODULES if name.split(".")[0] == "tools" or name.startswith("agent.conversation")
    ]
    assert [name for name in callable_parts if not covered(name, sources)] == []


def test_the_pure_core_is_the_whole_of_it():
    sources = CONTRACTS["pure-core"]["source_modules"]
    core = [name for name in MODULES if name.startswith("agent.domain")]
    core += ["tools.actions", "ml.results", "ml.spec", "ml.diagnosis.causes"]
    assert [name for name in core if not covered(name, sources)] == []


def test_no_file_is_longer_than_four_hundred_lines():
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    long = {name for name, lines in lengths.items() if lines > 400 and ".migrations." not in name}
    assert long <= TO_BE_SPLIT


def test_no_module_is_named_for_nothing():
    vague = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}
    assert [name for name in MODULES if name.rpartition(".")[2] in vague] == []


def test_only_the_settings_read_the_environment():
    readers = set()
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv", "os.environb"):
                readers.add(name)
    # They write there what a library takes from nowhere else: MLflow's time limits, the folder of Prometheus's client.
    assert readers - {"ml.models.tracking", "ml.serving.metrics"} == {"agent.settings"}


def test_the_command_line_starts_without_heavy_imports():
    program = f"import sys, agent.cli; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    assert loaded.stdout.split() == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_of_modules_is_a_package(package):
    folders = {path.parent for path in FILES if path.is_relative_to(ROOT / package)}
    folders = {folder for folder in folders if not {"migrations", "templates"} & set(folder.parts)}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
