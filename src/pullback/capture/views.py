"""Views: the same numbers seen through other axes. A chain of them is written as the one view that it amounts to.

Real code folds heads into the batch, swaps, unfolds and swaps back. A layout keeps what is left of that: which piece
of which axis of the source each axis shows. It is written as a slice, a reshape, a transpose and a reshape, of which
those that do nothing are left out.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pullback.capture.writing import Shape, Value, Writer, shape_list
from pullback.errors import ShapeProblem
from pullback.expression import ONE, Expr, Num, add, call, mul, neg
from pullback.reading.shapes import parse_size
from pullback.sizes import exact_quotient, normal_size, product_size, same_size, shape_text, size_text

ZERO = parse_size(0)


@dataclass(eq=False, slots=True)
class Piece:
    """A factor of one axis of the source; the pieces of an axis are listed from the slowest to the fastest."""

    size: Expr


@dataclass(frozen=True, slots=True)
class Layout:
    """`cuts`: where each axis of the source is sliced. `inner`: its pieces. `axes`: the pieces that each axis shows."""

    source: Value
    cuts: tuple[tuple[Expr, Expr], ...]  # start, stop
    inner: tuple[tuple[Piece, ...], ...]
    axes: tuple[tuple[Piece, ...], ...]

    @property
    def shape(self) -> Shape:
        return tuple(product_size(piece.size for piece in axis) for axis in self.axes)


def layout_of(x: Value) -> Layout:
    """The layout of a view, or that of a value as it stands."""
    if x.layout is not None:
        found: Layout = x.layout
        return found
    inner = tuple((Piece(size),) for size in x.shape)
    return Layout(x, tuple((ZERO, size) for size in x.shape), inner, inner)


# ---- what a view does to a layout


def _regrouped(layout: Layout, shape: Shape) -> Layout | None:
    """Row-major: the same pieces in the same order, in other groups; a piece is split where that comes out."""
    inner = [list(pieces) for pieces in layout.inner]
    waiting = [piece for axis in layout.axes for piece in axis if piece.size is not ONE][::-1]
    axes: list[tuple[Piece, ...]] = []
    for size in shape:
        group: list[Piece] = []
        while size is not ONE:
            if not waiting:
                return None
            piece = waiting.pop()
            rest = exact_quotient(size, piece.size)
            if rest is None:
                left = exact_quotient(piece.size, size)
                if left is None:
                    return None
                first, second = Piece(size), Piece(left)
                pieces = next(p for p in inner if piece in p)
                at = pieces.index(piece)
                pieces[at : at + 1] = [first, second]
                waiting.append(second)
                piece, rest = first, ONE
            group.append(piece)
            size = rest
        axes.append(tuple(group))
    return Layout(layout.source, layout.cuts, tuple(map(tuple, inner)), tuple(axes)) if not waiting else None


def _cut(layout: Layout, axis: int, start: Expr, stop: Expr) -> Layout | None:
    """A slice of an axis that shows the slowest piece of a source's axis, and nothing else."""
    if len(layout.axes[axis]) != 1:
        return None
    (piece,) = layout.axes[axis]
    k = next(k for k, pieces in enumerate(layout.inner) if piece in pieces)
    if layout.inner[k][0] is not piece:
        return None
    stride = product_size(other.size for other in layout.inner[k][1:])
    begin = layout.cuts[k][0]
    cut = (normal_size(add(begin, mul(start, stride))), normal_size(add(begin, mul(stop, stride))))
    made = Piece(normal_size(add(stop, neg(start))))
    cuts = (*layout.cuts[:k], cut, *layout.cuts[k + 1 :])
    inner = (*layout.inner[:k], (made, *layout.inner[k][1:]), *layout.inner[k + 1 :])
    return Layout(layout.source, cuts, inner, (*layout.axes[:axis], (made,), *layout.axes[axis + 1 :]))


# ---- a layout as an expression


def shown(w: Writer, layout: Layout, hint: str = "") -> Value:
    """The value of a layout: the source itself where nothing is left to do."""
    layout = _merged(layout)
    source, shape = layout.source, layout.shape
    text, now = _sliced(layout)
    order = [piece for axis in layout.axes for piece in axis if piece.size is not ONE]
    fine = [piece for pieces in layout.inner for piece in pieces if piece.size is not ONE]
    moved = fine != order
    if (moved and not _same(_bare(now), [piece.size for piece in fine])) or (moved and len(now) != len(fine)):
        now = tuple(piece.size for piece in fine)
        text = f"reshape({text}, {shape_list(now)})"
    if moved:
        places = [fine.index(piece) for piece in order]
        text = f"{text}.T" if len(places) == 2 else f"transpose({text}, [{', '.join(map(str, places))}])"
        now = tuple(piece.size for piece in order)
    if not _same(now, shape):
        slots = _with_new_axes(now, shape)
        text = f"{text}[{slots}]" if slots and text == "{0}" else f"reshape({text}, {shape_list(shape)})"
    if text == "{0}":
        return source
    made = w.define(text, source, shape=shape, kind=source.kind, style="view", hint=hint)
    made.layout = layout
    if not moved and all(
        same_size(a, ZERO) and same_size(b, n) for (a, b), n in zip(layout.cuts, source.shape, strict=True)
    ):
        made.whole = source
    return made


def _sliced(layout: Layout) -> tuple[str, Shape]:
    """The source with its slices; an entry that no axis shows goes with its axis."""
    slots, shape = [], []
    seen = {piece for axis in layout.axes for piece in axis}
    for (start, stop), size, pieces in zip(layout.cuts, layout.source.shape, layout.inner, strict=True):
        whole = same_size(start, ZERO) and same_size(stop, size)
        length = normal_size(add(stop, neg(start)))
        if not whole and length is ONE and not seen & set(pieces):
            slots.append(size_text(start))
            continue
        first = "" if same_size(start, ZERO) else size_text(start)
        slots.append(":" if whole else f"{first}:{'' if same_size(stop, size) else size_text(stop)}")
        shape.append(length)
    while slots and slots[-1] == ":":
        slots.pop()
    return ("{0}" + f"[{', '.join(slots)}]" if slots else "{0}"), tuple(shape)


def _merged(layout: Layout) -> Layout:
    """Pieces that stand side by side in the source and in one axis are one piece."""
    inner = [list(pieces) for pieces in layout.inner]
    axes = [list(axis) for axis in layout.axes]
    for pieces in inner:
        k = 0
        while k + 1 < len(pieces):
            a, b = pieces[k], pieces[k + 1]
            axis = next((axis for axis in axes if a in axis), None)
            if axis is not None and axis.index(a) + 1 < len(axis) and axis[axis.index(a) + 1] is b:
                both = Piece(normal_size(mul(a.size, b.size)))
                axis[axis.index(a) : axis.index(a) + 2] = [both]
                pieces[k : k + 2] = [both]
            else:
                k += 1
    return Layout(layout.source, layout.cuts, tuple(map(tuple, inner)), tuple(map(tuple, axes)))


def _bare(shape: Sequence[Expr]) -> list[Expr]:
    return [size for size in shape if size is not ONE]


def _same(a: Sequence[Expr], b: Sequence[Expr]) -> bool:
    return len(a) == len(b) and all(map(same_size, a, b))


def _with_new_axes(old: Shape, new: Shape) -> str:
    """The subscript that adds axes of size 1, where no more than that is done; empty where it is more."""
    slots: list[str] = []
    rest = list(old)
    for size in new:
        if rest and same_size(rest[0], size):
            rest.pop(0)
            slots.append(":")
        elif size is ONE:
            slots.append("None")
        else:
            return ""
    while slots and slots[-1] == ":":
        slots.pop()
    return "" if rest else ", ".join(slots)


# ---- the operations


def reshape(w: Writer, x: Value, shape: Sequence[Any], hint: str = "") -> Value:
    """Row-major; one size may be -1."""
    rest = [k for k, size in enumerate(shape) if isinstance(size, int) and size == -1]
    sizes = [ONE if k in rest else parse_size(size) for k, size in enumerate(shape)]
    if rest:
        left = exact_quotient(product_size(x.shape), product_size(sizes))
        if left is None:
            raise ShapeProblem(f"reshape: the size of -1 in {shape_text(sizes)} does not come out")
        sizes[rest[0]] = left
    if _same(x.shape, sizes):
        return x
    if x.number is not None and x.rank:
        return w.filled(x.number, sizes, x.kind)
    layout = _regrouped(layout_of(x), tuple(sizes))
    joined = None if layout is None else shown(w, layout, hint)
    if joined is not None and _steps(joined) <= _steps(x) + 1:
        return joined
    template = f"reshape({{0}}, {shape_list(tuple(sizes))})"
    made = w.define(template, x, shape=sizes, kind=x.kind, style="view", hint=hint)
    made.layout = layout
    return made


def _steps(x: Value) -> int:
    """How many functions a view is written with."""
    return 0 if x.layout is None or x.tree is None else sum(isinstance(n, ast.Call) for n in ast.walk(x.tree))


def transpose(w: Writer, x: Value, axes: Sequence[int] | None = None, hint: str = "") -> Value:
    """Axes in another order; reversed where none is given."""
    order = tuple(reversed(range(x.rank))) if axes is None else tuple(axis % x.rank for axis in axes)
    if order == tuple(range(x.rank)):
        return x
    if x.number is not None:
        return w.filled(x.number, [x.shape[k] for k in order], x.kind)
    old = layout_of(x)
    return shown(w, Layout(old.source, old.cuts, old.inner, tuple(old.axes[k] for k in order)), hint)


def new_axis(w: Writer, x: Value, axis: int) -> Value:
    """A new axis of size 1 before `axis`."""
    axis %= x.rank + 1
    shape = (*x.shape[:axis], ONE, *x.shape[axis:])
    if x.number is not None:
        return w.filled(x.number, shape, x.kind)
    old = layout_of(x)
    return shown(w, Layout(old.source, old.cuts, old.inner, (*old.axes[:axis], (), *old.axes[axis:])))


def part(w: Writer, x: Value, axis: int, start: Any = 0, stop: Any = None, step: int = 1) -> Value:
    """`x[start:stop:step]` along one axis; bounds as Python means them, `step` positive."""
    axis %= x.rank
    size = x.shape[axis]
    lower, upper = bound(start, size), size if stop is None else bound(stop, size)
    if same_size(lower, ZERO) and same_size(upper, size) and step == 1:
        return x
    layout = _cut(layout_of(x), axis, lower, upper) if step == 1 and x.number is None else None
    if layout is not None:
        return shown(w, layout)
    length = normal_size(add(upper, neg(lower), parse_size(step - 1)))
    count = normal_size(call("floordiv", length, parse_size(step)))
    first = "" if same_size(lower, ZERO) else size_text(lower)
    last = "" if same_size(upper, size) else size_text(upper)
    slot = f"{first}:{last}" + (f":{step}" if step != 1 else "")
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    return w.define(f"{{0}}[{', '.join([':'] * axis + [slot])}]", x, shape=shape, kind=x.kind, style="view")


def bound(at: Any, size: Expr) -> Expr:
    """An end of a slice, counted from 0 and inside the axis where that can be told."""
    if isinstance(at, int) and at < 0:
        at = normal_size(add(size, neg(parse_size(-at))))
    e = parse_size(at)
    return size if isinstance(e, Num) and isinstance(size, Num) and e.value > size.value else e


def entry(w: Writer, x: Value, axis: int, position: Any) -> Value:
    """One entry of an axis, which goes."""
    axis %= x.rank
    at = bound(position, x.shape[axis])
    layout = _cut(layout_of(x), axis, at, normal_size(add(at, ONE))) if x.number is None else None
    if layout is not None:
        axes = (*layout.axes[:axis], *layout.axes[axis + 1 :])
        return shown(w, Layout(layout.source, layout.cuts, layout.inner, axes))
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    slots = ", ".join([":"] * axis + [size_text(at)])
    return w.define(f"{{0}}[{slots}]", x, shape=shape, kind=x.kind, style="view")


def in_order_of_source(w: Writer, x: Value) -> tuple[Value, Layout] | None:
    """A view whose leading axes are put in the order of its source, and the way back.

    What acts on the last axis alone, as a linear layer does, may be done before the view: then it is written once,
    on the source. None where nothing is gained. In the way back the source is what stands for the result.
    """
    if x.layout is None or x.rank < 2:
        return None
    layout = _merged(x.layout)
    *leading, last = layout.axes
    front = {piece for axis in leading for piece in axis if piece.size is not ONE}
    order = [piece for pieces in layout.inner for piece in pieces if piece in front]
    flat = [piece for axis in leading for piece in axis if piece.size is not ONE]
    if flat == order and all(len(axis) == 1 for axis in leading):
        return None
    first = shown(w, Layout(layout.source, layout.cuts, layout.inner, (*((p,) for p in order), last)))
    return first, Layout(x, (), tuple((p,) for p in order), tuple(leading))


def back(w: Writer, result: Value, way: Layout) -> Value:
    """The view that `in_order_of_source` took off, put on a result."""
    final = Piece(result.shape[-1])
    cuts = tuple((ZERO, size) for size in result.shape)
    return shown(w, Layout(result, cuts, (*way.inner, (final,)), (*way.axes, (final,))))
