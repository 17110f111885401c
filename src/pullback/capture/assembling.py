"""Arrays put together from others: assignment to parts, concatenation, stacking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pullback.capture.arrays import Array, Shape, chosen, compared, filled, known, moved, sources
from pullback.capture.moving import new_axes, reshape
from pullback.capture.operations import axes_of, expanded
from pullback.capture.subscripts import Span
from pullback.errors import ShapeProblem
from pullback.expression import ONE, ZERO, Expr, Num, add, call, mul, neg, num
from pullback.reading.value import At
from pullback.sizes import normal_size, same_size, shape_text


@dataclass(frozen=True, slots=True)
class Piece:
    """An array that was written into a region of another."""

    region: tuple[Span, ...]
    value: Array


def assigned(x: Array, slots: Sequence[Span], value: Array) -> Array:
    """`x` after `x[slots] = value`."""
    region = (*slots, *(Span(ZERO, size) for size in x.shape[len(slots) :]))
    shape = tuple(span.length for span in region if not span.single)
    value = expanded(_without_front(value, len(shape)), shape)
    if all(s.covers(n) and not s.single for s, n in zip(region, x.shape, strict=True)):
        return value
    if value.op not in ("known", "moved", "input"):
        value.options["named"] = True
    base, pieces = x.options.get("pieces", (x, ()))
    kept = [p for p in pieces if not _inside(p.region, region)]
    return assembled(base, [*kept, Piece(region, value)])


def _without_front(value: Array, rank: int) -> Array:
    while value.rank > rank and value.shape[0] is ONE:
        value = reshape(value, value.shape[1:])
    return value


def assembled(base: Array, pieces: Sequence[Piece]) -> Array:
    """The base with pieces written over it, the later over the earlier."""

    def entry(at: At) -> Expr:
        e = base.at(at) if base.constant() is None else (base.constant() or ZERO)
        for k, piece in enumerate(pieces):
            apart = e is ZERO or (
                base.constant() is ZERO and all(_apart(p.region, piece.region) for p in pieces[:k])
            )
            guard = mul(
                *(_guards(span, i, n) for span, i, n in zip(piece.region, at, base.shape, strict=True))
            )
            inner = piece.value.at(
                tuple(_inner(s, i) for s, i in zip(piece.region, at, strict=True) if not s.single)
            )
            e = add(e, mul(guard, inner)) if apart else chosen(guard, inner, e)
        return e

    args = [s for a in (base, *(p.value for p in pieces)) for s in sources(a)]
    everything_known = base.is_known and all(p.value.is_known for p in pieces)
    kind = "real" if any(p.value.kind == "real" for p in pieces) else base.kind
    made = Array(
        base.shape, kind, "known" if everything_known else "moved", tuple(dict.fromkeys(args)), entry=entry
    )
    made.options["pieces"] = (base, tuple(pieces))
    return made


def _guards(span: Span, i: Expr, size: Expr) -> Expr:
    if span.single:
        return compared("==", i, span.start)
    parts = []
    if span.start is not ZERO and not (
        span.step > 1 and isinstance(span.start, Num) and span.start.value < span.step
    ):
        parts.append(compared("<=", span.start, i))
    last = normal_size(add(span.place(add(span.length, num(-1))), ONE))
    if not same_size(span.stop, size) and not same_size(last, size):
        parts.append(compared("<", i, span.stop))
    if span.step > 1:
        parts.append(
            compared(
                "==",
                call("mod", add(i, neg(span.start)) if parts else i, num(span.step)),
                ZERO if parts else span.start,
            )
        )
    return mul(*parts)


def _inner(span: Span, i: Expr) -> Expr:
    if span.step > 1:
        start = span.start
        if isinstance(start, Num) and start.value < span.step:
            return call("floordiv", i, num(span.step))  # the same where the guard holds
        return call("floordiv", add(i, neg(start)), num(span.step))
    return add(i, neg(span.start))


def _apart(a: Sequence[Span], b: Sequence[Span]) -> bool:
    """Whether two regions surely have no entry in common."""
    return any(_spans_apart(s, t) for s, t in zip(a, b, strict=True))


def _spans_apart(s: Span, t: Span) -> bool:
    for low, high in ((s, t), (t, s)):
        stop = normal_size(add(low.start, ONE)) if low.single else low.stop
        gap = normal_size(add(high.start, neg(stop)))
        if isinstance(gap, Num) and gap.value >= 0:
            return True
    starts = normal_size(add(s.start, neg(t.start)))
    return s.step == t.step > 1 and isinstance(starts, Num) and starts.value % s.step != 0


def _inside(a: Sequence[Span], b: Sequence[Span]) -> bool:
    """Whether the region b surely covers a."""
    for s, t in zip(a, b, strict=True):
        same = same_size(s.start, t.start) and (s.single or same_size(s.stop, t.stop)) and s.step == t.step
        whole = t.step == 1 and not t.single and t.start is ZERO and same_size(t.stop, normal_size(t.stop))
        if not (same and s.single == t.single) and not (whole and _within(s, t)):
            return False
    return True


def _within(s: Span, t: Span) -> bool:
    stop = normal_size(add(s.start, ONE)) if s.single else s.stop
    gap = normal_size(add(t.stop, neg(stop)))
    return isinstance(gap, Num) and gap.value >= 0


# ---- side by side ---------------------------------------------------------------------------


def concatenate(parts: Sequence[Array], axis: int = 0) -> Array:
    parts = [p for p in parts if p.shape[axis] is not ZERO]
    if len(parts) == 1:
        return parts[0]
    axis = axes_of(parts[0], axis)[0]
    for part in parts[1:]:
        off = [k for k in range(part.rank) if k != axis]
        if part.rank != parts[0].rank or any(not same_size(part.shape[k], parts[0].shape[k]) for k in off):
            raise ShapeProblem(
                f"concatenate: {shape_text(parts[0].shape)} and {shape_text(part.shape)} do not meet"
            )
    length = normal_size(add(*(part.shape[axis] for part in parts)))
    shape = (*parts[0].shape[:axis], length, *parts[0].shape[axis + 1 :])
    kind = "real" if any(part.kind == "real" for part in parts) else parts[0].kind
    made = Array(shape, kind, "concatenate", tuple(parts), {"axis": axis})
    return _known_parts(made, axis) if all(part.is_known for part in parts) else made


def _known_parts(made: Array, axis: int) -> Array:
    pieces: list[Piece] = []
    start: Expr = ZERO
    for part in made.args:
        stop = normal_size(add(start, part.shape[axis]))
        pieces.append(Piece(_whole_region(made.shape, axis, start, stop), part))
        start = stop
    return assembled(filled(made.shape, ZERO, made.kind), pieces)


def _whole_region(shape: Shape, axis: int, start: Expr, stop: Expr) -> tuple[Span, ...]:
    return tuple(Span(start, stop) if k == axis else Span(ZERO, size) for k, size in enumerate(shape))


def stack(parts: Sequence[Array], axis: int = 0) -> Array:
    """Arrays side by side along a new axis; numbers become a vector entry by entry."""
    parts = list(parts)
    if not parts[0].rank:
        args = [s for part in parts for s in sources(part)]

        def entry(at: At) -> Expr:
            return add(*(mul(compared("==", at[0], num(k)), part.at(())) for k, part in enumerate(parts)))

        shape = (num(len(parts)),)
        if all(part.is_known for part in parts):
            return known(shape, parts[0].kind, entry, args)
        return moved(shape, entry, args)
    return concatenate(
        [new_axes(part, [axis % (part.rank + 1)]) for part in parts], axis % (parts[0].rank + 1)
    )
