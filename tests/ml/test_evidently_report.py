from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.errors import InvalidInput, Unavailable
from ml.evidently_report import deep_dive
from ml.spec import parse_spec

SPEC = parse_spec("""
name: loans
task: binary
features:
  income: {type: numeric}
  region: {type: categorical}
  empty: {type: numeric}
  note: {type: text}
""")
pytestmark = pytest.mark.filterwarnings("ignore")


def sample(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "income": np.where(rng.random(n) < 0.05, np.inf, rng.normal(size=n)),
            "region": rng.choice(["north", "south"], n).astype(object),
            "empty": np.nan,
            "note": "x",
            "prediction": rng.choice(["0", "1"], n).astype(object),
            "score": rng.random(n),
            "label": None,
        }
    )


def test_a_page_is_written_from_a_sample_and_says_what_it_lacks(tmp_path: Path) -> None:
    written = deep_dive(SPEC, sample(400, 1), sample(300, 2), tmp_path / "new" / "page.html", sample=200)
    assert written.rows == (200, 200)
    assert set(written.left_out) == {"empty", "note"}
    html = written.path.read_text(encoding="utf-8")
    assert "income" in html
    assert "<html" in html.lower()


def test_nothing_to_show_and_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nothing to show of 'loans'"):
        deep_dive(SPEC, sample(10, 1), sample(10, 2).head(0), tmp_path / "page.html")
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be written"):
        deep_dive(SPEC, sample(50, 1), sample(50, 2), tmp_path / "file" / "page.html")
