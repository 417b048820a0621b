"""A small seeded world with text and times: tickets of a help desk, and whether they escalate."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from ml.models import recipes
from ml.models.recipes import FittedModel
from ml.spec import ModelSpec

START = pd.Timestamp("2026-03-01", tz="UTC")
SPEC = ModelSpec.model_validate(
    {
        "name": "tickets",
        "task": "binary",
        "features": {
            "text": {"type": "text"},
            "opened": {"type": "datetime"},
            "amount": {"type": "numeric"},
        },
        "data_owner": "#desk-data",
    }
)
CALM = "Bitte schicken Sie mir die Rechnung für Mai noch einmal zu danke schön"
ANGRY = "sofort Käse kaputt Gerät defekt ärgerlich Störung Anwalt kündigen Rückgabe"
OTHER = "please send the invoice again thank you very much broken device angry lawyer cancel refund now"


def sentence(words: list[str], rng: np.random.Generator) -> str:
    return " ".join(rng.choice(words, int(rng.integers(3, 12))))


def rows(n: int, seed: int, start: pd.Timestamp = START) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    angry = rng.random(n) < 0.5
    texts = [sentence(CALM.split() + (ANGRY.split() if a else []), rng) for a in angry]
    times = pd.date_range(start, periods=n, freq="20min")
    minutes = rng.gamma(2, 20, n)
    amount = rng.normal(100, 20, n)
    strong = np.array([sum(word in ANGRY.split() for word in t.split()) for t in texts])
    z = 0.9 * strong - 1.2 + 0.03 * (minutes - 40) + 0.01 * (amount - 100)
    label = (rng.random(n) < 1 / (1 + np.exp(-2 * z))).astype(int)
    opened = (times - pd.to_timedelta(minutes, unit="min")).astype("datetime64[us, UTC]")
    return pd.DataFrame({"timestamp": times, "text": texts, "opened": opened, "amount": amount, "label": label})


@cache
def champion() -> FittedModel:
    return recipes.fit(SPEC, rows(1500, 1)).with_version("1")


def served(frame: pd.DataFrame) -> pd.DataFrame:
    out = champion().predict(frame)
    return frame.assign(prediction=out["prediction"].to_numpy(), score=out["score"].to_numpy(), model_version="1")


@cache
def reference() -> pd.DataFrame:
    return served(rows(1000, 2, START - pd.Timedelta(days=30)))
