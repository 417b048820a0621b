"""The model server's interface as an OpenAPI 3.1 document, with the models that are served now as examples."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version as version_of
from typing import Any

from ml.serving.follower import Served
from ml.serving.jobs.formats import KINDS
from ml.serving.problems import MEDIA_TYPE
from ml.serving.signature import Signature
from ml.spec import FeatureType

PROBLEM = MEDIA_TYPE.decode()
_EXAMPLES: Mapping[FeatureType, Any] = {
    FeatureType.NUMERIC: 1.5,
    FeatureType.CATEGORICAL: "a",
    FeatureType.BOOLEAN: True,
    FeatureType.DATETIME: "2026-01-31T08:00:00Z",
    FeatureType.TEXT: "some words",
}
Json = dict[str, Any]


def document(served: Mapping[str, Served], *, tokens: bool) -> Json:
    """What stands at `/openapi.json`. tokens: whether callers need one."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Watchkeeper model server",
            "version": version_of("watchkeeper"),
            "summary": "MLflow's scoring protocol, Open Inference Protocol v2, labels and long batches.",
        },
        "paths": _paths(served, secured=tokens),
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}} if tokens else {},
        },
    }


def _paths(served: Mapping[str, Served], *, secured: bool) -> Json:
    name = _parameter("name", {"type": "string", "enum": sorted(served)} if served else {"type": "string"})
    version, job = _parameter("version", {"type": "string"}), _parameter("job", {"type": "string"})
    examples = {model: {"value": {"dataframe_records": [_row(one.signature)]}} for model, one in served.items()}
    scoring = _content("Scoring", examples) | {"text/csv": {"schema": {"type": "string"}}}
    chosen = {"name": "model", "in": "query", "schema": {"type": "string"}, "required": False}
    rows = {model: {"value": _tensors(one.signature)} for model, one in served.items()}
    label = {"one": {"value": {"rows": [{"prediction_id": "an-id", "label": 1}]}}}
    paths: dict[str, Json] = {
        "/invocations": {"post": _post("Answer rows", scoring, "Predictions", [chosen])},
        "/models/{name}/invocations": {"post": _post("Answer rows of a model", scoring, "Predictions", [name])},
        "/models/{name}/explain": {"post": _post("What moved each answer", scoring, "Explanation", [name])},
        "/models/{name}/labels": {
            "post": _post("What turned out to be true", _content("Labels", label), "Taken", [name], 202)
        },
        "/models/{name}/jobs": {
            "post": _post(
                "A long batch", {kind: {"schema": {}} for kind in KINDS}, "Job", [name], 202
            )  # a file, as it is
        },
        "/jobs/{job}": {
            "get": _get("How far a long batch is", "Job", [job]),
            "delete": _get("End a long batch", "Job", [job], 202),
        },
        "/jobs/{job}/result": {"get": _get("The answers of a long batch", None, [job], more=("409",))},
        "/v2": {"get": _get("The server", "Anything")},
        "/v2/health/live": {"get": _get("Is it alive?", "Anything")},
        "/v2/health/ready": {"get": _get("Can it answer?", "Anything")},
        "/v2/models/{name}": {"get": _get("The columns of a model", "Anything", [name])},
        "/v2/models/{name}/ready": {"get": _get("Can a model answer?", "Anything", [name])},
        "/v2/models/{name}/infer": {"post": _post("Answer tensors", _content("Tensors", rows), "Anything", [name])},
        "/v2/models/{name}/versions/{version}": {"get": _get("The columns of a version", "Anything", [name, version])},
        "/v2/models/{name}/versions/{version}/ready": {
            "get": _get("Can a version answer?", "Anything", [name, version])
        },
        "/v2/models/{name}/versions/{version}/infer": {
            "post": _post("Answer tensors by a version", _content("Tensors", rows), "Anything", [name, version])
        },
        "/ping": {"get": _get("Can it answer?", None)},
        "/healthz": {"get": _get("Is it alive?", "Anything")},
        "/readyz": {"get": _get("Which versions answer, and what is amiss", "Anything")},
        "/metrics": {"get": _get("Counters, for Prometheus", None)},
        "/openapi.json": {"get": _get("This document", "Anything")},
    }
    if secured:
        for path, operations in paths.items():
            for operation in operations.values():
                if path.startswith(("/models", "/invocations", "/jobs", "/metrics", "/v2/models", "/openapi")):
                    operation["security"] = [{"token": []}]
    return paths


def _post(said: str, content: Json, answer: str, parameters: list[Json], status: int = 200) -> Json:
    given = {"name": "X-Watchkeeper-Prediction-Id", "in": "header", "required": False, "schema": {"type": "string"}}
    return {
        "summary": said,
        "parameters": [*parameters, given],
        "requestBody": {"required": True, "content": content},
        "responses": _responses(answer, status, ("400", "401", "404", "413", "415", "429", "503", "504")),
    }


def _get(
    said: str, answer: str | None, parameters: list[Json] | None = None, status: int = 200, more: tuple[str, ...] = ()
) -> Json:
    refused = ("400", "401", "404", "429", "503", *more)
    return {"summary": said, "parameters": parameters or [], "responses": _responses(answer, status, refused)}


def _responses(answer: str | None, status: int, refused: tuple[str, ...]) -> Json:
    problem = {"description": "Refused: why, and what to do next.", "content": {PROBLEM: {"schema": _ref("Problem")}}}
    good: Json = {"description": "Answered."}
    if answer is not None:
        good["content"] = {"application/json": {"schema": _ref(answer)}}
    return {str(status): good, **dict.fromkeys(refused, problem)}


def _parameter(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _content(schema: str, examples: Json) -> Json:
    return {"application/json": {"schema": _ref(schema), **({"examples": examples} if examples else {})}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _row(signature: Signature) -> Json:
    return {name: _EXAMPLES[signature.kinds[name]] for name in signature.required}


def _tensors(signature: Signature) -> Json:
    kinds = {FeatureType.NUMERIC: "FP64", FeatureType.BOOLEAN: "BOOL"}
    inputs = [
        {"name": name, "datatype": kinds.get(signature.kinds[name], "BYTES"), "shape": [1], "data": [value]}
        for name, value in _row(signature).items()
    ]
    return {"inputs": inputs}


_CELL: Json = {"type": ["number", "string", "boolean", "null"]}
_RECORD: Json = {"type": "object", "additionalProperties": _CELL}
_MATRIX: Json = {"type": "array", "items": {"type": "array", "items": _CELL}}
_IDS: Json = {"type": "array", "items": {"type": "string"}}
_SCHEMAS: Json = {
    "Anything": {"type": "object"},
    "Scoring": {
        "type": "object",
        "description": "Exactly one of the four forms of MLflow's scoring protocol.",
        "properties": {
            "dataframe_split": {
                "type": "object",
                "properties": {"columns": _IDS, "index": {"type": "array"}, "data": _MATRIX},
                "required": ["data"],
            },
            "dataframe_records": {"type": "array", "items": _RECORD},
            "instances": {"type": "array", "items": {"anyOf": [_RECORD, {"type": "array", "items": _CELL}]}},
            "inputs": {
                "anyOf": [
                    {"type": "object", "additionalProperties": {"type": "array", "items": _CELL}},
                    {"type": "array", "items": _RECORD},
                ]
            },
        },
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    },
    "Predictions": {
        "type": "object",
        "properties": {
            "predictions": {"type": "array"},
            "scores": {"type": "array", "items": {"type": ["number", "null"]}},
            "prediction_ids": _IDS,
        },
        "required": ["predictions", "prediction_ids"],
    },
    "Explanation": {
        "type": "object",
        "properties": {
            "model": {"type": "string"},
            "version": {"type": "string"},
            "method": {"type": "string"},
            "unit": {"type": "string"},
            "contributions": {
                "type": "array",
                "items": {"type": "object", "additionalProperties": {"type": "number"}},
            },
        },
        "required": ["model", "version", "method", "unit", "contributions"],
    },
    "Labels": {
        "type": "object",
        "properties": {
            "rows": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "prediction_id": {"type": "string"},
                        "label": {"type": ["number", "string", "boolean", "null"]},
                        "label_timestamp": {"type": "string", "format": "date-time"},
                    },
                    "required": ["prediction_id", "label"],
                },
            }
        },
        "required": ["rows"],
    },
    "Taken": {
        "type": "object",
        "properties": {"accepted": {"type": "integer"}, "empty": {"type": "integer"}},
        "required": ["accepted", "empty"],
    },
    "Tensors": {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "inputs": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "datatype": {"type": "string", "examples": ["FP64", "BYTES", "BOOL"]},
                        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
                        "data": {"type": "array", "items": _CELL},
                    },
                    "required": ["name", "datatype", "shape", "data"],
                },
            },
            "outputs": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
        },
        "required": ["inputs"],
    },
    "Job": {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "model": {"type": "string"},
            "version": {"type": "string"},
            "state": {"enum": ["queued", "running", "done", "failed", "cancelled"]},
            "rows": {"type": "integer"},
            "share": {"type": "number", "minimum": 0, "maximum": 1},
            "result": {"type": ["string", "null"]},
            "problem": {"anyOf": [_ref("Problem"), {"type": "null"}]},
        },
        "required": ["id", "model", "version", "state", "rows", "share"],
    },
    "Problem": {
        "type": "object",
        "description": "RFC 9457.",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "instance": {"type": "string"},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "row": {"type": "integer"},
                        "column": {"type": "string"},
                        "rule": {"type": "string"},
                        "what": {"type": "string"},
                    },
                    "required": ["rule", "what"],
                },
            },
        },
        "required": ["type", "title", "status", "detail"],
    },
}
