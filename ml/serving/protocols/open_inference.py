"""Open Inference Protocol v2 over JSON: tensors in, tensors out. The binary extension is refused, clearly.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ml.serving import ids, inputs
from ml.serving.inputs import Table
from ml.serving.problems import Fault, Refused, refuse_rows
from ml.serving.rows import Answers
from ml.serving.signature import Signature
from ml.spec import FeatureType, Task

_INTEGERS = frozenset(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))
_FLOATS = frozenset({"FP16", "FP32", "FP64", "BF16"})
_DATATYPES = _INTEGERS | _FLOATS | {"BOOL", "BYTES"}
_FITS: Mapping[FeatureType, frozenset[str]] = {
    FeatureType.NUMERIC: _INTEGERS | _FLOATS,
    FeatureType.CATEGORICAL: _INTEGERS | _FLOATS | {"BYTES", "BOOL"},
    FeatureType.BOOLEAN: _INTEGERS | {"BOOL"},
    FeatureType.DATETIME: frozenset({"BYTES"}),
    FeatureType.TEXT: frozenset({"BYTES"}),
}
_DATATYPE = {FeatureType.NUMERIC: "FP64", FeatureType.BOOLEAN: "BOOL"}
_IN_JSON: Mapping[str, tuple[type, ...]] = {
    "BOOL": (bool, int),
    "BYTES": (str,),
    **dict.fromkeys(_INTEGERS, (int,)),
    **dict.fromkeys(_FLOATS, (int, float, str)),
}
OUTPUTS = ("predict", "score")


@dataclass(frozen=True, slots=True)
class Asked:
    """An inference request. outputs: names that were asked for, or None for all."""

    table: Table
    id: str | None
    outputs: tuple[str, ...] | None


def parse(body: bytes, signature: Signature) -> Asked:
    """The rows of a request. Raises: Refused."""
    data = inputs.read_json(body)
    if type(data) is not dict or type(data.get("inputs")) is not list or not data["inputs"]:
        raise Refused(400, "wrong body", "The body is an object with `inputs`, a list of one tensor or more.")
    request_id = data.get("id")
    if request_id is not None and type(request_id) is not str:
        raise Refused(400, "wrong body", "`id` is text.")
    tensors = [_tensor(number, tensor) for number, tensor in enumerate(data["inputs"])]
    if len(tensors) == 1 and tensors[0].name not in signature.kinds:
        table = _one_matrix(tensors[0], signature)
    else:
        table = _columns(tensors, signature)
    checked = None if not request_id else ids.check_request_id(request_id, "`id`")
    return Asked(table, checked, _outputs(data.get("outputs")))


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any]


def _tensor(number: int, tensor: Any) -> _Tensor:
    if type(tensor) is not dict:
        raise Refused(400, "wrong body", f"`inputs[{number}]` is no object.")
    name, datatype, shape, data = (tensor.get(key) for key in ("name", "datatype", "shape", "data"))
    if type(name) is not str:
        raise Refused(400, "wrong body", f"`inputs[{number}]` has no `name`.")
    shown = name[:100]
    if type(datatype) is not str or datatype not in _DATATYPES:
        raise refuse_rows([Fault("datatype", f"needs one of the datatypes {', '.join(sorted(_DATATYPES))}.", shown)])
    if type(shape) is not list or not shape or not all(type(size) is int and 0 <= size < 2**31 for size in shape):
        raise refuse_rows([Fault("shape", "needs a shape: a list of whole numbers.", shown)])
    parameters = tensor.get("parameters")
    if type(parameters) is dict and "binary_data_size" in parameters:
        raise Refused(400, "binary data", "The binary data extension is not understood; send the data as JSON.")
    if type(data) is not list:
        raise refuse_rows([Fault("wrong body", "needs `data`, a list of values.", shown)])
    flat = _flat(data, shown)
    if len(flat) != math.prod(shape):
        what = f"has {len(flat)} values, and its shape {shape} needs {math.prod(shape)}."
        raise refuse_rows([Fault("shape", what, shown)])
    return _Tensor(name, datatype, tuple(shape), flat)


def _flat(data: list[Any], name: str, depth: int = 0) -> list[Any]:
    """The values in row-major order, whether they came nested or flat."""
    if not data or type(data[0]) is not list:
        return data
    if depth > 3 or any(type(part) is not list for part in data):
        raise refuse_rows([Fault("shape", "has lists and values side by side, or lists too deep.", name)])
    return _flat([value for part in data for value in part], name, depth + 1)


def _one_matrix(tensor: _Tensor, signature: Signature) -> Table:
    """One tensor of shape [rows, features], in the order of the model's metadata."""
    names = signature.order
    shape = tensor.shape if len(tensor.shape) > 1 else (1, *tensor.shape)
    if len(shape) != 2 or shape[1] != len(names):
        what = f"is no input of {signature.spec.name!r}, and no matrix of its {len(names)} features: {list(shape)}."
        raise refuse_rows([Fault("shape", what, tensor.name[:100])])
    width = len(names)
    columns = {
        name: _read(_Tensor(name, tensor.datatype, (shape[0],), tensor.data[place::width]), signature.kinds[name])
        for place, name in enumerate(names)
    }
    return Table(columns, shape[0])


def _columns(tensors: Sequence[_Tensor], signature: Signature) -> Table:
    """One tensor a feature, each of shape [rows] or [rows, 1]."""
    inputs.refuse_twice([tensor.name for tensor in tensors])
    columns: dict[str, Sequence[Any]] = {}
    for tensor in tensors:
        if len(tensor.shape) > 2 or (len(tensor.shape) == 2 and tensor.shape[1] != 1):
            what = f"has the shape {list(tensor.shape)}; one value a row is [rows] or [rows, 1]."
            raise refuse_rows([Fault("shape", what, tensor.name[:100])])
        kind = signature.kinds.get(tensor.name)
        columns[tensor.name] = tensor.data if kind is None else _read(tensor, kind)
    counts = {tensor.name: tensor.shape[0] for tensor in tensors}
    first = tensors[0].name
    if other := next((name for name in counts if counts[name] != counts[first]), None):
        what = f"has {counts[other]} rows and {first!r} has {counts[first]}."
        raise refuse_rows([Fault("shape", what, other[:100])])
    return Table(columns, counts[first])


def _read(tensor: _Tensor, kind: FeatureType) -> list[Any]:
    """The data, of the declared datatype, which suits the column."""
    if tensor.datatype not in _FITS[kind]:
        what = f"is {kind}, which {tensor.datatype} is not; send {_DATATYPE.get(kind, 'BYTES')}."
        raise refuse_rows([Fault("datatype", what, tensor.name)])
    fits = _IN_JSON[tensor.datatype]
    if not set(map(type, tensor.data)) <= {*fits, type(None)}:
        row = next(row for row, value in enumerate(tensor.data) if value is not None and type(value) not in fits)
        raise refuse_rows([Fault("wrong type", f"is not of the datatype {tensor.datatype}.", tensor.name, row)])
    return tensor.data


def _outputs(asked: Any) -> tuple[str, ...] | None:
    if asked is None or asked == []:
        return None
    if type(asked) is not list or any(type(item) is not dict for item in asked):
        raise Refused(400, "wrong body", "`outputs` is a list of objects with a `name`.")
    names = tuple(str(item.get("name"))[:100] for item in asked)
    if unknown := next((name for name in names if name not in OUTPUTS), None):
        raise Refused(400, "unknown output", f"There is no output {unknown!r}; there are {', '.join(OUTPUTS)}.")
    return names


def write(model: str, version: str, request_id: str, answers: Answers, asked: Asked) -> bytes:
    """The answer: `predict`, and `score` where the task has one."""
    count = len(answers.predictions)
    outputs: list[dict[str, Any]] = []
    if asked.outputs is None or "predict" in asked.outputs:
        datatype = datatype_of(answers.predictions)
        data = answers.predictions if datatype != "BYTES" else [str(value) for value in answers.predictions]
        outputs.append({"name": "predict", "shape": [count], "datatype": datatype, "data": data})
    scored = bool(answers.scores) and answers.scores[0] is not None
    if scored and (asked.outputs is None or "score" in asked.outputs):
        outputs.append({"name": "score", "shape": [count], "datatype": "FP64", "data": answers.scores})
    body = {
        "model_name": model,
        "model_version": version,
        "id": request_id,
        "outputs": outputs,
    }
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def datatype_of(values: Sequence[Any]) -> str:
    kinds = set(map(type, values))
    if kinds <= {float}:
        return "FP64"
    return "BOOL" if kinds == {bool} else "INT64" if kinds == {int} else "BYTES"


def metadata(signature: Signature, versions: Sequence[str], platform: str, predicts: str) -> dict[str, Any]:
    """What a model takes and gives. predicts: the datatype of its predictions."""
    spec = signature.spec
    return {
        "name": spec.name,
        "versions": list(versions),
        "platform": platform,
        "inputs": [
            {"name": name, "datatype": _DATATYPE.get(kind, "BYTES"), "shape": [-1]}
            for name, kind in signature.kinds.items()
            if name in signature.required
        ],
        "outputs": [
            {"name": "predict", "datatype": predicts, "shape": [-1]},
            *([] if spec.task is Task.REGRESSION else [{"name": "score", "datatype": "FP64", "shape": [-1]}]),
        ],
    }
