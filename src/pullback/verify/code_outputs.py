"""Of code with several outputs: in the part of which of them a wrong gradient is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pullback.tracing.passes import CodeProblem
from pullback.verify.code_compare import ROUNDING, upstreams
from pullback.verify.code_state import Check, at_point, distance
from pullback.verify.points import Args


def said_of_outputs(check: Check, index: int, args: Args) -> str:
    """Words for the outputs whose upstream gradient comes into the gradient of `wrt[index]` wrongly."""
    try:
        shapes = [np.shape(o) for o in check.code.outputs(args)]
    except CodeProblem:
        return ""
    if len(shapes) < 2:
        return ""
    wrong, ignored = [], []
    for k in range(len(shapes)):
        claimed, differs = _alone(check, index, args, shapes, k)
        wrong += [k] if differs else []
        ignored += [k] if differs and claimed == 0 else []
    if not wrong or len(wrong) == len(shapes):
        return ""
    said = f" (in the part of {_listed(wrong)} alone)"
    if ignored == wrong:
        said += "; its upstream gradient is not read: ctx.mark_non_differentiable says that there is none"
    return said


def _listed(places: Sequence[int]) -> str:
    return f"output{'s' if len(places) > 1 else ''} {', '.join(map(str, places))}"


def _alone(
    check: Check, index: int, args: Args, shapes: Sequence[tuple[int, ...]], k: int
) -> tuple[float, bool]:
    """The largest entry of the gradient where one output alone has an upstream gradient, and whether it is wrong."""
    given = upstreams(shapes, np.random.default_rng(7))
    found = at_point(check, args, [u if j == k else np.zeros_like(u) for j, u in enumerate(given)])
    claimed = None if found is None else found.claimed[index]
    if found is None or claimed is None:
        return 0.0, False
    gap, at = distance(claimed, found.true[index])
    return float(max((abs(c) for c in claimed.flat), default=0)), at is not None and gap > ROUNDING
