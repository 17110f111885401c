"""Random values of input tensors that respect what is declared about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from pullback.errors import InternalProblem
from pullback.evaluator.domain import Domain, IntArray
from pullback.evaluator.exact import HighPrecision, Rational, boxed
from pullback.evaluator.floats import Float64, Floats
from pullback.evaluator.interpret import Interpreter
from pullback.evaluator.primefield import PrimeField, Residues
from pullback.evaluator.residues import P, Q
from pullback.expression import Tensor, simplex_axis

V = TypeVar("V")

POSITIVE = frozenset(("positive", "nonnegative"))
PARTS = 2**20  # into which a distribution is divided, so that its floats sum to 1 exactly


def random_inputs(
    tensors: Sequence[Tensor],
    sizes: Mapping[str, int],
    domain: Domain[V],
    rng: np.random.Generator,
    *,
    positive: bool = False,
) -> dict[str, Any]:
    """A value of the domain for each tensor, int64 arrays for integer tensors.

    Declared facts hold: positive and the like, those about matrices, distributions, and masks.
    `positive` makes every value positive, for functions that need it without its being declared.
    """
    interpreter = Interpreter(domain, sizes, {})
    values: dict[str, Any] = {}
    for tensor in tensors:
        shape = tuple(interpreter.size(extent) for extent in tensor.shape)
        interpreter.room(shape)
        if tensor.values is not None:
            values[tensor.name] = rng.integers(0, interpreter.size(tensor.values), size=shape)
        else:
            values[tensor.name] = _drawn(tensor, shape, domain, rng, positive)
    return values


def small_integers(
    tensors: Sequence[Tensor],
    sizes: Mapping[str, int],
    rng: np.random.Generator,
    trials: int | None = None,
    largest: int = 1,
) -> dict[str, IntArray]:
    """Integers of at most `largest` in size, so that ties and zeros are met; facts hold.

    With `trials` there is a leading axis of so many draws; integer tensors have none.
    """
    interpreter = Interpreter(Float64(), sizes, {})
    lead = () if trials is None else (trials,)
    values = {}
    for tensor in tensors:
        shape = tuple(interpreter.size(extent) for extent in tensor.shape)
        if tensor.values is not None:
            values[tensor.name] = rng.integers(0, interpreter.size(tensor.values), size=shape)
        else:
            values[tensor.name] = _small(tensor, lead + shape, rng, largest)
    return values


def _small(tensor: Tensor, shape: tuple[int, ...], rng: np.random.Generator, largest: int) -> IntArray:
    facts = tensor.facts
    a = rng.integers(-largest, largest + 1, size=shape)
    axis = simplex_axis(tensor)
    if axis is not None:
        return _one_hot(shape, axis - tensor.rank, rng)
    if "binary" in facts:
        return _masked(facts, rng.integers(0, 2, size=shape))
    if "zero_diagonal" in facts:
        low = np.abs(a) if facts & POSITIVE else a
        return _masked(facts, low)
    if facts & POSITIVE:
        return rng.integers(1, largest + 2, size=shape)
    if "nonzero" in facts:
        return np.where(a == 0, 1, a)
    if "spd" in facts:
        low = np.tril(a, -1) + np.eye(shape[-1], dtype=np.int64)
        return np.asarray(low @ np.swapaxes(low, -1, -2))
    if "symmetric" in facts:
        return np.tril(a) + np.swapaxes(np.tril(a, -1), -1, -2)
    if "invertible" in facts:
        return np.tril(a, -1) + np.eye(shape[-1], dtype=np.int64)
    if "lower_triangular" in facts:
        return np.tril(a, -1) + np.eye(shape[-1], dtype=np.int64)
    return a


def _one_hot(shape: tuple[int, ...], axis: int, rng: np.random.Generator) -> IntArray:
    """One 1 along the axis, the rest 0."""
    keys = rng.random(size=shape)
    return np.asarray(keys == keys.max(axis=axis, keepdims=True, initial=-1.0), dtype=np.int64)


def _masked(facts: frozenset[str], a: IntArray) -> IntArray:
    """The square matrices with the triangle, the symmetry and the diagonal that are declared of them."""
    if "lower_triangular" in facts:
        return np.asarray(np.tril(a, -1) + np.eye(a.shape[-1], dtype=np.int64))
    if "symmetric" in facts:
        a = np.tril(a) + np.swapaxes(np.tril(a, -1), -1, -2)
    return np.where(np.eye(a.shape[-1], dtype=bool), 0, a) if "zero_diagonal" in facts else a


def _drawn(
    tensor: Tensor, shape: tuple[int, ...], domain: Domain[V], rng: np.random.Generator, positive: bool
) -> V:
    facts = tensor.facts
    whole = (domain.batch, *shape) if domain.lead else shape
    axis = simplex_axis(tensor)
    if axis is not None:
        return _distribution(whole, axis - tensor.rank, domain, rng)
    if "binary" in facts:
        return domain.integers(_masked(facts, rng.integers(0, 2, size=whole)))
    value: V = _matrix(facts, shape, domain, rng, positive or bool(facts & POSITIVE))
    if "zero_diagonal" not in facts:
        return value
    return domain.select(np.eye(shape[-1], dtype=bool), domain.number(Fraction(0)), value)


def _distribution(whole: tuple[int, ...], axis: int, domain: Domain[V], rng: np.random.Generator) -> V:
    """Positive entries that sum to 1 along the axis."""
    if isinstance(domain, PrimeField):
        squares: V = _on_the_sphere(whole, axis, domain, rng)
        return squares
    weights = rng.integers(1, 64, size=whole)
    parts = np.maximum(weights * PARTS // weights.sum(axis=axis, keepdims=True), 1)
    first = np.arange(whole[axis]).reshape(-1, *(1,) * (-axis - 1)) == 0
    parts = np.where(first, parts + PARTS - parts.sum(axis=axis, keepdims=True), parts)
    return domain.mul(domain.integers(parts), domain.number(Fraction(1, PARTS)))


def _on_the_sphere(whole: tuple[int, ...], axis: int, domain: Domain[Any], rng: np.random.Generator) -> Any:
    """Squares that sum to 1: those of x = (1 - s, 2 t, …) / (1 + s) with s = Σ t², for any residues t."""
    first = np.arange(whole[axis]).reshape(-1, *(1,) * (-axis - 1)) == 0
    one, zero = domain.number(Fraction(1)), domain.number(Fraction(0))
    t = domain.select(first, zero, entries(whole[1:], domain, rng, False))
    squares = domain.restructure(domain.mul(t, t), lambda x: np.moveaxis(x, axis, -1))
    s = domain.restructure(domain.widen(domain.total(squares, 1), 1), lambda x: np.moveaxis(x, -1, axis))
    x = domain.select(first, domain.sub(one, s), domain.add(t, t))
    x = domain.mul(x, domain.reciprocal(domain.add(one, s)))
    return domain.mul(x, x)


def _matrix(
    facts: frozenset[str], shape: tuple[int, ...], domain: Domain[V], rng: np.random.Generator, positive: bool
) -> V:
    a: V = entries(shape, domain, rng, positive)
    zero = domain.number(Fraction(0))
    if "nonzero" in facts:
        a = domain.select(domain.compare("==", a, zero), domain.number(Fraction(1)), a)
    if not facts & {"spd", "symmetric", "lower_triangular", "invertible"}:
        return a
    n = shape[-1]
    below = np.tril(np.ones((n, n), dtype=bool), -1)
    diagonal = np.eye(n, dtype=bool)
    pivots: V = entries(shape, domain, rng, True)
    low = domain.select(below, a, domain.select(diagonal, pivots, zero))
    turned = domain.restructure(low, lambda x: np.swapaxes(x, -1, -2))
    if "lower_triangular" in facts:
        return low
    if "spd" in facts:
        return domain.matmul(low, turned)
    if "symmetric" in facts:
        return domain.select(below, low, turned)
    return domain.select(diagonal, domain.add(pivots, domain.integers(np.array(n))), a)


def entries(shape: tuple[int, ...], domain: Domain[Any], rng: np.random.Generator, positive: bool) -> Any:
    """Independent random entries of order one; positive ones on request."""
    match domain:
        case PrimeField():
            p = rng.integers(1, P, size=(domain.batch, *shape))
            return Residues(p * p % P if positive else p, rng.integers(1, Q, size=p.shape))
        case Float64():
            whole = (domain.batch, *shape) if domain.lead else shape
            found = rng.uniform(0.5, 2.0, size=whole) if positive else rng.normal(size=whole)
            return found * _scales(domain.batch, len(shape)) if domain.lead else found
        case Rational():
            return domain.integers(rng.integers(1 if positive else -3, 5, size=shape))
        case HighPrecision():
            sixty_fourths = rng.integers(32 if positive else -128, 129, size=shape)
            return boxed(domain.integers(sixty_fourths) / 64)
    raise InternalProblem(f"no random values are known for {domain.name}")


def _scales(draws: int, rank: int) -> Floats:
    """Factors for many draws: most are 1, and some reach for thresholds far from it."""
    scales = np.ones(draws)
    scales[3::4] = 10.0 ** np.linspace(-2, 3, len(scales[3::4]))
    return scales.reshape(-1, *(1,) * rank)
