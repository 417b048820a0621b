"""MLflow's scoring protocol: bodies as `mlflow models serve` takes them, answers as it gives them.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from ml.serving import inputs
from ml.serving.inputs import Table
from ml.serving.problems import Refused
from ml.serving.rows import Answers

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_ONE_OF = f"The body must be an object with exactly one of {', '.join(FORMATS)}"


def parse(body: bytes, content_type: str, order: Sequence[str], most_rows: int) -> Table:
    """The rows of a body. order: the columns of rows that come without names. Raises: Refused."""
    kind, _, rest = content_type.partition(";")
    kind = kind.strip().lower()
    if rest and (said := rest.strip().lower().replace('"', "")) not in ("", "charset=utf-8", "header=present"):
        raise Refused(415, "unsupported media type", f"The content type's parameter {said[:60]!r} is not understood.")
    if kind == "application/json":
        return _from_json(inputs.read_json(body), order)
    if kind == "text/csv":
        return inputs.read_csv(body, most_rows)
    raise Refused(
        415,
        "unsupported media type",
        f"The content type {kind[:60]!r} is not understood; send application/json or text/csv.",
    )


def _from_json(data: Any, order: Sequence[str]) -> Table:
    if type(data) is not dict:
        raise Refused(400, "wrong body", f"{_ONE_OF}; this one is no object.")
    given = [name for name in data if name in FORMATS]
    if len(given) != 1:
        keys = ", ".join(repr(name[:40]) for name in list(data)[:6]) or "none"
        raise Refused(400, "wrong body", f"{_ONE_OF}; the keys of this one: {keys}.")
    if data.get("params"):
        raise Refused(400, "params", "`params` are not understood: these models have no parameters; leave them out.")
    name = given[0]
    content = data[name]
    if name == "dataframe_split":
        return _split(content, order)
    if name == "dataframe_records":
        if type(content) is not list:
            raise Refused(400, "wrong body", "`dataframe_records` is a list of objects, one a row.")
        return inputs.from_records(content)
    if type(content) is dict:
        if name == "instances":
            raise Refused(400, "wrong body", "`instances` is a list of rows; columns go into `inputs`.")
        return inputs.from_columns(content)
    if type(content) is not list:
        raise Refused(
            400, "wrong body", f"`{name}` is a list of rows{' or an object of columns' * (name == 'inputs')}."
        )
    if content and type(content[0]) is dict:
        return inputs.from_records(content)
    return inputs.from_rows(order, content)


def _split(content: Any, order: Sequence[str]) -> Table:
    if (
        type(content) is not dict
        or type(content.get("data")) is not list
        or set(content) - {"columns", "index", "data"}
    ):
        raise Refused(400, "wrong body", "`dataframe_split` is an object with `columns`, `data` and perhaps `index`.")
    names = content.get("columns", order)
    if names is not order and (type(names) is not list or any(type(name) is not str for name in names)):
        raise Refused(400, "wrong body", "`columns` in `dataframe_split` is a list of names.")
    return inputs.from_rows(names, content["data"])


def write(answers: Answers, ids: Sequence[str]) -> bytes:
    """`predictions` as MLflow's server writes them; `scores` and `prediction_ids` are beside them."""
    body: dict[str, Any] = {"predictions": answers.predictions}
    if answers.scores and answers.scores[0] is not None:
        body["scores"] = answers.scores
    body["prediction_ids"] = ids
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
