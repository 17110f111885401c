"""True derivatives, from the forward definitions alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pullback.errors import NameProblem
from pullback.evaluator.domain import Array, Domain
from pullback.evaluator.dual import Dual, DualValue
from pullback.evaluator.floats import Float64, Floats
from pullback.evaluator.interpret import Interpreter
from pullback.evaluator.partials import last_direction
from pullback.expression import Definition, Tensor, tensors

V = TypeVar("V")

ENTRIES = 64  # whose differences are taken in one evaluation
HALVES = (1.0, 0.5, 0.25)  # of the step: enough to cancel the errors of order h² and h⁴
CLOSER = (1, 32, 1024)  # what the step is divided by where a kink stands within it
DOUBT = 1e-7  # by which extrapolations may differ, relative to the largest entry


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
    x: Tensor | str,
    y: Tensor | str,
) -> V:
    """∂y/∂x entry by entry: the axes of y first, then those of x."""
    interpreter = Interpreter(domain, sizes, values, definitions)
    with np.errstate(all="ignore"):
        result: V = jacobian_in(interpreter, tensor_named(definitions, x), tensor_named(definitions, y))
    return result


def jacobian_in(interpreter: Interpreter[V], x: Tensor, y: Tensor) -> V:
    """∂y/∂x with the definitions and values that an interpreter holds."""
    shape = tuple(interpreter.size(extent) for extent in x.shape)
    tangent = _tangent(interpreter, x, y)
    return interpreter.domain.restructure(tangent, last_direction(shape))


def gradients(
    definitions: Sequence[Definition],
    values: Mapping[str, Any],
    sizes: Mapping[str, int],
    domain: Domain[V],
    wrt: Sequence[Tensor | str],
    output: Tensor | str,
    upstream: V | None = None,
) -> dict[str, V]:
    """The true gradient of Σ upstream * output by each tensor of `wrt`, one direction for each entry.

    `upstream` has the shape of the output; None stands for ones (a scalar output has none). Raises
    `LimitProblem` where entries times directions are too many.

    >>> from pullback.expression import Access, Index, Size, mul, total
    >>> n = Index("n", Size("N"))
    >>> x, L = Tensor("x", (Size("N"),)), Tensor("L", ())
    >>> loss = Definition(L, (), total((n,), mul(Access(x, (n,)), Access(x, (n,)))))
    >>> gradients([loss], {"x": np.array([1.0, 3.0])}, {"N": 2}, Float64(), ["x"], "L")["x"]
    array([2., 6.])
    """
    interpreter = Interpreter(domain, sizes, values, definitions)
    last = tensor_named(definitions, output)
    with np.errstate(all="ignore"):
        return {
            x.name: gradient_in(interpreter, x, last, upstream)
            for x in (tensor_named(definitions, name) for name in wrt)
        }


def gradient_in(interpreter: Interpreter[V], x: Tensor, y: Tensor, upstream: V | None) -> V:
    """The gradient of Σ upstream * y by x, with what an interpreter holds."""
    domain = interpreter.domain
    tangent = _tangent(interpreter, x, y)
    if upstream is not None:
        tangent = domain.mul(tangent, upstream)
    shape = tuple(interpreter.size(extent) for extent in x.shape)
    return domain.restructure(domain.total(tangent, y.rank), last_direction(shape))


def directional(
    definitions: Sequence[Definition],
    values: Mapping[str, Any],
    sizes: Mapping[str, int],
    domain: Domain[V],
    tangents: Mapping[str, V],
) -> dict[str, V]:
    """The derivative of every defined tensor along one direction, given by tangents of some tensors."""
    dual: Dual[V] = Dual(domain, 1)
    seeds = {}
    for name, tangent in tangents.items():
        rank = tensor_named(definitions, name).rank
        seeds[name] = DualValue(values[name], domain.restructure(tangent, _one_direction(domain.lead, rank)))
    inner = Interpreter(domain, sizes, values, definitions).beside(dual, seeds)
    result = {}
    with np.errstate(all="ignore"):
        for definition in definitions:
            if not definition.tensor.is_integer:
                value = inner.tensor(definition.tensor.name)
                result[definition.tensor.name] = domain.restructure(dual.tangent(value), lambda x: x[0])
    return result


def _one_direction(lead: int, rank: int) -> Any:
    """Room for the axis of directions in front of every leading axis."""

    def move(x: Array) -> Array:
        return x.reshape((1,) * (1 + lead + rank - x.ndim) + x.shape)

    return move


def _tangent(interpreter: Interpreter[V], x: Tensor, y: Tensor) -> V:
    """The tangents of y, one direction for each entry of x."""
    value = interpreter.tensor(x.name)
    shape = interpreter.domain.trailing(value, x.rank)
    dual: Dual[V] = Dual(interpreter.domain, int(np.prod(shape, dtype=np.int64)))
    inner = interpreter.beside(dual, {x.name: dual.seeded(value, x.rank)})
    tangent = dual.tangent(inner.tensor(y.name))
    axes = 1 + interpreter.domain.lead + y.rank

    def led(x: Array) -> Array:
        """A constant has no leading axes of its own: they stand behind that of the directions."""
        return x.reshape(x.shape[:1] + (1,) * (axes - x.ndim) + x.shape[1:])

    return interpreter.domain.restructure(tangent, led)


def tensor_named(definitions: Sequence[Definition], name: Tensor | str) -> Tensor:
    """The tensor of that name among those that the definitions define or read."""
    if isinstance(name, Tensor):
        return name
    for definition in definitions:
        for tensor in (definition.tensor, *tensors(definition.body)):
            if tensor.name == name:
                return tensor
    raise NameProblem(f"no definition names the tensor {name}")


def numeric_gradients(
    definitions: Sequence[Definition],
    values: Mapping[str, Any],
    sizes: Mapping[str, int],
    wrt: Sequence[Tensor | str],
    output: Tensor | str,
    upstream: Floats | None = None,
    step: float = 1e-3,
) -> dict[str, Floats]:
    """Central differences in float64, extrapolated twice (Richardson): they share nothing with duals.

    Where the extrapolations disagree, a kink stands within the step, and a smaller step is taken.
    """
    last = tensor_named(definitions, output)

    def losses(x: Tensor, moved: Floats) -> Floats:
        """The loss at copies of x, as losses[entry, which h, sign]."""
        domain = Float64(draws=moved.shape[0])
        out = Interpreter(domain, sizes, {**values, x.name: moved}, definitions).tensor(last.name)
        loss = domain.total(out if upstream is None else out * upstream, last.rank)
        return np.broadcast_to(loss, (moved.shape[0],)).reshape(-1, len(HALVES), 2)

    result = {}
    with np.errstate(all="ignore"):
        for tensor in wrt:
            x = tensor_named(definitions, tensor)
            shape = np.shape(values[x.name])
            flat = np.asarray(values[x.name], dtype=np.float64).reshape(-1)
            found, doubt = np.zeros(flat.size), np.full(flat.size, np.inf)
            for closer in (step / k for k in CLOSER):
                left = np.flatnonzero(~(doubt <= DOUBT * np.abs(found).max(initial=0)))
                for first in range(0, left.size, ENTRIES):
                    entries = left[first : first + ENTRIES]
                    moved = _moved(flat, entries, closer).reshape(-1, *shape)
                    slope, spread = extrapolated(losses(x, moved), closer)
                    better = (spread < doubt[entries]) | ~np.isfinite(doubt[entries])
                    found[entries[better]], doubt[entries[better]] = slope[better], spread[better]
            result[x.name] = found.reshape(shape)
    return result


def _moved(flat: Floats, entries: npt.NDArray[np.intp], step: float) -> Floats:
    """Copies of the values, each with one entry moved by ±h, for h = step, step/2, step/4."""
    copies = np.tile(flat, (entries.size, len(HALVES), 2, 1))
    for k, entry in enumerate(entries):
        copies[k, :, :, entry] += step * np.outer(HALVES, [1, -1])
    return copies


def extrapolated(loss: Floats, step: float) -> tuple[Floats, Floats]:
    """The derivative from losses[entry, which h, sign], extrapolated to h = 0, and how far it moved on the way.

    The errors of order h² and h⁴ cancel. Across a kink the extrapolations do not meet.
    """
    a, b, c = ((loss[:, k, 0] - loss[:, k, 1]) / (2 * step * half) for k, half in enumerate(HALVES))
    first, second = (4 * b - a) / 3, (4 * c - b) / 3
    return np.asarray((16 * second - first) / 15), np.abs(second - first)
