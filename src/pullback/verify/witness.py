"""The smallest counterexample: shapes in order of their entries, small integers, exact values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pullback.errors import PullbackError
from pullback.evaluator import Float64, HighPrecision, Interpreter, Rational, small_integers
from pullback.evaluator.domain import BoolArray, Domain, IntArray, Unrepresentable
from pullback.evaluator.sizes import extents_in, is_legal, names_in
from pullback.expression import Definition, Expr, Tensor, simplex_axis
from pullback.verify.setting import Point, Setting

DRAWS: Final = 8  # of each kind, at each shape
SHAPES: Final = 60  # that are tried, the smallest first
CANDIDATES: Final = 1500  # assignments of sizes that are put in order
PERTURBATION: Final = 2.0**-20
COARSE: Final = 1e-3  # relative; a difference that a perturbation does not remove is larger
MATRIX_FACTS: Final = frozenset(("spd", "invertible", "lower_triangular"))
ZERO: Final = 7  # what a zero costs beside an entry of 1, which costs 2
TINY: Final = 1e-40  # relative to the other number
DIGITS: Final = 6  # printed of an irrational number

FINEST: Final = 2**16  # the largest denominator of a drawn number

Number = Fraction | float
Drawn = npt.NDArray[Any]  # of integers, or of binary fractions
Nested = Any  # a number, or lists of lists of numbers


@dataclass(frozen=True, slots=True)
class Witness:
    """Where a claim and the truth differ: sizes, inputs, the entry (counted from 0), and both numbers.

    Where the shapes do not fit, `entry` and `true` are None and `claimed_shape` says what the claim gives
    (None where it gives nothing at all); `true_shape` is the shape of the gradient.
    """

    sizes: Mapping[str, int]
    inputs: Mapping[str, Nested]
    entry: tuple[int, ...] | None
    claimed: Number | None
    true: Number | None
    claimed_shape: tuple[int, ...] | None
    true_shape: tuple[int, ...]


# ---- shapes ---------------------------------------------------------------------------------


def small_sizes(setting: Setting, more: Sequence[Expr] = ()) -> Iterator[dict[str, int]]:
    """Legal assignments of sizes, those with the fewest entries in all inputs first."""
    extents = setting.extents | extents_in((), (), more)
    inside = names_in(extents)
    names = [name for name in setting.program.sizes if name in inside]
    names += [name for name in inside if name not in names]
    most = next(k for k in (4, 3, 2, 1) if k ** len(names) <= CANDIDATES or k == 1)
    ranked = []
    for values in product(range(1, most + 1), repeat=len(names)):
        sizes = dict(zip(names, values, strict=True))
        if is_legal(extents, sizes):
            ranked.append((_entries(setting, sizes), max(values, default=0), values))
    for _, _, values in sorted(ranked):
        yield dict(zip(names, values, strict=True))


def _entries(setting: Setting, sizes: Mapping[str, int]) -> int:
    return sum(int(np.prod(shape_at(tensor.shape, sizes))) for tensor in setting.inputs)


def shape_at(shape: Sequence[Expr], sizes: Mapping[str, int]) -> tuple[int, ...]:
    """A shape as numbers."""
    interpreter = Interpreter(Float64(), sizes, {})
    return tuple(interpreter.size(extent) for extent in shape)


# ---- values ---------------------------------------------------------------------------------


def draws_at(setting: Setting, sizes: Mapping[str, int]) -> dict[str, Drawn]:
    """Small numbers for each input, simple ones first; one leading axis of draws, facts respected.

    All are integers but the entries of a distribution, which are binary fractions.
    """
    rng = np.random.default_rng(1)
    kinds = [small_integers(setting.inputs, sizes, rng, DRAWS, largest) for largest in (1, 1, 2, 3)]
    found: dict[str, Drawn] = {}
    for tensor in setting.inputs:
        arrays: list[Drawn] = [kind[tensor.name] for kind in kinds]
        axis = simplex_axis(tensor)
        if tensor.is_integer:
            found[tensor.name] = arrays[0]
            continue
        if tensor.facts & MATRIX_FACTS:
            arrays = [_regular(tensor.facts, kind[tensor.name], rng) for kind in kinds]
        elif axis is not None:
            arrays[1:] = [_divided(arrays[1:], axis - tensor.rank)]
        elif not tensor.facts:
            arrays[0] = np.abs(arrays[0]) + (rng.random(arrays[0].shape) < 0.5) + 1
            arrays[1] = np.where(arrays[1] == 0, 2, arrays[1])
        found[tensor.name] = np.concatenate(arrays)
    return found


def _divided(one_hot: Sequence[Drawn], axis: int) -> Drawn:
    """Distributions with positive entries: 1/m of their mass everywhere, the rest at one place."""
    place = np.concatenate(one_hot)
    m = 2 ** int(np.ceil(np.log2(place.shape[axis])))
    return np.asarray((1 + (m - place.shape[axis]) * place) / m)


def _regular(facts: frozenset[str], a: IntArray, rng: np.random.Generator) -> IntArray:
    """Matrices of small integers that have the fact, with determinants other than 1 too."""
    low = np.tril(a, -1) + np.eye(a.shape[-1], dtype=np.int64) * rng.integers(1, 4, size=a.shape)
    if "spd" in facts:
        return np.asarray(low @ np.swapaxes(low, -1, -2))
    if "lower_triangular" in facts:
        return low
    turned = np.asarray(rng.random(a.shape[0]) < 0.5).reshape(-1, 1, 1)
    return np.where(turned, np.swapaxes(low, -1, -2), low)


def _as_floats(setting: Setting, raw: Mapping[str, Drawn]) -> dict[str, Any]:
    return {t.name: raw[t.name] if t.is_integer else raw[t.name].astype(float) for t in setting.inputs}


# ---- the search -----------------------------------------------------------------------------


def smallest_witness(
    setting: Setting, wrt: Tensor, lines: Sequence[Definition], *, ties: bool = False
) -> Witness | None:
    """The first shape, in order of entries, where small integers tell the sides apart.

    A difference that a tiny perturbation of the inputs removes belongs to a tie or a kink: with `ties`
    these are looked for too.
    """
    for tried, sizes in enumerate(small_sizes(setting, [line.body for line in lines])):
        if tried == SHAPES:
            break
        found = witness_at(setting, wrt, lines, sizes, ties=ties)
        if found is not None:
            return found
    return None


def witness_at(
    setting: Setting,
    wrt: Tensor,
    lines: Sequence[Definition],
    sizes: Mapping[str, int],
    *,
    ties: bool = False,
) -> Witness | None:
    """A witness at these sizes."""
    raw = draws_at(setting, sizes)
    try:
        differs = _differing(setting, wrt, lines, sizes, _as_floats(setting, raw), 1e-9)
        if not ties and differs.any():
            differs &= _differing(setting, wrt, lines, sizes, _perturbed(setting, raw), COARSE)
    except PullbackError:
        return None
    if not differs.any():
        return None
    found_in = np.flatnonzero(differs.reshape(differs.shape[0], -1).any(axis=1))
    rows = sorted((int(k) for k in found_in), key=lambda k: _weight(setting, raw, k))
    for domain in (Rational(), HighPrecision()):
        for k in rows[:6]:
            values = {t.name: raw[t.name] if t.is_integer else raw[t.name][k] for t in setting.inputs}
            found = _exactly(setting, wrt, lines, sizes, values, domain, differs[k])
            if found is not None:
                return found
    return None


def _weight(setting: Setting, raw: Mapping[str, Drawn], k: int) -> int:
    """How hard a draw is on the reader: large and negative entries count, and zeros, which hide what they touch."""
    found = 0
    for tensor in setting.inputs:
        if not tensor.is_integer:
            a = raw[tensor.name][k]
            zero = 1 if "binary" in tensor.facts else ZERO
            found += int((2 * np.abs(a) + 2 * (a < 0) + zero * (a == 0)).sum())
    return found


def _perturbed(setting: Setting, raw: Mapping[str, Drawn]) -> dict[str, Any]:
    """The same values moved a little; zeros and ones of a mask stay."""
    rng = np.random.default_rng(2)
    return {
        t.name: value + PERTURBATION * rng.random(value.shape) * _moves(t) if not t.is_integer else value
        for t, value in ((t, raw[t.name]) for t in setting.inputs)
    }


def _moves(tensor: Tensor) -> bool:
    return "binary" not in tensor.facts


def _differing(
    setting: Setting,
    wrt: Tensor,
    lines: Sequence[Definition],
    sizes: Mapping[str, int],
    values: Mapping[str, Any],
    tolerance: float,
) -> BoolArray:
    """Where the sides differ, one leading axis of draws."""
    shape = (4 * DRAWS, *shape_at(wrt.shape, sizes))
    try:
        point = Point(setting, Float64(tolerance, 4 * DRAWS), sizes, values)
        return np.array(np.broadcast_to(point.compared(wrt, lines)[0], shape))
    except np.linalg.LinAlgError:  # some draw is a singular matrix: each by itself
        differs = np.zeros(shape, dtype=bool)
        for k in range(4 * DRAWS):
            one = {t.name: values[t.name] if t.is_integer else values[t.name][k] for t in setting.inputs}
            with suppress(np.linalg.LinAlgError):
                differs[k] = Point(setting, Float64(tolerance), sizes, one).compared(wrt, lines)[0]
        return differs


def _exactly(
    setting: Setting,
    wrt: Tensor,
    lines: Sequence[Definition],
    sizes: Mapping[str, int],
    values: Mapping[str, Drawn],
    domain: Domain[Any],
    suspected: Any,
) -> Witness | None:
    """Both numbers at one point, exactly or to 50 digits; None where they are equal or have no value."""
    whole = {t.name for t in setting.inputs if t.is_integer}
    given = {name: value if name in whole else _number(domain, value) for name, value in values.items()}
    point = Point(setting, domain, sizes, given)
    shape = shape_at(wrt.shape, sizes)
    try:
        differs, _ = point.compared(wrt, lines)
        claimed, true = point.claimed(lines), point.true(wrt)
    except (Unrepresentable, ZeroDivisionError, OverflowError):
        return None
    both = np.argwhere(np.broadcast_to(differs, shape) & suspected)
    if not len(both):
        return None
    entry = tuple(int(i) for i in both[0])
    first, second = (number(np.broadcast_to(side, shape)[entry]) for side in (claimed, true))
    first, second = _without_dust(first, second), _without_dust(second, first)
    shown = {name: nested(value) for name, value in values.items()}
    return Witness(dict(sizes), shown, entry, first, second, shape, shape)


def _number(domain: Domain[Any], value: Drawn) -> Any:
    """Integers or binary fractions as numbers of a domain."""
    if np.issubdtype(value.dtype, np.integer):
        return domain.integers(value)
    scaled = domain.integers((value * FINEST).astype(np.int64))
    return domain.mul(scaled, domain.number(Fraction(1, FINEST)))


def _without_dust(x: Number, other: Number) -> Number:
    """Zero where 50 digits left that little of it."""
    return Fraction(0) if abs(float(x)) <= TINY * abs(float(other)) else x


def number(x: Any) -> Number:
    """An exact number, or a float for what is not rational."""
    return x if isinstance(x, Fraction) else float(x)


def nested(a: Drawn) -> Nested:
    return np.asarray(a).tolist()


# ---- printing -------------------------------------------------------------------------------


def number_text(x: Number) -> str:
    """An integer or a fraction as it is; an irrational number to a few digits.

    >>> number_text(Fraction(1, 3)), number_text(0.7310585786300049)
    ('1/3', '0.731059…')
    """
    if isinstance(x, Fraction):
        return str(x)
    return f"{x:.{DIGITS}g}…"
