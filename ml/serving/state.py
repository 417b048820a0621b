"""What the keeper tells the processes that answer: which versions are ready on disk, and which of them take part.

Kept as JSON beside the models, so that a server that starts while the registry is away serves what it served last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ml.errors import DataError
from ml.serving.routing import Routes
from ml.spec import ModelSpec

FORMAT = 1


@dataclass(frozen=True, slots=True)
class ModelState:
    """One model. folders: version -> folder under the root of the models, for every version that is prepared."""

    spec: ModelSpec
    routes: Routes
    folders: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class State:
    """models: those that can answer. waiting: those with a champion that cannot yet, and why. refused: (model, version)
    that cannot be prepared, and why. notes: what else an operator should know, by model.
    away_since: seconds since 1970 when the registry was last heard of; None while it answers. away: why."""

    models: Mapping[str, ModelState] = field(default_factory=dict)
    waiting: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[tuple[str, str], str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    away_since: float | None = None
    away: str = ""
    asked: bool = False


def save(models: Mapping[str, ModelState], path: Path) -> None:
    """Write the models' part, whole or not at all. Raises: OSError."""
    content = {
        "format": FORMAT,
        "models": {
            name: {
                "spec": model.spec.model_dump(mode="json"),
                "routes": asdict(model.routes),
                "folders": dict(model.folders),
            }
            for name, model in models.items()
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    part.replace(path)


def load(path: Path, root: Path) -> dict[str, ModelState]:
    """The models that were served last and whose files are still there; none where nothing was saved.

    Raises: DataError when the file cannot be read.
    """
    try:
        content: dict[str, Any] = orjson.loads(path.read_bytes())
        if content["format"] != FORMAT:
            return {}
        found = {
            name: ModelState(
                ModelSpec.model_validate(model["spec"]),
                Routes(**model["routes"]),
                {version: folder for version, folder in model["folders"].items() if (root / folder).is_dir()},
            )
            for name, model in content["models"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read ({str(error)[:120]}); delete it.") from error
    return {name: model for name, model in found.items() if model.routes.champion in model.folders}
