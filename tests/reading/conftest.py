"""What definitions say and mean: one line of text each, and a small interpreter over float64.

Both are the tests' own, so that the reader is held against something that shares nothing with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from pullback.evaluator.gamma import polygamma
from pullback.expression import (
    Access,
    Add,
    Bracket,
    Call,
    Const,
    Definition,
    Element,
    Expr,
    Index,
    Mul,
    Num,
    Pow,
    Size,
    Sum,
    compare,
)
from pullback.sizes import evaluate_size

_ERF = np.vectorize(math.erf, otypes=[float])
_SCALAR = {
    "exp": np.exp, "log": np.log, "log1p": np.log1p, "tanh": np.tanh, "abs": np.abs, "sign": np.sign,
    "sin": np.sin, "cos": np.cos, "erf": _ERF, "maximum": np.maximum, "minimum": np.minimum,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "relu": lambda x: np.maximum(x, 0),
    "softplus": lambda x: np.logaddexp(0, x), "gelu": lambda x: x * (1 + _ERF(x / np.sqrt(2))) / 2,
    "arctan": np.arctan, "arcsin": np.arcsin, "arccos": np.arccos, "arctan2": np.arctan2,
    "lgamma": np.vectorize(math.lgamma, otypes=[float]), "digamma": lambda x: polygamma(0, x),
    "polygamma": lambda n, x: polygamma(int(n), x),
    "where": lambda c, a, b: np.where(c != 0, a, b),
    "floordiv": lambda a, b: np.floor_divide(a, b), "mod": lambda a, b: np.mod(a, b),
}  # fmt: skip


class Floats:
    """Evaluates definitions one after the other; `arrays` holds the inputs and then every result."""

    def __init__(self, arrays: dict[str, np.ndarray], sizes: dict[str, int]) -> None:
        self.arrays = {name: np.asarray(array) for name, array in arrays.items()}
        self.sizes = sizes

    def define(self, definition: Definition) -> np.ndarray:
        shape = self.shape(definition.indices)
        with np.errstate(all="ignore"):
            value = self.value(definition.body, definition.indices)
        self.arrays[definition.tensor.name] = np.broadcast_to(value, shape).copy()
        return self.arrays[definition.tensor.name]

    def shape(self, axes: tuple[Index, ...]) -> tuple[int, ...]:
        return tuple(evaluate_size(index.extent, self.sizes) for index in axes)

    def value(self, e: Expr, axes: tuple[Index, ...]) -> np.ndarray:
        """The values of `e` for all values of `axes`, as an array that broadcasts to their shape."""
        match e:
            case Num(value):
                return np.float64(value)
            case Const("pi"):
                return np.float64(np.pi)
            case Size(name):
                return np.float64(self.sizes[name])
            case Index():
                k = axes.index(e)
                return np.arange(self.shape(axes)[k]).reshape([-1 if a == k else 1 for a in range(len(axes))])
            case Add(terms):
                return sum(self.value(term, axes) for term in terms)
            case Mul(factors):
                return self._product(factors, axes)
            case Pow(base, exponent):
                return np.power(self.value(base, axes), self.value(exponent, axes))
            case Call(function, arguments):
                return _SCALAR[function](*(self.value(a, axes) for a in arguments))
            case Bracket(relation, left, right):
                return 1.0 * compare(relation, self.value(left, axes), self.value(right, axes))
            case Sum(indices, body):
                return self._grid(body, axes + indices).sum(axis=tuple(range(-len(indices), 0)))
            case Access(tensor, slots):
                return self._read(self.arrays[tensor.name], [self.value(s, axes) for s in slots])
            case Element():
                return self._element(e, axes)
        raise AssertionError(e)

    def _grid(self, e: Expr, axes: tuple[Index, ...]) -> np.ndarray:
        return np.broadcast_to(self.value(e, axes), self.shape(axes))

    def _product(self, factors: tuple[Expr, ...], axes: tuple[Index, ...]) -> np.ndarray:
        result, zero = np.float64(1), np.zeros(self.shape(axes), bool)
        for factor in factors:
            value = self.value(factor, axes)
            result = result * value
            if isinstance(factor, Bracket):
                zero = zero | (value == 0)
        return np.where(zero, 0, result)

    @staticmethod
    def _read(array: np.ndarray, slots: list[np.ndarray]) -> np.ndarray:
        """An entry; 0 outside the array."""
        if not slots:
            return array
        slots = [np.asarray(slot).astype(int) for slot in slots]
        outside = False
        for slot, n in zip(slots, array.shape, strict=True):
            outside = outside | (slot < 0) | (slot >= n)
        inner = [np.clip(slot, 0, n - 1) for slot, n in zip(slots, array.shape, strict=True)]
        return np.where(outside, 0, array[tuple(np.broadcast_arrays(*inner))])

    def _element(self, e: Element, axes: tuple[Index, ...]) -> np.ndarray:
        arguments = [self._grid(body, axes + b) for b, body in zip(e.binders, e.bodies, strict=True)]
        last = tuple(range(len(axes), len(axes) + len(e.binders[0])))
        x = arguments[0]
        match e.operator:
            case "max" | "min" | "prod":
                out = getattr(np, e.operator)(x, axis=last)
            case "logsumexp":
                out = np.log(np.exp(x).sum(axis=last))
            case "softmax" | "log_softmax":
                shifted = x - x.max(axis=last, keepdims=True)
                out = shifted - np.log(np.exp(shifted).sum(axis=last, keepdims=True))
                out = np.exp(out) if e.operator == "softmax" else out
            case "logdet":
                out = np.linalg.slogdet(x)[1]
            case "solve":
                b = arguments[1]
                vector = len(e.binders[1]) == 1
                out = np.linalg.solve(x, b[..., None])[..., 0] if vector else np.linalg.solve(x, b)
            case operator:
                out = getattr(np.linalg, operator)(x)
        own = [self.value(index, axes).astype(int) for index in axes]
        at = [np.asarray(self.value(slot, axes)).astype(int) for slot in e.at]
        return out[tuple(np.broadcast_arrays(*own, *at))] if own or at else out


def text(e: Expr) -> str:
    """An expression in one unambiguous line."""
    match e:
        case Num(value):
            return str(value)
        case Size(name) | Const(name) | Index(name, _):
            return name
        case Access(tensor, slots):
            return tensor.name + (f"[{','.join(map(text, slots))}]" if slots else "")
        case Add(terms):
            return "(" + " + ".join(map(text, terms)) + ")"
        case Mul(factors):
            return "*".join(map(text, factors))
        case Pow(base, exponent):
            return f"{text(base)}^({text(exponent)})"
        case Call(function, arguments):
            return f"{function}({', '.join(map(text, arguments))})"
        case Bracket(relation, left, right):
            return f"[{text(left)} {relation} {text(right)}]"
        case Sum(indices, body):
            return f"Σ_{','.join(index.name for index in indices)} {text(body)}"
        case Element(operator, at, binders, bodies, _):
            parts = zip(binders, bodies, strict=True)
            inner = "; ".join(f"{','.join(i.name for i in bound)}: {text(body)}" for bound, body in parts)
            return f"{operator}<{inner}>[{','.join(map(text, at))}]"
    raise AssertionError(e)


def lines(definitions: Iterable[Definition]) -> list[str]:
    """Each definition in one line; `?` marks the hidden ones."""
    result = []
    for d in definitions:
        left = d.tensor.name + (f"[{','.join(i.name for i in d.indices)}]" if d.indices else "")
        result.append(f"{left} {'=' if d.source else '?='} {text(d.body)}")
    return result


@pytest.fixture(name="floats")
def _floats() -> type[Floats]:
    return Floats


@pytest.fixture(name="lines")
def _lines() -> Callable[[Iterable[Definition]], list[str]]:
    return lines
