"""Backwards that differ from the derivative on purpose, and forwards that are not what they stand for everywhere.

A straight-through estimator gives a gradient where the derivative is 0; code that clips, scales or reverses a gradient
hands its input on. An iteration is the solution of its equation only where it has converged.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np

from pullback.tracing.numbers import Untraceable
from pullback.tracing.passes import is_float_array
from pullback.verify.code_compare import ROUNDING, WEIGHT, upstreams
from pullback.verify.code_state import NOISE, Check, at_point, distance, towards
from pullback.verify.points import Args, draw, ordered, small

POINTS: Final = 3
STEPS: Final = (1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)  # towards the example
SMALL: Final = 1e-4  # a gap below this, and above what 50 digits leave, is an error that shrinks
SHRINKING: Final = 1e3  # how much two such gaps have to differ


def on_purpose(check: Check, index: int) -> str:
    """Words for a gradient that is no derivative by design; none for one that is only wrong."""
    name = check.name(check.code.wrt[index])
    constant = identity = seen = 0
    sizes = [s for s in ordered(check.made, check.sizes) if small(check.made, s)][-POINTS:]
    for seed, at in enumerate(sizes):
        args = draw(check.made, at, "generic", np.random.default_rng(seed))
        try:
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


def _is_upstream(check: Check, args: Args, true: Any) -> bool:
    outs = check.code.outputs(args)
    if len(outs) != 1 or np.shape(outs[0]) != true.shape:
        return False
    (given,) = upstreams([np.shape(outs[0])], np.random.default_rng(7))
    return all(t == float(u) for t, u in zip(true.flat, given.flat, strict=True))


def unsettled(check: Check, index: int) -> bool:
    """Whether the two sides agree at the example, and drift apart by and by on the way from it.

    That is how an iteration with a fixed number of steps differs from the gradient of its limit; a wrong formula
    differs at the example, or from some place on.
    """
    made = check.made
    if not small(made, made.sizes):
        return False
    far = draw(made, made.sizes, "generic", np.random.default_rng(12))
    gaps = [_gap(check, index, _between(made.args, far, t)) for t in (*STEPS, 0.0)]
    if any(g is None for g in gaps[1:]) or gaps[-1] is None or gaps[-1] > ROUNDING:
        return False
    known = [g for g in gaps if g is not None]
    known = known[known.index(max(known)) :]
    falling = all(b <= 10 * a + NOISE for a, b in pairwise(known))
    drifting = [g for g in known if NOISE < g < SMALL]
    return falling and len(drifting) >= 2 and max(drifting) >= SHRINKING * min(drifting)


def _gap(check: Check, index: int, args: Args) -> float | None:
    found = towards(check, args, 7)
    if found is None or found.claimed[index] is None:
        return None
    gap, at = distance(found.claimed[index], found.true[index], WEIGHT)
    return None if at is None else gap


def _between(near: Any, far: Args, t: float) -> Args:
    """Arrays of floats on the line from the example to another point."""
    return [
        a + t * (b - a) if is_float_array(a) and np.isfinite(a).all() and np.isfinite(b).all() else a
        for a, b in zip(near, far, strict=True)
    ]
