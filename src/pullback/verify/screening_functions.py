"""The functions of the language in NumPy, for screening."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from pullback.evaluator.gamma import polygamma

Value = Any


def _axis(axis: Value) -> Value:
    return tuple(axis) if isinstance(axis, list) else axis


def _reduction(function: Callable[..., Value]) -> Callable[..., Value]:
    def reduced(x: Value, axis: Value = None, keepdims: bool = False) -> Value:
        return function(np.asarray(x), axis=_axis(axis), keepdims=bool(keepdims))

    return reduced


def _logsumexp(x: Value, axis: Value = None, keepdims: bool = False) -> Value:
    return np.log(np.sum(np.exp(x), axis=_axis(axis), keepdims=bool(keepdims)))


def _softmax(x: Value, axis: Value) -> Value:
    e = np.exp(x)
    return e / np.sum(e, axis=_axis(axis), keepdims=True)


def _norm(x: Value, axis: Value = None, keepdims: bool = False) -> Value:
    return np.sqrt(np.sum(np.square(x), axis=_axis(axis), keepdims=bool(keepdims)))


def _take(x: Value, at: Value, axis: int) -> Value:
    return np.take(x, np.asarray(at), axis=axis)


def _onehot(at: Value, size: int) -> Value:
    return np.equal.outer(np.asarray(at), np.arange(size)).astype(float)


def _diag(x: Value) -> Value:
    if np.ndim(x) not in (1, 2):
        raise ValueError("diag of neither a vector nor a matrix")
    return np.diag(x)


def _outer(a: Value, b: Value) -> Value:
    if np.ndim(a) != 1 or np.ndim(b) != 1:
        raise ValueError("outer of no vectors")
    return np.outer(a, b)


def _trace(x: Value) -> Value:
    if np.ndim(x) != 2:
        raise ValueError("trace of no matrix")
    return np.trace(x)


def _einsum(spec: str, *operands: Value) -> Value:
    return np.einsum(spec, *operands)


def _reshape(x: Value, shape: Sequence[int]) -> Value:
    return np.reshape(x, tuple(shape))


def _where(condition: Value, a: Value, b: Value) -> Value:
    return np.where(np.asarray(condition) != 0, a, b)


def _gelu(x: Value) -> Value:
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def _sigmoid(x: Value) -> Value:
    return 1 / (1 + np.exp(-x))


_erf: Final = np.vectorize(math.erf, otypes=[float])

FUNCTIONS: Final[dict[str, Callable[..., Value]]] = {
    "sum": _reduction(np.sum), "mean": _reduction(np.mean), "max": _reduction(np.amax),
    "min": _reduction(np.amin), "prod": _reduction(np.prod), "logsumexp": _logsumexp, "norm": _norm,
    "softmax": _softmax, "log_softmax": lambda x, axis: np.log(_softmax(x, axis)),
    "cumsum": lambda x, axis: np.cumsum(x, axis=axis), "flip": lambda x, axis: np.flip(x, axis),
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "tanh": np.tanh, "sin": np.sin, "cos": np.cos,
    "abs": np.abs, "sign": np.sign, "sigmoid": _sigmoid, "relu": lambda x: np.maximum(x, 0),
    "softplus": lambda x: np.log1p(np.exp(x)), "erf": _erf, "gelu": _gelu, "log1p": np.log1p, "expm1": np.expm1,
    "arctan": np.arctan, "arcsin": np.arcsin, "arccos": np.arccos, "arctan2": np.arctan2,
    "lgamma": lambda x: polygamma(-1, np.asarray(x, float)), "digamma": lambda x: polygamma(0, np.asarray(x, float)),
    "polygamma": lambda n, x: polygamma(n, np.asarray(x, float)),
    "maximum": np.maximum, "minimum": np.minimum, "where": _where, "outer": _outer, "diag": _diag,
    "trace": _trace, "inv": np.linalg.inv, "det": np.linalg.det, "kron": np.kron,
    "logdet": lambda x: np.linalg.slogdet(x)[1],
    "solve": lambda a, b: np.linalg.solve(a, b), "cholesky": np.linalg.cholesky, "einsum": _einsum,
    "tril": np.tril, "triu": np.triu, "take": _take, "onehot": _onehot, "reshape": _reshape,
    "transpose": lambda x, axes: np.transpose(x, axes), "ones": lambda shape: np.ones(tuple(shape)),
    "concatenate": lambda parts, axis: np.concatenate(parts, axis=axis), "eye": lambda n: np.eye(n),
    "zeros": lambda shape: np.zeros(tuple(shape)),
}  # fmt: skip
