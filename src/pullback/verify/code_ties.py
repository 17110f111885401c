"""At ties and kinks: does a gradient that differs from the declared convention lie between one-sided derivatives?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final

import numpy as np

from pullback.evaluator import HighPrecision
from pullback.tracing.arrays import numbers
from pullback.tracing.numbers import Number, Untraceable, World
from pullback.tracing.passes import CodeProblem, Pass, is_float_array
from pullback.verify.code_compare import ROUNDING, Entrywise, array_of
from pullback.verify.code_state import Check, agreed_at, at_point, distance, pasted
from pullback.verify.code_witness import confirmed, counterexample
from pullback.verify.points import TIES, Args, Sizes, draw, ordered, small

STEP: Final = Fraction(1, 10**22)
SLACK: Final = 1e-12
SMOOTH: Final = ("binary", "zeros")  # a backward may divide by what is zero there
GUARD: Final = (
    1e-4  # a smaller constant keeps a division or a logarithm from zero: no place that code is made for
)


def one_sided(code: Pass, args: Sequence[Any], upstream: Sequence[Any], position: int, direction: Any) -> Any:
    """(f(x + h v) - f(x)) / h for f = Σ upstream * forward, to twenty digits."""
    return (
        _loss(code, args, upstream, position, direction)
        - _loss(code, args, upstream, position, 0 * direction)
    ) / (float(STEP))


def _loss(code: Pass, args: Sequence[Any], upstream: Sequence[Any], position: int, direction: Any) -> Any:
    domain = HighPrecision()
    world, plain = World(domain), World(domain)
    made: list[Any] = []
    for p, x in enumerate(args):
        if not is_float_array(x):
            made.append(x)
            continue
        moved = [Fraction(float(v)) for v in np.asarray(x).flat]
        if p == position:
            moved = [
                v + STEP * Fraction(float(d)) for v, d in zip(moved, np.asarray(direction).flat, strict=True)
            ]
        made.append(array_of(world, [domain.number(v) for v in moved], np.shape(x)))

    def given(shapes: Sequence[tuple[int, ...]]) -> list[Any]:
        return [
            array_of(plain, [domain.number(Fraction(float(v))) for v in u.flat], u.shape) for u in upstream
        ]

    run = code.exact(made, given, world, plain)
    total = plain.number(0)
    for out, u in zip(run.outs, given([]), strict=True):
        for y, v in zip(numbers(out).flat, u.flat, strict=True):
            total = total + Number(plain, world.number(y).value) * v
    return total.value[()]


def lies_between(
    code: Pass, args: Sequence[Any], upstream: Sequence[Any], position: int, gradient: Any, entries: Any
) -> bool:
    """Whether gradient · v lies between the derivatives towards v and away from it, for coordinates and their sum."""
    shape = np.shape(args[position])
    directions = [np.ones(shape)]
    for at in entries[:6]:
        unit = np.zeros(shape)
        unit[tuple(at)] = 1.0
        directions.append(unit)
    for v in directions:
        value = sum(g * float(d) for g, d in zip(gradient.flat, v.flat, strict=True))
        sides = (one_sided(code, args, upstream, position, v), -one_sided(code, args, upstream, position, -v))
        if any(s != s for s in (*sides, value)):
            return True
        slack = SLACK * max(1, *(abs(s) for s in sides))
        if not min(sides) - slack <= value <= max(sides) + slack:
            return False
    return True


def compare_ties(check: Check) -> None:
    rng = np.random.default_rng(6)
    thresholds = sorted(t for t in check.found.thresholds if not 0 < abs(t) < GUARD)[:8]
    kinds = [*TIES, *(["thresholds"] * 2 if thresholds else [])]
    if not check.found.has_kinks:
        kinds = list(SMOOTH)
    for sizes in ordered(check.made, check.sizes)[: 3 if check.found.has_kinks else 1]:
        if not small(check.made, sizes):
            continue
        for kind in kinds:
            if not check.open or check.late:
                return
            _at_tie(check, sizes, draw(check.made, sizes, kind, rng, thresholds))


def _at_tie(check: Check, sizes: Sizes, args: Args) -> None:
    try:
        upstream = [np.ones(np.shape(o)) for o in check.code.outputs(args)]
        if agreed_at(check, args, upstream):
            return
        found = at_point(check, args, upstream)
    except (CodeProblem, Untraceable):
        return  # generic points decide, which can be traced
    if found is None:
        return
    for index, position in enumerate(check.code.wrt):
        if position not in check.open or found.claimed[index] is None:
            continue
        claimed, true = found.claimed[index], found.true[index]
        if any(t == t and c != c for c, t in zip(claimed.flat, true.flat, strict=True)):
            check.found.note(position, "at some ties, kinks or zeros the backward has no value (NaN)")
        gap, at = distance(claimed, true)
        if at is None or gap <= ROUNDING:
            continue
        _tie_differs(check, index, sizes, args, upstream, found, at)


def _tie_differs(
    check: Check, index: int, sizes: Sizes, args: Args, upstream: Any, found: Entrywise, at: tuple[int, ...]
) -> None:
    position = check.code.wrt[index]
    claimed, true = found.claimed[index], found.true[index]
    if not found.ties:
        return  # special values without a tie: the generic points decide
    if found.ties - {"abs"}:
        places = [p for p in np.ndindex(*true.shape) if abs(claimed[p] - true[p]) > ROUNDING]
        fair = lies_between(check.code, args, upstream, position, true, places)
        if not fair or lies_between(check.code, args, upstream, position, claimed, places):
            said = f"at ties and kinks another convention than PyTorch's: there d{check.name(position)} is "
            check.found.note(
                position, f"{said}{float(claimed[at]):g}, PyTorch's convention gives {float(true[at]):g}"
            )
            return
    if not confirmed(check, args, index, at, float(claimed[at]), ones=True):
        return
    shown, paste = counterexample(check, position, sizes, args, at, float(claimed[at]), float(true[at]))
    rest = {k: v for k, v in shown.inputs.items() if not k.startswith("upstream")}
    paste = f"{pasted(check, args, upstream)}\n{paste.splitlines()[-1]}"
    check.verdict(position, "ties", "ties: at equal values or at a kink the gradient is wrong",
                  replace(shown, inputs={**rest, "upstream": "ones"}), paste)  # fmt: skip
