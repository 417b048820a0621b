"""100 models in one process, opened and asked through the server's own pool; prints its memory as JSON.

`python -m benchmarks.serving.many FOLDER MODELS`: FOLDER holds prepared versions; each is opened as often as needed to
make up the number, which takes as much memory as so many different ones: engines share nothing.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import cycle, islice
from pathlib import Path

BUDGET_MB = 1024


def main(folder: Path, count: int) -> dict[str, float]:
    from benchmarks.serving.load import memory_of
    from ml.serving.engines.prepare import open_prepared
    from ml.serving.pool import Pool
    from ml.serving.rows import Engine, Rows

    folders = list(islice(cycle(sorted(path.parent for path in folder.glob("*/engine.json"))), count))

    def opened(model: str, version: str) -> Engine:
        _, engine = open_prepared(folders[int(model)])
        assert engine is not None
        return engine

    before = memory_of()
    pool = Pool(opened, budget=BUDGET_MB * 2**20)
    one = Rows({f"x{j}": (0.5 * j,) for j in range(20)}, ("a",))
    batch = Rows({f"x{j}": [0.01 * k for k in range(2_000)] for j in range(20)}, [str(k) for k in range(2_000)])
    begun = time.perf_counter()
    for number in range(count):
        engine = pool.get(str(number), "1")
        engine.answer(one)
        engine.answer(batch)
    seconds = time.perf_counter() - begun
    state = pool.state()
    return {
        "models": state.loaded,
        "evictions": state.evictions,
        "process_mb": memory_of(),
        "before_mb": before,
        "said_mb": state.nbytes / 2**20,
        "open_ms": 1e3 * seconds / count,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
