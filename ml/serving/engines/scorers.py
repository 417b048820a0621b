"""What computes: a matrix of 32-bit numbers -> the estimator's output. Two libraries, called directly.

XGBoost's own Python package brings 150 MB of pandas and scikit-learn with it and takes 120 µs a row; its C library
alone takes 20 MB. ONNX Runtime takes 6 µs for a row of 200 trees, but XGBoost is faster from some hundred rows on.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import math
import weakref
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ml.errors import DataError, Unavailable

Matrix = npt.NDArray[np.float32]


class Scorer(Protocol):
    """Called by many threads at once."""

    @property
    def kind(self) -> str: ...

    @property
    def nbytes(self) -> int: ...

    def __call__(self, matrix: Matrix) -> Matrix:
        """Output of shape (rows,) or (rows, classes)."""


class OnnxScorer:
    """A model in the ONNX format. One thread: requests come in parallel, and more threads per row only wait."""

    def __init__(self, path: Path, *, kind: str = "onnx") -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = False  # an arena keeps the largest batch it ever saw, for every model
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except _onnx_errors() as error:
            raise DataError(f"{path}: is no readable ONNX model ({str(error)[:200]}); prepare it again.") from error
        self.kind = kind
        self.nbytes = 5 * path.stat().st_size
        self._input = self._session.get_inputs()[0].name
        names = [output.name for output in self._session.get_outputs()]
        self._output = [next((name for name in names if "prob" in name), names[-1])]

    def __call__(self, matrix: Matrix) -> Matrix:
        output: Matrix = self._session.run(self._output, {self._input: matrix})[0]
        return output


def _onnx_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (state.Fail, state.InvalidArgument, state.InvalidProtobuf, state.InvalidGraph, state.NoSuchFile,
            state.NotImplemented, state.RuntimeException)  # fmt: skip


class BoosterScorer:
    """An XGBoost model through the library's C interface, which many threads may call at once.

    trees: first and last + 1 iteration to use; (0, 0) for all. missing: the number that stands for no value.
    """

    kind = "xgboost"

    def __init__(self, path: Path, *, trees: tuple[int, int] = (0, 0), missing: float = math.nan) -> None:
        self._library = library = _xgboost()
        self._handle = ctypes.c_void_p()
        _check(library, library.XGBoosterCreate(None, ctypes.c_uint64(0), ctypes.byref(self._handle)))
        weakref.finalize(self, library.XGBoosterFree, self._handle)
        _check(library, library.XGBoosterLoadModel(self._handle, str(path).encode()))
        _check(library, library.XGBoosterSetParam(self._handle, b"nthread", b"1"))
        self.nbytes = 3 * path.stat().st_size
        self._how = json.dumps(
            {
                "type": 0,
                "training": False,
                "iteration_begin": trees[0],
                "iteration_end": trees[1],
                "missing": missing,
                "strict_shape": False,
                "cache_id": 0,
            }
        ).encode()

    def __call__(self, matrix: Matrix) -> Matrix:
        matrix = np.ascontiguousarray(matrix, dtype=np.float32)
        rows, columns = matrix.shape
        where = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}' % (
            matrix.ctypes.data,
            rows,
            columns,
        )
        shape, result = ctypes.POINTER(ctypes.c_uint64)(), ctypes.POINTER(ctypes.c_float)()
        axes = ctypes.c_uint64()
        library = self._library
        _check(
            library,
            library.XGBoosterPredictFromDense(
                self._handle, where, self._how, None, ctypes.byref(shape), ctypes.byref(axes), ctypes.byref(result)
            ),
        )
        size = tuple(shape[axis] for axis in range(axes.value))
        return np.ctypeslib.as_array(result, size).copy()  # the library reuses its buffer at the thread's next call


@cache
def _xgboost() -> Any:
    found = importlib.util.find_spec("xgboost")  # finds the folder; does not run the package
    folder = Path(found.origin or "").parent / "lib" if found else Path()
    path = next((p for p in sorted(folder.glob("*xgboost*")) if p.suffix in (".so", ".dylib", ".dll")), None)
    if path is None:
        raise Unavailable("XGBoost's library is not installed; install the package xgboost.")
    library = ctypes.cdll.LoadLibrary(str(path))
    library.XGBGetLastError.restype = ctypes.c_char_p
    library.XGBoosterFree.argtypes = [ctypes.c_void_p]
    return library


def _check(library: Any, code: int) -> None:
    if code != 0:
        lines = [line.strip() for line in library.XGBGetLastError().decode(errors="replace").splitlines()]
        first = next((line.rpartition("] ")[2] for line in lines if line), "no reason given")
        raise DataError(f"XGBoost cannot use this model or these rows: {first[:200]}.")
