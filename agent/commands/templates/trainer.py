"""An example of your own trainer: name it in a spec as `trainer: trainer:train`."""

from sklearn.ensemble import HistGradientBoostingClassifier


def train(features, label, spec):
    """Fit on a frame of the spec's used features; return anything with `predict` (and `predict_proba` for classes)."""
    numbers = features.select_dtypes("number").columns
    return HistGradientBoostingClassifier(**spec.training.parameters).fit(features[numbers], label)
