"""How the operations that every array library has are said in the language: one function an operation.

Each takes the writer and values, works out the shape, and adds a definition. Axes may be negative.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.capture.views import bound as bound
from pullback.capture.views import entry as entry
from pullback.capture.views import new_axis as new_axis
from pullback.capture.views import part as part
from pullback.capture.views import reshape as reshape
from pullback.capture.views import transpose as transpose
from pullback.capture.writing import Shape, Style, Value, Writer, broadcast, shape_list
from pullback.expression import ONE, Expr, add
from pullback.reading.shapes import parse_size
from pullback.reading.value import broadcast_shapes
from pullback.sizes import normal_size, same_size, size_text

LETTERS = "bijklmnpqrstuvwxyz"


def same_shape(a: Shape, b: Shape) -> bool:
    return len(a) == len(b) and all(map(same_size, a, b))


def axes_of(x: Value, axes: int | Sequence[int] | None) -> tuple[int, ...]:
    """Axes counted from 0; every axis where none is given."""
    if axes is None:
        return tuple(range(x.rank))
    listed = (axes,) if isinstance(axes, int) else tuple(axes)
    return tuple(sorted(axis % max(x.rank, 1) for axis in listed))


def _axis_text(axes: Sequence[int]) -> str:
    return str(axes[0]) if len(axes) == 1 else f"({', '.join(map(str, axes))})"


# ---- the same numbers elsewhere


def swapaxes(w: Writer, x: Value, a: int, b: int) -> Value:
    order = list(range(x.rank))
    order[a], order[b] = order[b], order[a]
    return transpose(w, x, order)


def squeeze(w: Writer, x: Value, axes: int | Sequence[int] | None = None) -> Value:
    """Without the named axes of size 1; without all of them where none is named."""
    named = axes_of(x, axes)
    kept = [size for k, size in enumerate(x.shape) if not (k in named and size is ONE)]
    return reshape(w, x, kept)


def expand(w: Writer, x: Value, shape: Sequence[Any]) -> Value:
    """Broadcast to a shape; -1 keeps a size."""
    own = (ONE,) * (len(shape) - x.rank) + x.shape
    asked = [own[k] if isinstance(s, int) and s == -1 else parse_size(s) for k, s in enumerate(shape)]
    sizes = broadcast_shapes(x.shape, asked, "expand")
    if same_shape(x.shape, sizes):
        return x
    if x.number is not None:
        return w.filled(x.number, sizes, x.kind)
    return w.define(f"{{0}} * ones({shape_list(sizes)})", x, shape=sizes, kind=x.kind)


def take(w: Writer, x: Value, index: Value, axis: int = 0) -> Value:
    """Entries of one axis, named by an integer input; one that the code reshaped is read in its own shape."""
    axis %= x.rank
    if index.rank == 1 and counts(index):
        return part(w, x, axis, 0, index.shape[0])
    if index.whole is not None:
        found = take(w, x, index.whole, axis)
        return reshape(w, found, [*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]])
    w.ranges_over(index, x.shape[axis])
    shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    template = "{0}[{1}]" if axis == 0 else f"take({{0}}, {{1}}, axis={axis})"
    return w.define(template, x, index, shape=shape, kind=x.kind, style="view")


def take_along(w: Writer, x: Value, index: Value, axis: int) -> Value:
    """`x[n, t[n, k]]`: for each entry of an integer input, one of the same row (`gather`, `take_along_axis`)."""
    axis %= x.rank
    w.ranges_over(index, x.shape[axis])
    names = LETTERS[: x.rank]
    slots = ", ".join(f"{{1}}[{', '.join(names)}]" if k == axis else name for k, name in enumerate(names))
    shape = [index.shape[k] if k == axis else x.shape[k] for k in range(x.rank)]
    return w.define(f"{{0}}[{slots}]", x, index, shape=shape, indices=names, kind=x.kind)


def concatenate(w: Writer, parts: Sequence[Value], axis: int = 0) -> Value:
    axis %= parts[0].rank
    if len(parts) == 1:
        return parts[0]
    length = normal_size(add(*(x.shape[axis] for x in parts)))
    shape = (*parts[0].shape[:axis], length, *parts[0].shape[axis + 1 :])
    places = ", ".join(f"{{{k}}}" for k in range(len(parts)))
    template = f"concatenate([{places}], axis={axis})"
    return w.define(template, *parts, shape=shape, kind=parts[0].kind, style="view")


def stack(w: Writer, parts: Sequence[Value], axis: int = 0) -> Value:
    """Values side by side along a new axis."""
    axis %= parts[0].rank + 1
    return concatenate(w, [new_axis(w, x, axis) for x in parts], axis)


def flip(w: Writer, x: Value, axes: int | Sequence[int] | None = None) -> Value:
    named = axes_of(x, axes)
    template = f"flip({{0}}, axis={_axis_text(named)})"
    return w.define(template, x, shape=x.shape, kind=x.kind, style="view")


def roll(w: Writer, x: Value, shift: int, axis: int) -> Value:
    template = f"roll({{0}}, {shift}, axis={axis % x.rank})"
    return w.define(template, x, shape=x.shape, kind=x.kind, style="view")


def pad(w: Writer, x: Value, widths: Sequence[tuple[int, int]], fill: float = 0.0) -> Value:
    """Constants around an array; a negative width cuts off."""
    for axis, (before, after) in enumerate(widths):
        cut_end = None if after >= 0 else after
        x = part(w, x, axis, max(-before, 0), cut_end)
        pieces = [_filler(w, x, axis, before, fill), x, _filler(w, x, axis, after, fill)]
        x = concatenate(w, [piece for piece in pieces if piece is not None], axis)
    return x


def _filler(w: Writer, x: Value, axis: int, width: int, fill: float) -> Value | None:
    if width <= 0:
        return None
    return w.filled(fill, (*x.shape[:axis], parse_size(width), *x.shape[axis + 1 :]))


# ---- numbers


def add_(w: Writer, a: Value, b: Value, hint: str = "") -> Value:
    """a + b; a zero adds nothing."""
    return a if _vanishes(b, a) else b if _vanishes(a, b) else w.elementwise("{0} + {1}", a, b, hint=hint)


def _vanishes(x: Value, beside: Value) -> bool:
    return x.number == 0 and same_shape(broadcast(x, beside), beside.shape)


def times(w: Writer, a: Value, b: Value, hint: str = "") -> Value:
    """a * b; a factor of 1 goes."""
    for x, other in ((a, b), (b, a)):
        if x.number == 1 and same_shape(broadcast(x, other), other.shape):
            return other
    return w.elementwise("{0} * {1}", a, b, hint=hint)


def where(w: Writer, condition: Value, a: Value, b: Value) -> Value:
    return w.elementwise("where({0}, {1}, {2})", condition, a, b)


def negated(w: Writer, condition: Value) -> Value:
    """Not, of a condition that is 0 or 1."""
    return w.elementwise("{0} == 0", condition, kind="bool")


# ---- reductions and products


def reduce(
    w: Writer,
    name: str,
    x: Value,
    axes: int | Sequence[int] | None = None,
    keepdims: bool = False,
    hint: str = "",
) -> Value:
    """`sum mean max min prod norm logsumexp` over axes, all of them where none is named."""
    named = axes_of(x, axes)
    if not named:
        return x
    shape = [ONE if k in named else size for k, size in enumerate(x.shape) if keepdims or k not in named]
    over = "" if len(named) == x.rank and not keepdims else f", axis={_axis_text(named)}"
    template = f"{name}({{0}}{over}{', keepdims=True' if keepdims else ''})"
    style: Style = "contraction" if name in ("sum", "mean") else "operator"
    return w.define(template, x, shape=shape, style=style, hint=hint)


def along(w: Writer, name: str, x: Value, axis: int | Sequence[int] = -1, hint: str = "") -> Value:
    """`cumsum` along one axis, `softmax log_softmax` along one or more."""
    axes = tuple(k % x.rank for k in ((axis,) if isinstance(axis, int) else axis))
    last = axes == (x.rank - 1,) and name != "cumsum"
    style: Style = "contraction" if name == "cumsum" else "operator"
    template = f"{name}({{0}})" if last else f"{name}({{0}}, axis={_axis_text(axes)})"
    return w.define(template, x, shape=x.shape, style=style, hint=hint)


def matmul(w: Writer, a: Value, b: Value, hint: str = "") -> Value:
    """numpy.matmul; two vectors give a scalar."""
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2], "@")
    shape = (*batch, *a.shape[-2:-1], *(b.shape[-1:] if b.rank > 1 else ()))
    return w.define("{0} @ {1}", a, b, shape=shape, style="contraction", hint=hint)


def einsum(w: Writer, spec: str, operands: Sequence[Value], hint: str = "") -> Value:
    """Any contraction; the spec may lack its output, and hold `...`."""
    spec = explicit(spec.replace(" ", ""), [x.rank for x in operands])
    terms, output = spec.split("->")
    sizes: dict[str, Expr] = {}
    for term, x in zip(terms.split(","), operands, strict=True):
        for letter, size in zip(term, x.shape, strict=True):
            sizes[letter] = size if sizes.get(letter, ONE) is ONE else sizes[letter]
    places = ", ".join(f"{{{k}}}" for k in range(len(operands)))
    shape = [sizes[letter] for letter in output]
    return w.define(f'einsum("{spec}", {places})', *operands, shape=shape, style="contraction", hint=hint)


def explicit(spec: str, ranks: Sequence[int]) -> str:
    """A spec with its output, and with letters in the place of `...`.

    >>> explicit("...ij,...jk", [3, 3])
    'aij,ajk->aik'
    """
    left, arrow, output = spec.partition("->")
    terms = left.split(",")
    free = [c for c in string.ascii_letters if c not in spec]
    most = (
        max(r - len(t) + 3 for t, r in zip(terms, ranks, strict=True) if "..." in t) if "..." in left else 0
    )
    if not arrow:
        named = sorted(c for c in set(left) - set(",.") if left.count(c) == 1)
        output = ("..." if most else "") + "".join(named)
    letters = "".join(free[:most])
    filled = []
    for term, rank in zip(terms, ranks, strict=True):
        count = rank - len(term) + 3
        filled.append(term.replace("...", letters[most - count :] if count else ""))
    return f"{','.join(filled)}->{output.replace('...', letters)}"


def per_channel(w: Writer, a: Value, x: Value) -> Value:
    """A vector along axis 1 of x, ready to broadcast; a single entry stays as it is."""
    if a.rank != 1 or x.rank <= 2 or a.shape[0] is ONE:
        return a
    return reshape(w, a, [*a.shape, *(1 for _ in range(x.rank - 2))])


def move_axis(w: Writer, x: Value, source: int, target: int) -> Value:
    order = [k for k in range(x.rank) if k != source % x.rank]
    order.insert(target % x.rank, source % x.rank)
    return transpose(w, x, order)


def picked(w: Writer, x: Value, index: Value, hint: str = "") -> Value:
    """`x[n, t[n]]`: of axis 1 the entry that an integer input names; further axes are those of the input."""
    cut = _slice_of_input(index) if index.rank == 1 and x.rank == 2 else None
    if cut is not None:
        named = _named_last(w, reshape(w, x, [*cut[2], x.shape[1]]), *cut)
        return reshape(w, named, index.shape, hint)
    w.ranges_over(index, x.shape[1])
    first, *rest = list(LETTERS[: index.rank])
    inner = ", ".join((first, *rest))
    left = [first, *rest, *LETTERS[index.rank : x.rank - 1]]
    slots = ", ".join((first, f"{{1}}[{inner}]", *left[1:]))
    shape = (*index.shape, *x.shape[index.rank + 1 :])
    return w.define(f"{{0}}[{slots}]", x, index, shape=shape, indices=left, hint=hint)


def counts(t: Value) -> bool:
    """0, 1, 2, …: an index that names the rows in their order."""
    return (
        t.constant
        and not t.computed
        and t.data is not None
        and np.array_equal(t.data, np.arange(t.data.size))
    )


def _slice_of_input(index: Value) -> tuple[Value, list[Expr], list[Expr]] | None:
    """The integer input behind a reshaped slice, with where the slice begins on each axis, and its lengths."""
    layout = index.layout
    if layout is None or layout.source.tree is not None:
        return None
    pieces = [piece for axis in layout.axes for piece in axis]
    if [(piece,) for piece in pieces] != list(layout.inner):
        return None
    return layout.source, [start for start, _ in layout.cuts], [piece.size for piece in pieces]


def _named_last(w: Writer, x: Value, index: Value, starts: Sequence[Expr], lengths: Sequence[Expr]) -> Value:
    """`x[b, t, index[b, t + 1]]`, the index being a slice that begins at `starts`."""
    w.ranges_over(index, x.shape[-1])
    left = list(LETTERS[: index.rank])
    zero = parse_size(0)
    pairs = zip(left, starts, strict=True)
    places = [k if same_size(at, zero) else f"{k} + {size_text(at)}" for k, at in pairs]
    slots = ", ".join((*left, f"{{1}}[{', '.join(places)}]"))
    return w.define(f"{{0}}[{slots}]", x, index, shape=lengths, indices=left, hint="picked")
