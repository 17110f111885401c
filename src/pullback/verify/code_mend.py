"""What one change to a gradient that code returns would make it right: a factor, a sign, a transpose, an order.

The gradients of the code and the true ones are compared at several sizes; a change is said if it holds at all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any, Final

import numpy as np

from pullback.evaluator import Float64
from pullback.evaluator.domain import Domain
from pullback.tracing.numbers import Untraceable
from pullback.verify.code_compare import upstreams
from pullback.verify.code_state import Check, at_point
from pullback.verify.mend import Edit
from pullback.verify.points import Template, draw, ordered, other_numbers, small

POINTS: Final = 5
SEEDS: Final = 7  # of upstream gradients: another one at each point
CONFIRMING: Final = 2
ROUGH: Final = 1e-9  # in doubles
CLOSE: Final = 1e-12  # of values found to 50 digits
LARGEST: Final = 20_000  # denominator of a constant factor that is named


@dataclass(frozen=True, slots=True)
class Sample:
    """One gradient at one point: as the code gives it, and as it should be."""

    sizes: Mapping[str, float]  # and the numbers among the arguments
    claimed: Any
    true: Any


def mended(check: Check, index: int) -> Edit | None:
    """The change that makes the gradient of `wrt[index]` right, if there is one of these kinds."""
    name = f"d{check.name(check.code.wrt[index])}"
    chosen = _chosen(name, _samples(check, index, POINTS, Float64()))
    if chosen is None:
        return None
    edit, change = chosen
    # Doubles are fast, and have chosen; 50 digits confirm.
    precise = list(_samples(check, index, CONFIRMING, None))
    return edit if precise and all(_equal(change(s), s.true, CLOSE) for s in precise) else None


def _chosen(name: str, samples: Iterable[Sample]) -> tuple[Edit, Callable[[Sample], Any]] | None:
    """The first change that holds at every sample; a sample at which none can hold ends the search."""
    seen: list[Sample] = []
    for sample in samples:
        if not _within_reach(sample):
            return None
        seen.append(sample)
    if len(seen) < 2 or all(_equal(s.claimed, s.true, ROUGH) for s in seen):
        return None
    for spelt, words, change in _changes(name, seen):
        if all(_equal(change(s), s.true, ROUGH) for s in seen):
            return Edit(name, spelt, words, spelt), change
    return None


def _within_reach(sample: Sample) -> bool:
    """Whether a change of these kinds could hold here; where none does, no further point is worth its time."""
    if sample.claimed.shape == sample.true.shape and _ratio(sample) is not None:
        return True
    return any(_equal(change(sample), sample.true, ROUGH) for *_, change in _rearranged("", sample.true.ndim))


def _samples(check: Check, index: int, most: int, domain: Domain[Any] | None) -> Iterator[Sample]:
    """Points at sizes that differ, the smallest first, where the gradient has a value and is not zero."""
    rng = np.random.default_rng(11)
    sizes = [s for s in ordered(check.made, check.sizes) if small(check.made, s)]
    wide = [s for s in sizes if all(n > 1 for n in s.values())] or sizes
    made = (check.made, other_numbers(check.code, check.made) or check.made)
    found = 0
    for at in sorted(wide[:POINTS], key=lambda s: _entries(check, s)):
        for kind in ("counting", "generic"):
            given = made[found % 2]  # a factor of the example alone is no mend
            try:
                point = at_point(check, draw(given, at, kind, rng), SEEDS + found, domain)
            except Untraceable:
                return
            if point is None or point.ties or point.claimed[index] is None:
                continue
            claimed, true = _floats(point.claimed[index]), _floats(point.true[index])
            if claimed.shape == true.shape and np.isfinite(true).all() and np.abs(true).max(initial=0) > 0:
                yield Sample({**at, **_numbers(check, given, SEEDS + found)}, claimed, true)
                found += 1
                break
        if found == most:
            return


def _numbers(check: Check, made: Template, seed: int) -> dict[str, float]:
    """The numbers among the arguments, by name; the upstream gradient, where it is one."""
    found = {name: x for name, x in zip(check.code.names, made.args, strict=True) if isinstance(x, float)}
    if [np.shape(o) for o in check.code.outputs(made.args)] == [()]:
        (upstream,) = upstreams([()], np.random.default_rng(seed))
        found.setdefault("upstream", float(upstream))
    return found


def _entries(check: Check, sizes: Mapping[str, int]) -> int:
    """How many numbers the gradients hold: what a point costs."""
    return sum(math.prod(check.made.shape(p, sizes)) for p in check.code.wrt)


def _floats(x: Any) -> Any:
    return np.array([float(v) for v in x.flat]).reshape(x.shape)


def _equal(a: Any, b: Any, close: float) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=close, atol=close * np.abs(b).max(initial=0)))


def _changes(name: str, samples: Sequence[Sample]) -> Iterator[tuple[str, str, Callable[[Sample], Any]]]:
    """How the change is spelt, in words, and what it does."""
    yield from _factors(name, samples)
    yield from _rearranged(name, samples[0].true.ndim)


def _rearranged(name: str, rank: int) -> Iterator[tuple[str, str, Callable[[Sample], Any]]]:
    """The same entries in other places."""
    if rank >= 2:
        spelt = f"{name}.T" if rank == 2 else f"{name}.mT"
        yield spelt, "transposed", lambda s: np.swapaxes(s.claimed, -1, -2)
    for axis in range(rank):
        index = ", ".join("::-1" if k == axis else ":" for k in range(rank))
        yield f"{name}[{index}]", f"axis {axis} in the other order", _flipped(axis)


def _factors(name: str, samples: Sequence[Sample]) -> Iterator[tuple[str, str, Callable[[Sample], Any]]]:
    ratios = [_ratio(s) for s in samples]
    if any(r is None for r in ratios):
        return
    known = [r for r in ratios if r is not None]
    for value, over, words in _expressions(samples):
        constant = [r / value(s.sizes) for r, s in zip(known, samples, strict=True)]
        if not np.allclose(constant, constant[0], rtol=10 * ROUGH):
            continue
        number = Fraction(constant[0]).limit_denominator(LARGEST)
        near = abs(float(number) - constant[0]) <= 10 * ROUGH * abs(constant[0])
        if number and near:
            spelt, said = _spelt(name, number, over, words)
            yield spelt, said, _scaled(number, value)
            return


def _ratio(sample: Sample) -> float | None:
    """true / claimed, where it is one number; entries that are zero have to be so on both sides."""
    claimed, true = sample.claimed, sample.true
    nothing, none = (np.abs(x) <= ROUGH * np.abs(x).max(initial=0) for x in (claimed, true))
    if np.any(nothing != none):
        return None
    kept = ~nothing
    ratios = true[kept] / claimed[kept]
    return float(ratios[0]) if ratios.size and np.allclose(ratios, ratios[0], rtol=10 * ROUGH) else None


def _expressions(
    samples: Sequence[Sample],
) -> Iterator[tuple[Callable[[Mapping[str, float]], float], str, str]]:
    """Factors made of sizes: none, 1/N, N, 1/(N D), N D, √N and their like, the simplest first."""
    names = [n for n in samples[0].sizes if len({s.sizes[n] for s in samples}) > 1]
    yield _product((), 0), "", ""
    for count in (1, 2, 3):
        for group in combinations(names, count):
            dotted = "·".join(group)
            yield (
                _product(group, -1),
                f" / {' / '.join(group)}",
                f"1/({dotted})" if count > 1 else f"1/{dotted}",
            )
            yield _product(group, 1), f" * {' * '.join(group)}", dotted
    for n in names:
        yield _product((n,), -0.5), f" / sqrt({n})", f"1/√{n}"
        yield _product((n,), 0.5), f" * sqrt({n})", f"√{n}"
        if all(isinstance(s.sizes[n], int) and s.sizes[n] > 1 for s in samples):
            yield _less_one(n, 1), f" * ({n} - 1) / {n}", f"({n}-1)/{n}"
            yield _less_one(n, -1), f" * {n} / ({n} - 1)", f"{n}/({n}-1)"


def _product(names: Sequence[str], exponent: float) -> Callable[[Mapping[str, float]], float]:
    return lambda sizes: float(math.prod(sizes[n] for n in names)) ** exponent


def _less_one(name: str, exponent: int) -> Callable[[Mapping[str, float]], float]:
    return lambda sizes: float((sizes[name] - 1) / sizes[name]) ** exponent


def _scaled(number: Fraction, value: Callable[[Mapping[str, float]], float]) -> Callable[[Sample], Any]:
    return lambda sample: sample.claimed * float(number) * value(sample.sizes)


def _flipped(axis: int) -> Callable[[Sample], Any]:
    return lambda sample: np.flip(sample.claimed, axis)


def _spelt(name: str, number: Fraction, over: str, words: str) -> tuple[str, str]:
    """The changed gradient, and the factor in words."""
    sign = "-" if number < 0 else ""
    size = abs(number)
    front = f"{size.numerator} * {name}" if size.numerator != 1 else name
    back = f" / {size.denominator}" if size.denominator != 1 else ""
    factor = " ".join(part for part in (str(number) if number != 1 else "", words) if part)
    return f"{sign}{front}{back}{over}", "the sign" if factor == "-1" else f"the factor {factor}"
