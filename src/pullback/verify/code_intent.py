"""Backwards that differ from the derivative on purpose, and forwards that are not what they stand for everywhere.

A straight-through estimator gives a gradient where the derivative is 0; code that clips, scales or reverses a gradient
hands its input on. An iteration is the solution of its equation only where it has converged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from pullback.evaluator import Float64
from pullback.tracing.numbers import Untraceable
from pullback.tracing.passes import is_float_array
from pullback.verify.code_compare import ROUNDING, WEIGHT, Entrywise, upstreams
from pullback.verify.code_state import NOISE, Check, at_point, distance, towards
from pullback.verify.points import Args, draw, ordered, small

POINTS: Final = 3
STEPS: Final = (1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)  # towards the example
SMALL: Final = 1e-4  # a gap below this, and above what 50 digits leave, is an error that shrinks
SHRINKING: Final = 1e3  # how much two such gaps have to differ
HALVINGS: Final = 10
FAR: Final = (12, 13, 14, 15)
NEAR: Final = (0.0, 0.0625, 0.125)  # places that count as the example where the forward stops at a tolerance
LEFT: Final = 1e3  # the error of a derivative is larger than that of the value by the number of steps


def on_purpose(check: Check, index: int) -> str:
    """Words for a gradient that is no derivative by design; none for one that is only wrong."""
    name = check.name(check.code.wrt[index])
    constant = identity = seen = 0
    sizes = [s for s in ordered(check.made, check.sizes) if small(check.made, s)][-POINTS:]
    for seed, at in enumerate(sizes):
        args = draw(check.made, at, "generic", np.random.default_rng(seed))
        try:
            if not _may_be(check, index, args):
                return ""
            found = at_point(check, args, 7)
        except Untraceable:
            return ""
        if found is None or found.claimed[index] is None:
            continue
        true = found.true[index]
        seen += 1
        constant += all(t == 0 for t in true.flat)
        identity += _is_upstream(check, args, true)
    if seen and constant == seen:
        return (
            f": the forward is constant in {name} piece by piece, so the derivative is 0; a straight-through "
            "gradient is a choice, and no derivative"
        )
    if seen and identity == seen:
        return (
            f": the forward hands {name} on as it is, so the derivative is the upstream gradient itself; to clip, "
            "scale or reverse that is a choice, and no derivative"
        )
    return ""


def _may_be(check: Check, index: int, args: Args) -> bool:
    """Whether the derivative can be 0 or the upstream gradient itself, as doubles tell at a fraction of the cost."""
    found = at_point(check, args, 7, Float64())
    if found is None:
        return True
    true = found.true[index]
    return all(abs(t) < ROUNDING for t in true.flat) or _is_upstream(check, args, true, ROUNDING)


def _is_upstream(check: Check, args: Args, true: Any, tolerance: float = 0.0) -> bool:
    outs = check.code.outputs(args)
    if len(outs) != 1 or np.shape(outs[0]) != true.shape:
        return False
    (given,) = upstreams([np.shape(outs[0])], np.random.default_rng(7))
    return all(abs(t - float(u)) <= tolerance for t, u in zip(true.flat, given.flat, strict=True))


def unsettled(check: Check, index: int) -> bool:
    """Whether the two sides agree at the example, and drift apart by and by on the way from it.

    That is how an iteration with a fixed number of steps differs from the gradient of its limit; a wrong formula
    differs at the example, or from some place on. One that stops at a tolerance differs by what the tolerance leaves.
    """
    made = check.made
    if not small(made, made.sizes):
        return False
    start = _gap_of(_at_example(check), index)
    if start is None or start > SMALL:
        return False
    paths = list(_paths(check, index))
    if paths[0].left_by_a_tolerance():
        return True
    path = next((p for p in paths if (p.gap(1.0) or 0.0) > ROUNDING), None)
    if path is None:
        return False
    gaps = [path.gap(t) for t in (*STEPS, 0.0)]
    if any(g is None for g in gaps[1:]) or gaps[-1] is None or gaps[-1] > ROUNDING:
        return False
    if path.analytic() and all(g is not None and g <= ROUNDING for g in gaps[-4:]):
        return True  # two analytic functions that are equal near a point are equal everywhere
    known = [g for g in gaps if g is not None]
    known = known[known.index(max(known)) :]
    falling = all(b <= 10 * a + NOISE for a, b in pairwise(known))
    return falling and _drift([*known, *path.between(gaps)])


def _at_example(check: Check) -> Entrywise | None:
    """The two sides at the example, once for all inputs."""
    known = check.found.example
    if known is None or known[0] is not check.made:
        known = check.found.example = (check.made, towards(check, list(check.made.args), 7))
    return known[1]


def _gap_of(found: Entrywise | None, index: int) -> float | None:
    if found is None or found.claimed[index] is None:
        return None
    gap, at = distance(found.claimed[index], found.true[index], WEIGHT)
    return None if at is None else gap


def _paths(check: Check, index: int) -> Iterator[_Path]:
    """From the example to where the two sides differ, if that has its sizes, and to other points."""
    made = check.made
    for at, args in check.found.differs.get(check.code.wrt[index], ()):
        if dict(at) == made.sizes:
            yield _Path(check, index, args)
    for seed in FAR:
        yield _Path(check, index, draw(made, made.sizes, "generic", np.random.default_rng(seed)))


def _drift(gaps: Sequence[float]) -> bool:
    """Whether some gaps are neither nothing nor large, and differ by orders of magnitude."""
    drifting = [g for g in gaps if NOISE < g < SMALL]
    return len(drifting) >= 2 and max(drifting) >= SHRINKING * min(drifting)


@dataclass(frozen=True, slots=True)
class _Path:
    """The difference of the two sides on the line from the example to another point."""

    check: Check
    index: int
    far: Args

    def gap(self, t: float) -> float | None:
        return _gap_of(self._at(t), self.index)

    def _at(self, t: float) -> Entrywise | None:
        return towards(self.check, _between(self.check.made.args, self.far, t), 7)

    def analytic(self) -> bool:
        ends = [self._at(t) for t in (0.0, *STEPS[:2])]
        return all(found is None or found.analytic for found in ends) and ends[0] is not None

    def between(self, gaps: Sequence[float | None]) -> list[float]:
        """Gaps at places where the difference sets in, which halving finds."""
        first = next((k for k, g in enumerate(gaps) if g is not None and g <= NOISE), None)
        if not first or gaps[first - 1] is None:
            return []
        high, low = STEPS[first - 1], (*STEPS, 0.0)[first]
        found: list[float] = []
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            gap = self.gap(middle)
            if gap is None or gap > NOISE:
                high = middle
            else:
                low = middle
            found += [] if gap is None else [gap]
            if _drift(found):
                break
        return found

    def left_by_a_tolerance(self) -> bool:
        """Whether the forward stops where something falls below a tolerance, which explains the gaps at the example."""
        for t in NEAR:
            found = self._at(t)
            gap = _gap_of(found, self.index)
            if found is None or gap is None or not found.tolerances:
                return False
            if gap > min(SMALL, LEFT * max(found.tolerances)):
                return False
        return True


def _between(near: Any, far: Args, t: float) -> Args:
    """Arrays of floats on the line from the example to another point; other arguments are those of that point."""
    return [_on_line(a, b, t) if is_float_array(a) else b for a, b in zip(near, far, strict=True)]


def _on_line(a: Any, b: Any, t: float) -> Any:
    return np.asarray(a + t * (b - a)) if np.isfinite(a).all() and np.isfinite(b).all() else a
