"""Subscripts of recorded arrays, with NumPy's meaning: spans, whole numbers, new axes and integer arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pullback.capture.arrays import Array, Shape, generic, known, moved, rearranged, sources
from pullback.capture.moving import reshape
from pullback.capture.operations import axes_of, broadcast, expanded
from pullback.errors import ShapeProblem
from pullback.expression import ONE, ZERO, Access, Expr, Num, add, call, mul, neg, num
from pullback.reading.value import At, broadcast_at
from pullback.sizes import normal_size, same_size, size_text
from pullback.tracing.numbers import Untraceable


@dataclass(frozen=True, slots=True)
class Span:
    """start:stop:step along one axis; `single` where a whole number stands in the slot, and the axis goes."""

    start: Expr
    stop: Expr
    step: int = 1
    single: bool = False

    @property
    def length(self) -> Expr:
        if self.step > 0:
            top = add(self.stop, neg(self.start), num(self.step - 1))
            return normal_size(call("floordiv", normal_size(top), num(self.step)))
        top = add(self.start, neg(self.stop), num(-self.step - 1))
        return normal_size(call("floordiv", normal_size(top), num(-self.step)))

    def place(self, i: Expr) -> Expr:
        return add(mul(num(self.step), i), self.start)

    def covers(self, size: Expr) -> bool:
        return self.start is ZERO and self.step == 1 and same_size(self.stop, size)


Slot = Span | Array | None  # None is a new axis


Length = Callable[[Expr], int]  # a size as the number that it has in this run


def single(e: Expr, size: Expr, length: Length) -> Span:
    """One entry of an axis; a negative position counts from the end."""
    if length(e) < 0:
        e = normal_size(add(size, e))
    if not 0 <= length(e) < length(size):
        raise Untraceable(f"index {size_text(e)} is out of bounds for an axis of size {size_text(size)}")
    return Span(e, normal_size(add(e, ONE)), single=True)


def span(start: Expr | None, stop: Expr | None, step: int, size: Expr, length: Length) -> Span:
    """A slice, with Python's meaning of bounds that are left out, negative or beyond the axis."""
    low, high = (ZERO, size) if step > 0 else (normal_size(add(size, num(-1))), num(-1))
    first = low if start is None else _bound(start, size, step, length)
    last = high if stop is None else _bound(stop, size, step, length)
    if step > 0 and length(last) < length(first):
        last = first
    return Span(first, last, step)


def _bound(e: Expr, size: Expr, step: int, length: Length) -> Expr:
    if length(e) < 0:
        e = normal_size(add(size, e))
    lowest, highest = (ZERO, size) if step > 0 else (num(-1), normal_size(add(size, num(-1))))
    if length(e) < length(lowest):
        return lowest
    return highest if length(e) > length(highest) else e


def subscript(x: Array, slots: Sequence[Slot]) -> Array:
    """Spans, whole numbers, new axes and integer arrays, one slot an axis; axes that are left over are whole."""
    used = sum(slot is not None for slot in slots)
    if used > x.rank:
        raise Untraceable(f"{used} slots for an array with {x.rank} axes")
    rest = [Span(ZERO, size) for size in x.shape[used:]]
    every = [*slots, *rest]
    if any(isinstance(slot, Array) for slot in every):
        return _gathered(x, every)
    spans = [slot for slot in every if isinstance(slot, Span)]
    if all(s.covers(n) and not s.single for s, n in zip(spans, x.shape, strict=True)):
        found = x
    else:
        found = _sliced(x, spans)
    shape: list[Expr] = []
    lengths = iter(found.shape)
    for slot in every:
        if slot is None:
            shape.append(ONE)
        elif isinstance(slot, Span) and not slot.single:
            shape.append(next(lengths))
    return reshape(found, shape)


def _sliced(x: Array, spans: Sequence[Span]) -> Array:
    shape = tuple(s.length for s in spans if not s.single)
    for size in shape:
        if isinstance(size, Num) and size.value < 0:
            raise Untraceable("a slice that ends before it begins")
    if not (x.is_known or x.op == "moved") and all(s.step > 0 for s in spans):
        return Array(shape, x.kind, "subscript", (x,), {"spans": tuple(spans)})

    def source(at: At) -> At:
        rest = iter(at)
        return tuple(s.start if s.single else s.place(next(rest)) for s in spans)

    return rearranged(x, shape, source)


def _gathered(x: Array, slots: Sequence[Slot]) -> Array:
    """NumPy's rule: index arrays meet by broadcasting; their axes stand where the first of them stood, or in front."""
    arrays = [slot for slot in slots if isinstance(slot, Array)]
    shape = broadcast(*arrays)
    advanced = [k for k, s in enumerate(slots) if isinstance(s, Array) or (isinstance(s, Span) and s.single)]
    together = advanced == list(range(advanced[0], advanced[-1] + 1))
    front = advanced[0] if together else 0
    sized = dict(zip((k for k, s in enumerate(slots) if s is not None), x.shape, strict=True))
    for k, slot in enumerate(slots):
        if isinstance(slot, Array):
            ranges_over(slot, sized[k])
    kept = [k for k in range(len(slots)) if k not in advanced]
    before = [k for k in kept if k < advanced[0]] if together else []
    after = [k for k in kept if k not in before]

    def length(k: int) -> Expr:
        slot = slots[k]
        return slot.length if isinstance(slot, Span) else ONE

    result = (*(length(k) for k in before), *shape, *(length(k) for k in after))

    def source(at: At) -> At:
        inner = at[front if before else 0 :][: len(shape)] if not before else at[len(before) :][: len(shape)]
        outer = dict(
            zip((*before, *after), (*at[: len(before)], *at[len(before) + len(shape) :]), strict=True)
        )
        found = []
        for k, slot in enumerate(slots):
            if isinstance(slot, Array):
                found.append(slot.at(broadcast_at(slot.shape, shape, inner)))
            elif isinstance(slot, Span):
                found.append(slot.start if slot.single else slot.place(outer[k]))
        return tuple(found)

    args = [s for a in (x, *arrays) for s in sources(a)]
    if x.is_known:
        return known(result, x.kind, lambda at: x.at(source(at)), args)
    return moved(result, lambda at: x.at(source(at)), args)


def ranges_over(index: Array, size: Expr) -> None:
    """An integer array that stands in a slot holds positions of that axis."""
    if index.kind == "truth":
        raise Untraceable(
            "a mask as a subscript gives a shape that depends on values", hint="np.where(mask, x, 0)"
        )
    if not index.is_known:
        source = _taken_from(index)
        if source is not None:
            raise WholeNumbers(source)
        raise Untraceable(
            "an index that is computed from values", hint="integers are inputs: labels, positions"
        )
    read_positions(index.at(generic(index.shape)), sources(index), size)


def read_positions(e: Expr, read: Sequence[Array], size: Expr) -> None:
    """Where an entry of an integer input stands in a slot as it is, its range is the size of the axis."""
    for source in read:
        if isinstance(e, Access) and e.tensor is source.tensor:
            previous = source.options.setdefault("extent", size)
            if not same_size(previous, size):
                said = f"{size_text(previous)} and {size_text(size)}"
                raise ShapeProblem(f"{source.hint} is an index into axes of the sizes {said}")


def _taken_from(index: Array) -> Array | None:
    """The real input that an index is, or is a part of."""
    while index.op in ("subscript", "reshape", "transpose", "broadcast", "as real"):
        index = index.args[0]
    return index if index.op == "input" and index.kind == "real" else None


class WholeNumbers(Untraceable):
    """An input was taken for real, and stands in a subscript."""

    def __init__(self, index: Array) -> None:
        super().__init__(f"{index.hint} stands in a subscript, so that it holds integers")
        self.name = index.hint


def taken_along(x: Array, index: Array, axis: int) -> Array:
    """`x[n, t[n, k]]`: numpy.take_along_axis."""
    k = axes_of(x, axis)[0]
    ranges_over(index, x.shape[k])
    shape = tuple(index.shape[j] if j == k else x.shape[j] for j in range(x.rank))

    def entry(at: At) -> Expr:
        return x.at((*at[:k], index.at(broadcast_at(index.shape, shape, at)), *at[k + 1 :]))

    return moved(shape, entry, [*sources(x), *sources(index)])


def scattered(shape: Shape, index: Array, value: Array) -> Array:
    """Rows added up where an integer input says: Y[v, …] = Σ_n (t[n] == v) * X[n, …]."""
    ranges_over(index, shape[0])
    value = expanded(value, (*index.shape, *shape[1:]))
    read = dict.fromkeys((value, *sources(index), *sources(value)))
    return Array(shape, "real", "scatter", tuple(read), {"index": index})
