"""Code that cannot be traced: its backward in float64 against differences of high order of its forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np

from pullback.tracing.passes import CodeProblem, Pass
from pullback.verify.code_compare import upstreams
from pullback.verify.code_state import Check, pasted
from pullback.verify.points import Args, Sizes, draw

# Central differences of order 8: coefficients of f(x + k h) - f(x - k h).
WEIGHTS: Final = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
STEPS: Final = (2.0**-4, 2.0**-5, 2.0**-6, 2.0**-8, 2.0**-10)
WRONG: Final = 1e-10  # relative difference beyond the error of the differences
CANCELLED: Final = 1e-12  # of the upstream gradient
TRUSTED: Final = 1e-6  # an estimate that is worse than this decides nothing


@dataclass(frozen=True, slots=True)
class Estimate:
    """A directional derivative, and how far off it may be."""

    value: float
    error: float
    scale: float


def slope(
    code: Pass, args: Sequence[Any], upstream: Sequence[Any], position: int, direction: Any
) -> Estimate | None:
    """d/dt Σ upstream * forward(… x + t v …) at 0; None where the forward has no value nearby."""

    def loss(t: float) -> tuple[float, float]:
        moved = [a + t * direction if p == position else a for p, a in enumerate(args)]
        outs = code.values(moved)
        terms = [np.asarray(o, dtype=float) * u for o, u in zip(outs, upstream, strict=True)]
        return float(sum(x.sum() for x in terms)), float(sum(np.abs(x).sum() for x in terms))

    found: list[Estimate] = []
    with np.errstate(all="ignore"):
        for h in STEPS:
            try:
                pairs = [(loss(k * h), loss(-k * h)) for k in range(1, 5)]
            except CodeProblem:
                continue
            value = sum(w * (a[0] - b[0]) for w, (a, b) in zip(WEIGHTS, pairs, strict=True)) / h
            size = max(a[1] + b[1] for a, b in pairs)
            if np.isfinite(value):
                found.append(Estimate(value, 4e-16 * size / h, size))
    best: Estimate | None = None
    for one, other in pairwise(found):
        error = abs(one.value - other.value) + one.error
        if best is None or error < best.error:
            best = Estimate(one.value, error, one.scale)
    return best


def disagreement(
    code: Pass, args: Sequence[Any], upstream: Sequence[Any], index: int, seed: int, kind_of: str = ""
) -> bool | None:
    """Whether the gradient of `wrt[index]` is wrong at this point; None where the differences cannot tell."""
    position = code.wrt[index]
    rng = np.random.default_rng(seed)
    direction = rng.choice(np.array([-1.0, -0.5, 0.5, 1.0]), size=np.shape(args[position]))
    if kind_of in ("symmetric", "definite"):
        direction = direction + np.swapaxes(direction, -1, -2)  # the code may read one triangle alone
    estimate = slope(code, args, upstream, position, direction)
    given = code.run(args, lambda _: [u.copy() for u in upstream]).grads[index]
    if estimate is None or given is None:
        return None
    terms = np.asarray(given, dtype=float) * direction
    if not np.isfinite(terms).all():
        return None
    scale = max(abs(estimate.value), float(np.abs(terms).sum()), 1e-30)
    if estimate.error > TRUSTED * scale:
        return None
    # Below this a difference may be what is left of larger terms that cancel inside the code.
    floor = CANCELLED * sum(float(np.abs(u).sum()) for u in upstream) * max(1.0, _largest(args) ** 2)
    return bool(abs(float(terms.sum()) - estimate.value) > 20 * estimate.error + WRONG * scale + floor)


def _largest(args: Sequence[Any]) -> float:
    reals = [a for a in args if isinstance(a, np.ndarray) and a.dtype.kind == "f" and a.size]
    return max((float(np.abs(a[np.isfinite(a)]).max(initial=0.0)) for a in reals), default=0.0)


def probe_everywhere(check: Check) -> None:
    for position in list(check.found.agreed):
        check.found.agreed.pop(position, None)
    rng = np.random.default_rng(8)
    for sizes in check.sizes:
        for kind in ("generic", "large", "tiny"):
            if check.late and check.found.agreed:
                return
            args = draw(check.made, sizes, kind, rng)
            try:
                upstream = upstreams([np.shape(o) for o in check.code.outputs(args)], rng)
            except CodeProblem:
                continue
            for index, position in enumerate(check.code.wrt):
                if position not in check.found.wrong:
                    _probe(check, index, sizes, args, upstream)


def _probe(check: Check, index: int, sizes: Sizes, args: Args, upstream: Sequence[Any]) -> None:
    position = check.code.wrt[index]
    try:
        answers = [
            disagreement(check.code, args, upstream, index, s, check.made.characters[position])
            for s in (1, 2)
        ]
    except CodeProblem:
        return
    if answers == [True, True]:
        said = "formula: the backward is not the derivative of the forward (numerical: against differences)"
        check.verdict(position, "formula", said, None, pasted(check, args, upstream))
        check.found.wrong[position] = replace(check.found.wrong[position], status="numerical")
    elif False in answers:
        check.found.agreed[position] = check.found.agreed.get(position, 0) + 1
