"""The estimator's output -> answers: the class as it stands in the labels, and the score."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ml.serving.engines.plan import Plan
from ml.serving.rows import Answers

_EDGE = 1e-6
_STEEP = 700.0  # beyond, exp overflows and the share is nothing


class Outcome:
    """The second half of a plan. Output: one number a row (a value, or the probability of the second of two classes),
    or one probability for each class."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.classes = list(plan.classes)
        self.names = np.empty(len(plan.classes), dtype=object)
        self.names[:] = self.classes

    def answers(self, output: npt.NDArray[np.float32]) -> Answers:
        """Answers in the order of the output's rows."""
        n = len(output)
        if not self.classes:
            values = output.reshape(n, -1)[:, 0].astype(np.float64).tolist()
            return Answers(values, [None] * n)
        if output.ndim == 1 or output.shape[1] == 1:
            second = output.reshape(n)
            output = np.column_stack([np.float32(1.0) - second, second])
        if n == 1:
            return self._one(output[0].tolist())
        shares = output.astype(np.float64)
        plan = self.plan
        if plan.calibrated >= 0:
            p = np.clip(shares[:, plan.calibrated], _EDGE, 1 - _EDGE)
            height = plan.slope * np.log(p / (1 - p)) + plan.intercept
            scaled = 1 / (1 + np.exp(-np.clip(height, -_STEEP, None)))
            shares = np.column_stack([1 - scaled, 1 - scaled])
            shares[:, plan.calibrated] = scaled
        best = shares.argmax(axis=1)
        if plan.task != "binary":
            score = shares.max(axis=1)
        else:
            score = shares[:, plan.positive] if plan.positive >= 0 else np.zeros(n)
        return Answers(self.names[best].tolist(), score.tolist())

    def _one(self, shares: list[float]) -> Answers:
        plan = self.plan
        if plan.calibrated >= 0:
            p = min(max(shares[plan.calibrated], _EDGE), 1 - _EDGE)
            height = plan.slope * math.log(p / (1 - p)) + plan.intercept
            scaled = 1 / (1 + math.exp(-height)) if height > -_STEEP else 0.0
            shares = [1 - scaled, 1 - scaled]
            shares[plan.calibrated] = scaled
        top = max(shares)
        prediction = self.classes[shares.index(top)]
        if plan.task != "binary":
            return Answers([prediction], [top])
        return Answers([prediction], [shares[plan.positive] if plan.positive >= 0 else 0.0])
