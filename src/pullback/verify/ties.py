"""Kinks and ties: a claim may follow another convention there, between the one-sided derivatives.

Every defined tensor gets a tiny random shift of its own, so that each kink falls to one side or the
other independently; the slopes met at a coordinate then span what any convention may give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from pullback.evaluator import Float64, Interpreter, small_integers
from pullback.evaluator.domain import Array
from pullback.evaluator.dual import Dual, DualValue
from pullback.evaluator.floats import Floats
from pullback.expression import Access, Definition, Tensor, add
from pullback.verify.setting import Point, Setting
from pullback.verify.witness import number_text, shape_at

DRAWS: Final = 32  # of small integers, where ties are met
POINTS: Final = 6  # of these that are looked at
SIDES: Final = 64  # shifts at each of them
REPEATED: Final = 4  # times that an extreme is met before it is believed to be one
SHIFT: Final = 2.0**-20
NEAR: Final = 2.0**-12  # entries of a maximum this close count as tied
SLACK: Final = 1e-3


class Sided(Dual[Floats]):
    """Dual numbers where each of several tied entries of a maximum counts fully or not at all, by chance."""

    def __init__(self, base: Float64, directions: int) -> None:
        super().__init__(base, directions)
        self.rng = np.random.default_rng(8)
        self.met = False  # whether several entries were tied somewhere

    def extreme(self, a: DualValue[Floats], count: int, relation: str) -> DualValue[Floats]:
        y = self.base.extreme(a.value, count, relation)
        if a.tangent is None:
            return DualValue(y)
        tied = np.abs(a.value - self.base.widen(y, count)) <= NEAR
        alone = self.base.widen(tied.sum(axis=tuple(range(-count, 0))).astype(float), count) == 1
        self.met = self.met or not alone.all()
        counts = tied & (alone | (self.rng.random(tied.shape) < 0.5))
        return DualValue(y, self.base.total(np.where(counts, a.tangent, 0.0), count))


def tie_note(
    setting: Setting, wrt: Tensor, lines: Sequence[Definition], sizes: Mapping[str, int]
) -> tuple[bool, str]:
    """(whether the claim lies between the one-sided derivatives at ties, an example in words)."""
    raw = small_integers(setting.inputs, sizes, np.random.default_rng(4), DRAWS, 1)
    values = {t.name: raw[t.name] if t.is_integer else raw[t.name].astype(float) for t in setting.inputs}
    shape = shape_at(wrt.shape, sizes)
    point = Point(setting, Float64(1e-9, DRAWS), sizes, values)
    differs, claimed, true = (
        np.broadcast_to(a, (DRAWS, *shape))
        for a in (point.compared(wrt, lines)[0], point.claimed(lines), point.true(wrt))
    )
    counts = differs.reshape(DRAWS, -1).sum(axis=1)
    example = ""
    for draw in sorted(np.flatnonzero(counts), key=lambda k: int(counts[k]))[:POINTS]:
        here = {t.name: values[t.name] if t.is_integer else values[t.name][draw] for t in setting.inputs}
        low, high, sure = one_sided(setting, wrt, sizes, here)
        slack = SLACK * np.maximum(1.0, np.maximum(np.abs(low), np.abs(high)))
        outside = (claimed[draw] < low - slack) | (claimed[draw] > high + slack)
        if (outside & sure & differs[draw]).any():
            return False, ""
        if not example:
            entry = tuple(int(i) for i in np.argwhere(differs[draw])[0])
            target = setting.target(wrt)
            spot = f"{target}[{','.join(map(str, entry))}]" if entry else target
            both = (_plain(float(claimed[draw][entry])), _plain(float(true[draw][entry])))
            example = f"{spot} is {both[0]} where the declared convention gives {both[1]}"
    return True, example


def one_sided(
    setting: Setting, wrt: Tensor, sizes: Mapping[str, int], values: Mapping[str, Any]
) -> tuple[Floats, Floats, Array]:
    """The least and greatest derivative on any side of the kinks, and which extremes are believed."""
    rng = np.random.default_rng(5)
    domain = Float64(1e-9, SIDES)

    def shift(shape: tuple[int, ...]) -> Floats:
        return np.asarray(SHIFT * rng.normal(size=(SIDES, *shape)))

    given = dict(values)
    for tensor in setting.inputs:
        whole = tensor.is_integer or "binary" in tensor.facts
        if not whole and tensor is not setting.upstream:
            given[tensor.name] = values[tensor.name] + shift(shape_at(tensor.shape, sizes))
    shifted = []
    for definition in setting.program.definitions:
        by = Tensor(f"{definition.tensor.name} shift", definition.tensor.shape)
        given[by.name] = shift(shape_at(by.shape, sizes))
        body = add(definition.body, Access(by, definition.indices))
        shifted.append(Definition(definition.tensor, definition.indices, body))
    forward = Interpreter(domain, sizes, given, shifted)
    shape = shape_at(wrt.shape, sizes)
    dual = Sided(domain, int(np.prod(shape, dtype=np.int64)))
    with np.errstate(all="ignore"):
        seeds = {wrt.name: dual.seeded(forward.tensor(wrt.name), wrt.rank)}
        tangent = dual.tangent(forward.beside(dual, seeds).tensor(setting.program.output.name))
        if setting.upstream is not None:
            tangent = tangent * given[setting.upstream.name]
        rank = setting.program.output.rank
        found = tangent.sum(axis=tuple(range(-rank, 0))) if rank else tangent
    slopes = np.moveaxis(np.broadcast_to(found, (dual.directions, SIDES)), 0, -1).reshape(SIDES, *shape)
    low, high = slopes.min(axis=0), slopes.max(axis=0)
    slack = SLACK * np.maximum(1.0, np.maximum(np.abs(low), np.abs(high)))
    often = [(np.abs(slopes - end) <= slack).sum(axis=0) >= REPEATED for end in (low, high)]
    # Formulas such as (X == max(X)) count every tied entry: no derivative, and right where nothing is tied.
    return low, high, np.asarray(often[0] & often[1]) & (not dual.met)


def _plain(x: float) -> str:
    return str(int(x)) if x == int(x) else number_text(x).rstrip("…")
