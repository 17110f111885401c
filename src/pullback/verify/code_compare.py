"""One comparison of a traced backward with the derivative of the traced forward, at one point, in one domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

import numpy as np

from pullback.errors import PullbackError
from pullback.evaluator import Float64, HighPrecision, PrimeField
from pullback.evaluator.domain import Domain
from pullback.evaluator.dual import Dual, DualValue
from pullback.evaluator.primefield import Residues
from pullback.evaluator.residues import P, Q
from pullback.tracing.arrays import numbers
from pullback.tracing.numbers import NEARLY, Number, Untraceable, World, is_infinite
from pullback.tracing.passes import Pass, is_float_array
from pullback.verify.points import Template
from pullback.verify.values import FIXED, MATRICES, repeated

DIGITS: Final = 1e-25  # relative: equal to as many digits as the domain keeps
WEIGHT: Final = 10**6  # the largest entry of a random direction
TOLERANCE: Final = 1e-3  # the largest constant at which an iteration is thought to stop
ROUNDING: Final = 1e-10  # relative: the size that constants rounded to floats explain


@dataclass(frozen=True, slots=True)
class Entrywise:
    """The gradients of a point, entry by entry, as numbers: what the backward gives and the truth (nan: no value)."""

    claimed: tuple[Any, ...]
    true: tuple[Any, ...]
    ties: frozenset[str]
    thresholds: frozenset[float]
    has_kinks: bool
    tolerances: frozenset[float]  # small constants above and below which a quantity was found
    analytic: bool  # neither side compares values


def _values(domain: Domain[Any], x: Any) -> list[Any]:
    """The entries of a float array as values: exactly the floats; infinite ones stay as they are."""
    return [v if is_infinite(v) else domain.number(Fraction(float(v))) for v in np.asarray(x).flat]


def random_values(domain: PrimeField, count: int, rng: np.random.Generator, positive: bool) -> list[Any]:
    found = []
    for _ in range(count):
        p = rng.integers(1, P, size=domain.batch)
        found.append(Residues(p * p % P if positive else p, rng.integers(1, Q, size=domain.batch)))
    return found


def array_of(world: World, values: Sequence[Any], shape: tuple[int, ...]) -> Any:
    found = np.empty(len(values), dtype=object)
    for i, v in enumerate(values):
        found[i] = v if is_infinite(v) else Number(world, v)
    return numbers(found.reshape(shape))


def _tangents(domain: Domain[Any], directions: Any) -> Any:
    """One column of a matrix of directions as the tangent of a number."""
    return domain.integers(directions.reshape(-1, *(1,) * domain.lead))


def dual_arguments(
    code: Pass, args: Sequence[Any], values: dict[int, list[Any]], dual: World, directions: Any
) -> list[Any]:
    """Arguments whose float arrays are dual numbers; `directions[k]` lists the entries of all inputs of `wrt`."""
    base = dual.domain
    assert isinstance(base, Dual)
    made = []
    column = 0
    for position, x in enumerate(args):
        if position not in values:
            made.append(x)
            continue
        found = []
        for v in values[position]:
            tangent = None
            if position in code.wrt:
                tangent = _tangents(base.base, directions[:, column])
                column += 1
            found.append(v if is_infinite(v) else DualValue(v, tangent))
        made.append(array_of(dual, found, np.shape(x)))
    return made


def _random_directions(sizes: Sequence[int], rng: np.random.Generator, largest: int) -> Any:
    """One row for each input of `wrt`: a random direction in which it alone moves."""
    directions = np.zeros((len(sizes), sum(sizes)), dtype=np.int64)
    start = 0
    for k, size in enumerate(sizes):
        directions[k, start : start + size] = rng.integers(1, largest, size=size)
        start += size
    return directions


def along_directions(code: Pass, args: Sequence[Any], seed: int, quick: bool = False) -> Entrywise:
    """⟨v, gradient⟩ and ⟨upstream, J v⟩ for one random direction v of each input, to 50 digits: arrays of one entry.

    quick: where doubles agree, they will do.
    """
    agreed = (in_doubles(code, args, seed) if quick else None) or together(code, args, seed, DIGITS)
    if agreed is not None:
        return agreed
    directions = _random_directions(_counts(code, args), np.random.default_rng(seed), WEIGHT)
    return _compared(code, args, seed, directions, HighPrecision())


def in_doubles(
    code: Pass, args: Sequence[Any], upstream: Sequence[Any] | int, tied: bool = False
) -> Entrywise | None:
    """Where all inputs agree in doubles, and rounding decided no comparison.

    tied: whether numbers are meant to tie there; elsewhere a tie may be one of rounding.
    """
    try:
        with np.errstate(all="ignore"):
            found = together(code, args, upstream, ROUNDING, Float64())
    except (PullbackError, ArithmeticError):
        return None
    return None if found is None or (NEARLY in found.ties if tied else found.ties) else found


def together(
    code: Pass,
    args: Sequence[Any],
    upstream: Sequence[Any] | int,
    tolerance: float,
    domain: Domain[Any] | None = None,
) -> Entrywise | None:
    """The same along one random direction in which all inputs move at once; None where that shows a difference.

    One tangent in the place of many: for right code, which input is at fault is not asked.
    """
    apart = _random_directions(_counts(code, args), np.random.default_rng(11), WEIGHT)
    found = _compared(code, args, upstream, apart.sum(0, keepdims=True), domain or HighPrecision())
    given = [g for g in found.claimed if g is not None]
    if any(g.shape != (1,) or g[0] != g[0] for g in given):
        return None
    (true,) = found.true[0]
    sizes = [abs(g[0]) for g in given if g[0] != 0] or [0]
    off = abs(sum(g[0] for g in given) - true)
    if true != true or off > tolerance * min(sizes):
        return None
    nothing = np.array([0 * true], dtype=object)
    return replace(found, true=tuple(nothing if g is None else g for g in found.claimed))


def _counts(code: Pass, args: Sequence[Any]) -> list[int]:
    return [int(np.size(args[p])) for p in code.wrt]


def entrywise(
    code: Pass, args: Sequence[Any], upstream: Sequence[Any] | int, domain: Domain[Any] | None = None
) -> Entrywise:
    """Every entry of every gradient, to 50 digits or in another domain of decimals.

    `upstream` are float arrays, or a seed for integers.
    """
    count = sum(int(np.size(args[p])) for p in code.wrt)
    return _compared(code, args, upstream, np.eye(count, dtype=np.int64), domain or HighPrecision(), False)


def _compared(
    code: Pass,
    args: Sequence[Any],
    upstream: Sequence[Any] | int,
    directions: Any,
    domain: Domain[Any],
    summed: bool = True,
) -> Entrywise:
    values = {p: _values(domain, x) for p, x in enumerate(args) if is_float_array(x)}
    count = len(directions)
    dual, plain = World(Dual(domain, count)), World(domain)
    rng = np.random.default_rng(upstream if isinstance(upstream, int) else 0)

    kept: list[Any] = []

    def remembered(shapes: Sequence[tuple[int, ...]]) -> list[Any]:
        drawn = upstreams(shapes, rng) if isinstance(upstream, int) else list(upstream)
        kept[:] = [array_of(plain, _values(domain, u), np.shape(u)) for u in drawn]
        return [numbers(k) for k in kept]

    run = code.exact(dual_arguments(code, args, values, dual, directions), remembered, dual, plain)
    sums = _pulled_back(run.outs, kept, domain, count)
    true, claimed = [], []
    start = row = 0
    for position, gradient in zip(code.wrt, run.grads, strict=True):
        shape = np.shape(args[position])
        size = int(np.prod(shape))
        given_entries = None if gradient is None else _floats_of(gradient, plain)
        if summed:
            true.append(np.array([sums[row]], dtype=object))
            weights = directions[row, start : start + size]
            claimed.append(_weighted(given_entries, weights, shape))
            row = min(row + 1, count - 1)  # one row may hold all inputs
        else:
            true.append(np.array(sums[start : start + size], dtype=object).reshape(shape))
            claimed.append(given_entries)
        start += size
    return _entrywise(claimed, true, dual, plain)


def _entrywise(claimed: Sequence[Any], true: Sequence[Any], dual: World, plain: World) -> Entrywise:
    """The two sides, and what the worlds have seen on the way."""
    return Entrywise(
        tuple(claimed),
        tuple(true),
        frozenset(dual.ties),
        frozenset(dual.thresholds),
        dual.has_kinks,
        frozenset(t for t, sides in dual.sides.items() if 0 < abs(t) <= TOLERANCE and len(sides) == 2),
        not (dual.has_kinks or plain.has_kinks),
    )


def _weighted(entries: Any, weights: Any, shape: tuple[int, ...]) -> Any:
    """Σ weight * entry, as an array of one; as it is where it is None or of another shape."""
    if entries is None or entries.shape != shape:
        return entries
    return np.array([sum(int(w) * g for w, g in zip(weights, entries.flat, strict=True))], dtype=object)


def upstreams(shapes: Sequence[tuple[int, ...]], rng: np.random.Generator) -> list[Any]:
    """Small integers that differ, none of them zero."""
    return [rng.choice(np.array([-3.0, -2.0, 1.0, 2.0, 3.0, 5.0]), size=shape) for shape in shapes]


def _pulled_back(outs: Sequence[Any], upstream: Sequence[Any], domain: Any, count: int) -> list[Any]:
    """Σ upstream * tangent for each direction."""
    total = domain.integers(np.zeros(count, dtype=np.int64))
    for out, given in zip(outs, upstream, strict=True):
        for y, u in zip(out.flat, given.flat, strict=True):
            if is_infinite(y):
                raise Untraceable("an output is infinite at this point")
            if isinstance(y, Number) and isinstance(y.value, DualValue) and y.value.tangent is not None:
                total = domain.add(total, domain.mul(y.value.tangent, u.value))
    return list(np.broadcast_to(total, (count, *total.shape[1:])).reshape(count))


def _floats_of(x: Any, plain: World) -> Any:
    """The 50-digit numbers of an array; constants among them too."""
    found = np.empty(x.shape, dtype=object)
    for at in np.ndindex(*x.shape):
        entry = np.asarray(x).view(np.ndarray)[at]
        found[at] = float("nan") if is_infinite(entry) else plain.number(entry).value[()]
    return found


# ---- the finite field -----------------------------------------------------------------------


def field_values(
    domain: PrimeField, x: Any, kind_of: str, rng: np.random.Generator, repeats: str = ""
) -> list[Any]:
    """Random residues of the character of an input; positive ones are squares, so that roots of them exist."""
    if kind_of in FIXED:
        return _values(domain, x)
    positive = kind_of in ("positive", "unit", "distribution", "definite")
    if kind_of in MATRICES and np.shape(x)[-1] != np.shape(x)[-2]:
        kind_of = ""
    drawn = random_values(domain, np.size(x), rng, positive)
    found = np.empty(np.shape(x), dtype=object)
    found.reshape(-1)[:] = drawn
    match kind_of:
        case "distribution":
            for row in found.reshape(-1, found.shape[-1]):
                row[-1] = domain.number(Fraction(1))
                for other in row[:-1]:
                    row[-1] = domain.sub(row[-1], other)
        case "symmetric" | "definite":
            below = np.tril(np.ones(found.shape[-2:], dtype=bool))
            found[..., ~below] = np.swapaxes(found, -1, -2)[..., ~below]
        case "lower" | "upper":
            keep = np.tri(found.shape[-1], dtype=bool)
            found[..., ~(keep if kind_of == "lower" else keep.T)] = domain.number(Fraction(0))
    return list((repeated(found, repeats) if repeats else found).flat)


def field_trial(code: Pass, args: Sequence[Any], seed: int, made: Template, trials: int) -> list[bool | None]:
    """For each input: whether ⟨v, gradient⟩ = ⟨upstream, J v⟩ for a random v; None where nothing has a value."""
    domain = PrimeField(trials, key=seed)
    rng = np.random.default_rng(seed)
    inputs = [p for p, x in enumerate(args) if is_float_array(x)]
    values = {
        p: field_values(domain, args[p], made.characters[p], rng, made.repeats.get(p, "")) for p in inputs
    }
    sizes = [len(values[p]) for p in code.wrt]
    count = len(code.wrt)
    directions = _random_directions(sizes, rng, P)
    starts = np.cumsum([0, *sizes])
    dual, plain = World(Dual(domain, count)), World(domain)
    kept: list[Any] = []

    def given(shapes: Sequence[tuple[int, ...]]) -> list[Any]:
        kept[:] = [array_of(plain, random_values(domain, int(np.prod(s)), rng, False), s) for s in shapes]
        return [numbers(k) for k in kept]

    run = code.exact(dual_arguments(code, args, values, dual, directions), given, dual, plain)
    left = _field_sum(run.outs, kept, domain, count)
    answers: list[bool | None] = []
    for k, gradient in enumerate(run.grads):
        if gradient is None or gradient.shape != np.shape(args[code.wrt[k]]):
            answers.append(None)
            continue
        right = domain.number(Fraction(0))
        for v, g in zip(directions[k, starts[k] : starts[k + 1]], gradient.flat, strict=True):
            if is_infinite(g):
                raise Untraceable("a gradient is infinite")
            right = domain.add(right, domain.mul(domain.integers(np.array([v])), plain.number(g).value))
        mine = domain.restructure(left, lambda x, k=k: x[k] if x.ndim > 1 else x)  # type: ignore[misc]
        differs, known = domain.difference(mine, right)
        answers.append(None if not known.any() else not bool(differs.any()))
    return answers


def _field_sum(outs: Sequence[Any], upstream: Sequence[Any], domain: Any, count: int) -> Any:
    total = domain.integers(np.zeros((count, 1), dtype=np.int64))
    for out, given in zip(outs, upstream, strict=True):
        for y, u in zip(out.flat, given.flat, strict=True):
            if isinstance(y, Number) and isinstance(y.value, DualValue) and y.value.tangent is not None:
                total = domain.add(total, domain.mul(y.value.tangent, u.value))
    return total
