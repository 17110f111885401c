"""The smallest counterexample to a backward: found with the traced code, confirmed by the code itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from pullback.tracing.numbers import Untraceable
from pullback.tracing.passes import CodeProblem, FloatRun
from pullback.verify.code_compare import ROUNDING, upstreams
from pullback.verify.code_intent import on_purpose
from pullback.verify.code_mend import mended
from pullback.verify.code_outputs import said_of_outputs
from pullback.verify.code_state import Check, at_point, distance, pasted
from pullback.verify.code_verdict import CodeVerdict
from pullback.verify.points import Args, Sizes, draw, ordered, small
from pullback.verify.witness import Witness


def show(check: Check, index: int, position: int) -> None:
    """Replace the verdict by one with a witness that the code itself confirms; without one, withdraw it."""
    verdict = check.found.wrong[position]
    fallback: CodeVerdict | None = None
    differs = ((sizes, "generic", args) for sizes, args in check.found.differs.get(position, ()))
    for sizes, kind, args in chain(_small_points(check), differs):
        try:
            found = at_point(check, args, 7)
        except Untraceable:
            continue  # such as a size of which a loop makes no step
        if found is None or found.claimed[index] is None:
            continue
        gap, at = distance(found.claimed[index], found.true[index])
        if at is None or gap <= ROUNDING or (found.ties and kind != "generic"):
            continue  # a mask `x == x.max()` ties at any values, and so do numbers by chance that are small
        claimed, true = float(found.claimed[index][at]), float(found.true[index][at])
        if not confirmed(check, args, index, at, claimed):
            continue
        shown = counterexample(check, position, sizes, args, at, claimed, true)
        fallback = replace(verdict, witness=shown[0], paste=shown[1])
        break
    if fallback is None:
        del check.found.wrong[position]
        raise Untraceable("a difference of the traced code was not confirmed by the code itself")
    right_at = _only_at(check, index, sizes) + said_of_outputs(check, index, args)
    meant = on_purpose(check, index)
    check.found.wrong[position] = replace(
        fallback,
        reason=f"{fallback.reason}{right_at}{meant}",
        mend=None if meant else mended(check, index),
    )


def _small_points(check: Check) -> Any:
    from_small = ordered(check.made, _tiny(check))
    for kinds in (("counting", "integers"), ("generic", "large", "tiny")):
        for sizes in from_small:
            for kind in kinds:
                for seed in (1, 2):
                    yield sizes, kind, draw(check.made, sizes, kind, np.random.default_rng(seed))


def _tiny(check: Check) -> list[dict[str, int]]:
    names = list(check.made.sizes)
    options = [dict(s) for s in check.sizes]
    if len(names) <= 3:
        for numbers in np.ndindex(*[2] * len(names)):
            options.append({n: k + 1 for n, k in zip(names, numbers, strict=True)})
    kept: list[dict[str, int]] = []
    for sizes in options:
        if sizes not in kept and small(check.made, sizes):
            try:
                check.code.outputs(draw(check.made, sizes, "generic", np.random.default_rng(0)))
            except CodeProblem:
                continue
            kept.append(sizes)
    return kept


def _only_at(check: Check, index: int, wrong_at: Sizes) -> str:
    """Words for a difference that vanishes where some size is 1, and so was easy to miss."""
    blind = []
    for name in check.made.sizes:
        if wrong_at.get(name, 1) == 1:
            continue
        sizes = {**wrong_at, name: 1}
        if not any(s == sizes for s in check.sizes):
            continue
        found = at_point(check, draw(check.made, sizes, "generic", np.random.default_rng(4)), 7)
        if found is not None and found.claimed[index] is not None:
            gap, at = distance(found.claimed[index], found.true[index])
            if at is not None and gap <= ROUNDING:
                blind.append(name)
    return f" (at {' = 1 or '.join(blind)} = 1 the two agree)" if blind else ""


def confirmed(
    check: Check, args: Args, index: int, at: tuple[int, ...], claimed: float, ones: bool = False
) -> bool:
    """Whether the code itself gives the value that the traced code gave."""
    rng = np.random.default_rng(7)

    def given(shapes: Sequence[tuple[int, ...]]) -> list[Any]:
        return [np.ones(s) for s in shapes] if ones else upstreams(shapes, rng)

    try:
        run: FloatRun = check.code.run(args, given)
    except CodeProblem:
        return False
    if len(run.grads) <= index or run.grads[index] is None:
        return False
    gradient = np.asarray(run.grads[index], dtype=float)
    size = max(1e-30, float(np.abs(gradient).max(initial=0.0)))
    return bool(abs(float(gradient[at]) - claimed) <= 1e-4 * size)


def counterexample(
    check: Check, position: int, sizes: Sizes, args: Args, at: tuple[int, ...], claimed: float, true: float
) -> tuple[Witness, str]:
    rng = np.random.default_rng(7)
    upstream = upstreams([np.shape(o) for o in check.code.outputs(args)], rng)
    shown = {
        name: x.tolist() if isinstance(x, np.ndarray) else repr(x)
        for name, x in zip(check.code.names, args, strict=True)
    }
    shown |= {
        ("upstream" if len(upstream) == 1 else f"upstream {k}"): u.tolist() for k, u in enumerate(upstream)
    }
    witness = Witness(
        dict(sizes),
        shown,
        at,
        claimed,
        true,
        check.made.shape(position, sizes),
        check.made.shape(position, sizes),
    )
    place = f"[{', '.join(map(str, at))}]" if at else ""
    comment = f"# d{check.name(position)}{place} must be {true!r}, and is {claimed!r}"
    return witness, f"{pasted(check, args, upstream)}\n{comment}"
