"""The engine of the hot path: encode, score, shape the answers. Imports neither pandas nor scikit-learn."""

from __future__ import annotations

from ml.serving.engines.encode import Encoder
from ml.serving.engines.outcome import Outcome
from ml.serving.engines.plan import Plan
from ml.serving.engines.scorers import Scorer
from ml.serving.rows import Answers, Rows


class FastEngine:
    """small answers few rows, large answers from `many` rows on, where another library is faster for a batch."""

    def __init__(self, plan: Plan, small: Scorer, large: Scorer | None = None, *, many: int = 0) -> None:
        self.model = plan.model
        self.version = plan.version
        self.kind = small.kind
        self.nbytes = small.nbytes + (large.nbytes if large else 0)
        self._encoder = Encoder(plan)
        self._outcome = Outcome(plan)
        self._small = small
        self._large = large or small
        self._many = many

    def answer(self, rows: Rows) -> Answers:
        n = len(rows)
        matrix = self._encoder.matrix(rows.columns, n)
        scorer = self._small if n < self._many else self._large
        return self._outcome.answers(scorer(matrix))
