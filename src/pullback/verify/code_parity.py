"""Sizes that code halves: a forward that takes `x[: n // 2]` and `x[n // 2 :]` runs at odd sizes by accident."""

from __future__ import annotations

from typing import Final

import numpy as np

from pullback.tracing.numbers import Untraceable
from pullback.verify.code_compare import ROUNDING
from pullback.verify.code_state import Check, distance, towards
from pullback.verify.points import Sizes, draw, runs, small

EVEN: Final = (2, 4, 6)
ODD: Final = (3, 5)


def halved(check: Check, index: int, at: Sizes) -> str | None:
    """The size, even in the example, at whose odd values alone the gradient of `wrt[index]` differs.

    A fault at size 1 is no such thing: it is right at 3 and 5.
    """
    names = [name for name, n in at.items() if n % 2 and check.made.sizes[name] % 2 == 0]
    even = {**at, **dict.fromkeys(names, EVEN[0])}
    for name in names:
        right = [_agrees(check, index, {**even, name: n}) for n in EVEN]
        if False in right or right.count(True) < len(EVEN) - 1:
            continue
        wrong = [_agrees(check, index, {**even, name: n}) for n in ODD]
        if False in wrong and True not in wrong:
            return name
    return None


def leave_odd_out(check: Check, position: int, name: str) -> None:
    """Nothing more is looked at where this size is odd."""
    check.found.note(
        position, f"at odd {name} the gradient is another; the code is taken to be for even {name}"
    )
    check.even.add(name)
    kept: list[dict[str, int]] = []
    for sizes in check.sizes:
        even = {**sizes, name: sizes[name] + sizes[name] % 2}
        if even not in kept and runs(check.code, check.made, even):
            kept.append(even)
    check.sizes = kept or [dict(check.made.sizes)]


def _agrees(check: Check, index: int, sizes: Sizes) -> bool | None:
    """Whether the gradient is right at a generic point of these sizes; None where that cannot be said."""
    if not small(check.made, sizes):
        return None
    try:
        found = towards(check, draw(check.made, sizes, "generic", np.random.default_rng(13)), 13, True)
    except Untraceable:
        return None
    claimed = None if found is None else found.claimed[index]
    if found is None or claimed is None:
        return None
    gap, where = distance(claimed, found.true[index])
    return None if where is None else gap <= ROUNDING
