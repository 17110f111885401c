"""Σ of a product: brackets as masks, factors multiplied in an order that keeps intermediates small."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Generic, TypeVar

from pullback.evaluator.domain import BoolArray
from pullback.evaluator.named import Axes, Named, Plain, aligned, collapsed, either, union, without
from pullback.expression import Bracket, Expr, Index
from pullback.limits import MAX_CHECK_ELEMENTS, demand

if TYPE_CHECKING:
    from pullback.evaluator.interpret import Interpreter

V = TypeVar("V")

DIRECT = 60_000  # entries of a whole product that are not worth an order of elimination


def contracted(interpreter: Interpreter[V], factors: Sequence[Expr], indices: Sequence[Index]) -> Named[V]:
    """Σ over the indices of the product. Where a bracket is 0 the other factors have no influence."""
    masks = [interpreter.mask(factor) for factor in factors if isinstance(factor, Bracket)]
    fields = [interpreter.field(factor) for factor in factors if not isinstance(factor, Bracket)]
    outside = either([part.outside for part in fields])
    for mask in masks:
        outside = without(outside, mask)
    bound = tuple(index.name for index in indices)
    extents = interpreter.extents([*fields, *masks])
    absent = 1
    for index in indices:
        if index.name not in extents:
            absent *= interpreter.size(index.extent)
    work = _Contraction(interpreter, extents, bound)
    result = work.run(fields, masks)
    data = result.data
    if absent != 1:
        data = interpreter.domain.mul(interpreter.domain.number(Fraction(absent)), data)
    return Named(result.axes, data, collapsed(outside, bound))


class _Contraction(Generic[V]):
    """One product and the sizes of its axes."""

    def __init__(self, interpreter: Interpreter[V], extents: dict[str, int], bound: Axes) -> None:
        self.interpreter = interpreter
        self.domain = interpreter.domain
        self.extents = extents
        self.bound = bound

    def count(self, axes: Axes) -> int:
        result = self.domain.batch
        for name in axes:
            result *= self.extents[name]
        return result

    def run(self, fields: list[Named[V]], masks: list[Plain[BoolArray]]) -> Named[V]:
        everything = union([part.axes for part in fields] + [mask.axes for mask in masks])
        if len(fields) < 2 or self.count(everything) <= DIRECT:
            return self.direct(fields, masks, everything)
        parts = self.absorbed(fields, masks)
        left = {name for name in self.bound if name in self.extents}
        while left:
            name = min(left, key=lambda b: self.count(self.around(parts, b)))
            chosen = sorted((p for p in parts if name in p.axes), key=lambda p: self.count(p.axes))
            others = [p for p in parts if name not in p.axes]
            parts = [*others, self.joined(chosen, others)]
            left -= {b for b in left if not any(b in p.axes for p in parts)}
        return self.joined(parts, [])

    def around(self, parts: list[Named[V]], name: str) -> Axes:
        return union(part.axes for part in parts if name in part.axes)

    def absorbed(self, fields: list[Named[V]], masks: list[Plain[BoolArray]]) -> list[Named[V]]:
        """The masks worked into a factor that has their axes, or kept as factors 0 and 1."""
        parts = list(fields)
        for mask in masks:
            for k, part in enumerate(parts):
                if set(mask.axes) <= set(part.axes):
                    zero = self.domain.number(Fraction(0))
                    data = self.domain.select(aligned(mask, part.axes), part.data, zero)
                    parts[k] = Named(part.axes, data)
                    break
            else:
                parts.append(Named(mask.axes, self.domain.indicator(mask.data)))
        return parts

    def joined(self, parts: list[Named[V]], others: list[Named[V]]) -> Named[V]:
        """The product of the parts, summed over the bound axes that no other part has."""
        elsewhere = {name for part in others for name in part.axes}
        result = parts[0]
        if len(parts) == 1:
            return self.summed(result, elsewhere)
        for k, part in enumerate(parts[1:], 2):
            waiting = elsewhere | {name for later in parts[k:] for name in later.axes}
            result = self.pair(result, part, waiting)
        return result

    def split(self, axes: Axes, waiting: set[str]) -> tuple[Axes, Axes]:
        gone = tuple(name for name in axes if name in self.bound and name not in waiting)
        return tuple(name for name in axes if name not in gone), gone

    def summed(self, part: Named[V], waiting: set[str]) -> Named[V]:
        keep, gone = self.split(part.axes, waiting)
        return Named(keep, self.domain.total(self.interpreter.arranged(part, keep + gone), len(gone)))

    def pair(self, a: Named[V], b: Named[V], waiting: set[str]) -> Named[V]:
        keep, gone = self.split(union((a.axes, b.axes)), waiting)
        room = keep if self.domain.fuses else keep + gone
        demand(self.count(room), MAX_CHECK_ELEMENTS, "the entries of one product inside a check")
        left, right = (self.interpreter.arranged(x, keep + gone) for x in (a, b))
        return Named(keep, self.domain.product_total(left, right, len(gone)))

    def direct(self, fields: list[Named[V]], masks: list[Plain[BoolArray]], axes: Axes) -> Named[V]:
        """The whole product at once, then the sum."""
        keep, gone = self.split(axes, set())
        target = keep + gone
        demand(self.count(target), MAX_CHECK_ELEMENTS, "the entries of one product inside a check")
        values = [self.interpreter.arranged(part, target) for part in fields]
        if not masks and len(values) == 2 and gone:
            return Named(keep, self.domain.product_total(values[0], values[1], len(gone)))
        if not masks:
            result = values[0]
            for value in values[1:]:
                result = self.domain.mul(result, value)
            return Named(keep, self.domain.total(result, len(gone)))
        mask = aligned(masks[0], target)
        for other in masks[1:]:
            mask = mask & aligned(other, target)
        if not values:
            return Named(keep, self.domain.total(self.domain.indicator(mask), len(gone)))
        result = values[0]
        for value in values[1:]:
            result = self.domain.mul(result, value)
        result = self.domain.select(mask, result, self.domain.number(Fraction(0)))
        return Named(keep, self.domain.total(result, len(gone)))
