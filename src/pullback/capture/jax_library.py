"""Functions of JAX that stay one: what they compute is known by their name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pullback.capture import linear
from pullback.capture.arrays import Array
from pullback.capture.operations import elementwise

Row = Callable[..., Any]


def _solve(a: Array, b: Array) -> Array:
    return linear.solve(a, b)


def _diagonal(x: Array, *_: Array) -> Array:
    return linear.diagonal_matrix(x)


JITTED: Final[dict[str, Row]] = {
    "inv": linear.inverse,
    "det": linear.determinant,
    "slogdet": lambda a: list(linear.slogdet(a)),
    "solve": _solve,
    "cholesky": linear.cholesky,
    "_cho_solve": lambda factor, b: linear.cholesky_solve(factor, b, lower=True),
    "trace": linear.trace,
    "_diag": _diagonal,
    "diagonal": _diagonal,
    "silu": lambda x: elementwise("*", x, elementwise("sigmoid", x)),
}
