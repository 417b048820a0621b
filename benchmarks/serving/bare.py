"""The peer that has nothing to do but answer: FastAPI, pydantic and ONNX Runtime; nothing checked, nothing logged."""

from __future__ import annotations

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel


class Asked(BaseModel):
    data: list[list[float]]


class Told(BaseModel):
    predictions: list[int]
    scores: list[float]


options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["BENCH_ONNX"], options, providers=["CPUExecutionProvider"])
app = FastAPI()


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/predict")
async def predict(asked: Asked) -> Told:
    label, shares = session.run(None, {"x": np.array(asked.data, dtype=np.float32)})
    return Told(predictions=label.tolist(), scores=shares[:, 1].tolist())
