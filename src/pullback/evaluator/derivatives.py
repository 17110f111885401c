"""True derivatives, from the forward definitions alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from pullback.evaluator.domain import Array, Domain
from pullback.evaluator.dual import Dual, DualValue
from pullback.evaluator.floats import Float64, Floats
from pullback.evaluator.interpret import Interpreter
from pullback.evaluator.partials import last_direction
from pullback.expression import Definition

V = TypeVar("V")


def evaluate(
    definitions: Sequence[Definition],
    values: Mapping[str, Any],
    sizes: Mapping[str, int],
    domain: Domain[V],
) -> dict[str, Any]:
    """Every defined tensor, as values of the domain (int64 arrays for integer tensors).

    >>> from pullback.expression import Access, Definition, Index, Size, Tensor, mul, num
    >>> n = Index("n", Size("N"))
    >>> x, y = Tensor("x", (Size("N"),)), Tensor("y", (Size("N"),))
    >>> double = Definition(y, (n,), mul(num(2), Access(x, (n,))))
    >>> evaluate([double], {"x": np.array([1.0, 2.0])}, {"N": 2}, Float64())["y"]
    array([2., 4.])
    """
    interpreter = Interpreter(domain, sizes, values, definitions)
    with np.errstate(all="ignore"):
        return {d.tensor.name: interpreter.tensor(d.tensor.name) for d in definitions}


def jacobian(
    definitions: Sequence[Definition],
    values: Mapping[str, Any],
    sizes: Mapping[str, int],
    domain: Domain[V],
    x: str,
    y: str,
) -> V:
    """∂y/∂x entry by entry: the axes of y first, then those of x."""
    with np.errstate(all="ignore"):
        return jacobian_in(Interpreter(domain, sizes, values, definitions), x, y)


def jacobian_in(interpreter: Interpreter[V], x: str, y: str) -> V:
    """∂y/∂x with the definitions and values that an interpreter holds."""
    domain = interpreter.domain
    value = interpreter.tensor(x)
    shape = _shape(interpreter, value)
    dual: Dual[V] = Dual(domain, int(np.prod(shape, dtype=np.int64)))
    inner = interpreter.beside(dual, {x: dual.seeded(value, len(shape))})
    tangent = _tangent(inner, y, len(shape))
    return domain.restructure(tangent, last_direction(shape))


def _shape(interpreter: Interpreter[V], value: V) -> tuple[int, ...]:
    raise NotImplementedError
