"""Programs whose emitted functions are run, and how an emitted module becomes a function."""

from __future__ import annotations

import linecache
from functools import cache
from itertools import count
from typing import Any

from pullback.api import Derivation, derive
from pullback.reading import parse_shapes, parse_sizes

_counter = count(1)

NORM = """mu = mean(x, axis=1, keepdims=True)
v = mean((x - mu)**2, axis=1, keepdims=True)
r = 1 / sqrt(v + 1e-5)
x_hat = (x - mu) * r
y = x_hat * gamma + beta"""
ATTENTION = "S = Q @ K.T / sqrt(D); P = softmax(S, axis=1); O = P @ V"
LABELS = "L = mean(logsumexp(Z, axis=1) - sum(Z * onehot(t, C), axis=1))"

# name -> program, shapes and example sizes; integers are in INTEGERS
ROWS: dict[str, tuple[str, str, str]] = {
    "linear": ("Y = X @ W + b", "X: N D, W: D M, b: M", "N=3,D=2,M=4"),
    "softmax": ("Y = softmax(X, axis=1)", "X: N D", "N=2,D=3"),
    "cross_entropy": ("P = softmax(Z, axis=1); L = -sum(T * log(P)) / N", "Z: N C, T: N C", "N=2,C=3"),
    "labels": (LABELS, "Z: N C", "N=3,C=4"),
    "attention": (ATTENTION, "Q: N D, K: M D, V: M E", "N=2,M=3,D=2,E=4"),
    "layer_norm": (NORM, "x: N D, gamma: D, beta: D", "N=2,D=3"),
    "mlp": ("H = tanh(X @ W + b); Y = H @ V", "X: N D, W: D M, b: M, V: M K", "N=2,D=3,M=2,K=2"),
    "total": ("L = sum(X)", "X: N D", "N=2,D=3"),
    "embedding": ("Y = take(E, t, axis=0)", "E: V D", "V=3,D=2,B=4"),
    "gelu_gate": ("Y = gelu(X) * sigmoid(Z) + softplus(X)", "X: N D, Z: N D", "N=2,D=3"),
    "running": ("Y = cumsum(X, axis=1) * w", "X: N D, w: D", "N=2,D=3"),
    "transposed": ("Y = X.T", "X: N D", "N=2,D=3"),
    "itself": ("Y = X + 0", "X: N D", "N=2,D=3"),
    "convolution": ("Y = conv1d(X, W)", "X: 2 2 5, W: 2 2 2", ""),
    "log_det": ("L = logdet(A) + sum(inv(A) * B)", "A: N N, B: N N", "N=3"),
    "normed": ("Y = X / norm(X, axis=1, keepdims=True)", "X: N D", "N=2,D=3"),
    "shadow": ("Y = ctx * torch + math @ np", "ctx: N M, torch: N M, math: N D, np: D M", "N=2,M=2,D=3"),
    "filled": ("Y = ones([N, K]) * sum(x)", "x: N", "N=2,K=3"),
}
INTEGERS = {"labels": {"t": ("N", "C")}, "embedding": {"t": ("B", "V")}}
NAMES = list(ROWS)


@cache
def derivation(name: str) -> Derivation:
    program, shapes, _ = ROWS[name]
    return derive(program, parse_shapes(shapes), integers=INTEGERS.get(name))


def example_sizes(name: str) -> dict[str, int]:
    return parse_sizes(ROWS[name][2]) if ROWS[name][2] else {}


def load(text: str, function: str) -> Any:
    """The function of that name in a module's text."""
    where = f"<emitted {next(_counter)}>"
    linecache.cache[where] = (len(text), None, text.splitlines(keepends=True), where)
    namespace: dict[str, Any] = {"__name__": "emitted"}
    exec(compile(text, where, "exec"), namespace)
    return namespace[function]
