"""ATen's operations that move numbers without changing them: views, joins and gathers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from pullback.capture import aten_data, phrases
from pullback.capture.aten import Row, refuse, value
from pullback.capture.writing import Value, Writer, broadcast
from pullback.expression import ONE, Num, add, num
from pullback.reading.shapes import parse_size
from pullback.sizes import normal_size, same_size, size_text


def _sizes(shape: Sequence[Any]) -> list[Any]:
    """One argument, or several, of sizes."""
    return list(shape[0]) if len(shape) == 1 and isinstance(shape[0], list | tuple) else list(shape)


def _reshape(w: Writer, x: Value, *shape: Any) -> Value:
    return phrases.reshape(w, x, _sizes(shape))


def _flatten(w: Writer, x: Value, start: int = 0, end: int = -1) -> Value:
    start, end = start % max(x.rank, 1), end % max(x.rank, 1)
    return phrases.reshape(w, x, [*x.shape[:start], -1, *x.shape[end + 1 :]])


def _unflatten(w: Writer, x: Value, dim: int, sizes: Sequence[Any]) -> Value:
    dim %= x.rank
    return phrases.reshape(w, x, [*x.shape[:dim], *sizes, *x.shape[dim + 1 :]])


def _broadcast(w: Writer, xs: Sequence[Value]) -> tuple[Value, ...]:
    return tuple(phrases.expand(w, x, broadcast(*xs)) for x in xs)


def _squeeze(w: Writer, x: Value, dim: Any = None) -> Value:
    return phrases.squeeze(w, x, dim)


def _slice(w: Writer, x: Value, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Value:
    last = None if isinstance(end, int) and end >= 2**62 else end
    return phrases.part(w, x, dim, start or 0, last, step)


def _parts(w: Writer, x: Value, sizes: Sequence[Any], dim: int) -> tuple[Value, ...]:
    found, start = [], 0
    for size in sizes:
        found.append(phrases.part(w, x, dim, start, start + size))
        start += size
    return tuple(found)


def length(x: Value, dim: int) -> int:
    """The size of an axis that has to be a number."""
    size = x.shape[dim]
    if not isinstance(size, Num):
        raise refuse(f"an axis of size {size_text(size)} is cut into parts of a number")
    return int(size.value)


def _split(w: Writer, x: Value, size: Any, dim: int = 0) -> tuple[Value, ...]:
    if isinstance(size, list | tuple):
        return _parts(w, x, size, dim)
    whole = length(x, dim)
    return _parts(w, x, [min(size, whole - start) for start in range(0, whole, size)], dim)


def _chunk(w: Writer, x: Value, count: int, dim: int = 0) -> tuple[Value, ...]:
    return _split(w, x, -(-length(x, dim) // count), dim)


def _unbind(w: Writer, x: Value, dim: int = 0) -> tuple[Value, ...]:
    return tuple(phrases.entry(w, x, dim, k) for k in range(length(x, dim)))


def _repeat(w: Writer, x: Value, counts: Sequence[int]) -> Value:
    """Copies one after the other along each axis."""
    while x.rank < len(counts):
        x = phrases.new_axis(w, x, 0)
    for axis, count in enumerate(counts):
        x = phrases.concatenate(w, [x] * count, axis) if count != 1 else x
    return x


def repeat_each(w: Writer, x: Value, count: int, dim: int) -> Value:
    """Each entry of an axis `count` times in a row."""
    dim %= x.rank
    spread = phrases.new_axis(w, x, dim + 1)
    wide = phrases.expand(w, spread, [*spread.shape[: dim + 1], count, *spread.shape[dim + 2 :]])
    return phrases.reshape(w, wide, [*x.shape[:dim], -1, *x.shape[dim + 1 :]])


def _repeat_interleave(w: Writer, x: Value, repeats: Any, dim: int | None = None, **_: Any) -> Value:
    if not isinstance(repeats, int):
        raise refuse("repeat_interleave by a tensor", "repeat_interleave by a number, or x[index]")
    return repeat_each(w, phrases.reshape(w, x, [-1]) if dim is None else x, repeats, dim or 0)


def _pad(w: Writer, x: Value, widths: Sequence[int], mode: str = "constant", filling: Any = None) -> Value:
    if mode != "constant":
        return mirrored(w, x, widths, mode)
    pairs = [(widths[k], widths[k + 1]) for k in range(0, len(widths), 2)]
    whole = [(0, 0)] * (x.rank - len(pairs)) + pairs[::-1]
    return phrases.pad(w, x, whole, filling or 0.0)


def _triangle(name: str) -> Row:
    def row(w: Writer, x: Value, diagonal: int = 0) -> Value:
        template = f"{name}({{0}}, {diagonal})" if diagonal else f"{name}({{0}})"
        return w.define(template, x, shape=x.shape, kind=x.kind)

    return row


def _index(w: Writer, x: Value, indices: Sequence[Value | None]) -> Value:
    """x[t], x[:, t], and x[arange(n), t], one entry a row."""
    named = [(axis, t) for axis, t in enumerate(indices) if t is not None]
    if len(named) == 1:
        ((axis, t),) = named
        return phrases.take(w, x, t, axis)
    if [axis for axis, _ in named] == [0, 1] and phrases.counts(named[0][1]):
        return phrases.picked(w, x, named[1][1])
    raise refuse("indexing by several tensors at once")


def _gather(w: Writer, x: Value, dim: int, index: Value, **_: Any) -> Value:
    return phrases.take_along(w, x, index, dim)


def _slice_scatter(
    w: Writer, x: Value, given: Value, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Value:
    """`x[start:end] = given` along one axis."""
    size = x.shape[dim]
    last = size if end is None or (isinstance(end, int) and end >= 2**62) else phrases.bound(end, size)
    if step != 1:
        raise refuse("an assignment to a slice with a step")
    inner = phrases.expand(w, given, [*x.shape[:dim], *given.shape[dim : dim + 1], *x.shape[dim + 1 :]])
    pieces = [phrases.part(w, x, dim, 0, start or 0), inner, phrases.part(w, x, dim, last, None)]
    return phrases.concatenate(w, [p for p in pieces if p.shape[dim] != parse_size(0)], dim)


def _select_scatter(w: Writer, x: Value, given: Value, dim: int, position: int) -> Value:
    """`x[k] = given` along one axis."""
    at = phrases.bound(position, x.shape[dim % x.rank])
    inner = phrases.new_axis(w, given, dim % x.rank)
    return _slice_scatter(w, x, inner, dim % x.rank, at, normal_size(add(at, ONE)))


def _roll(w: Writer, x: Value, shifts: Any, dims: Any = ()) -> Value:
    """Along each axis in turn; without an axis, of all the entries as one row."""
    steps, axes = (list(n) if isinstance(n, list | tuple) else [n] for n in (shifts, dims))
    if not axes:
        flat = phrases.roll(w, phrases.reshape(w, x, [-1]), steps[0], 0)
        return phrases.reshape(w, flat, x.shape)
    for step, axis in zip(steps, axes, strict=True):
        x = phrases.roll(w, x, step, axis)
    return x


def _diagonal(w: Writer, x: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Value:
    """The entries [.., i, i + offset] of two axes; their axis comes last."""
    a, b = dim1 % x.rank, dim2 % x.rank
    x = phrases.part(w, phrases.part(w, x, a, max(-offset, 0)), b, max(offset, 0))
    if not same_size(x.shape[a], x.shape[b]):
        shortest = min(length(x, a), length(x, b))
        x = phrases.part(w, phrases.part(w, x, a, 0, shortest), b, 0, shortest)
    if x.rank == 2:
        return w.define("diag({0})", x, shape=x.shape[:1], style="contraction")
    names = list(phrases.LETTERS[: x.rank - 1])
    slots = names[:-1]
    for axis in sorted((a, b)):
        slots.insert(axis, names[-1])
    shape = [*(size for k, size in enumerate(x.shape) if k not in (a, b)), x.shape[a]]
    made = w.define(f"{{0}}[{', '.join(slots)}]", x, shape=shape, indices=names, kind=x.kind)
    made.declared = True
    return made


def _diag(w: Writer, x: Value, offset: int = 0) -> Value:
    return _diag_embed(w, x, offset) if x.rank == 1 else _diagonal(w, x, offset)


def _diag_embed(w: Writer, x: Value, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Value:
    """[i + offset == j] x[.., i] as the last two axes."""
    if offset or (dim1, dim2) != (-2, -1):
        width = normal_size(add(x.shape[-1], num(abs(offset))))
        x = phrases.pad(w, x, [(0, 0)] * (x.rank - 1) + [(max(-offset, 0), max(offset, 0))])
        names = [*phrases.LETTERS[: x.rank - 1], "i", "j"]
        template = f"(j == i + {offset}) * {{0}}[{', '.join(names[:-1])}]"
        made = w.define(template, x, shape=[*x.shape[:-1], width, width], indices=names)
        made.declared = True
        return made
    if x.rank == 1:
        return w.define("diag({0})", x, shape=(*x.shape, *x.shape), style="contraction")
    wide = phrases.new_axis(w, x, x.rank)
    return phrases.times(w, wide, w.define(f"eye({size_text(x.shape[-1])})", shape=[x.shape[-1]] * 2))


def _unfold(w: Writer, x: Value, dim: int, size: int, step: int) -> Value:
    """Windows along one axis: Y[.., p, .., a] = x[.., step p + a, ..]."""
    dim %= x.rank
    names = list(phrases.LETTERS[: x.rank + 1])
    place = f"{step} * {names[dim]} + {names[-1]}" if step != 1 else f"{names[dim]} + {names[-1]}"
    slots = [place if k == dim else i for k, i in enumerate(names[:-1])]
    count = f"({size_text(x.shape[dim])} - {size})//{step} + 1"
    shape = [*x.shape[:dim], count, *x.shape[dim + 1 :], size]
    made = w.define(f"{{0}}[{', '.join(slots)}]", x, shape=shape, indices=names, kind=x.kind)
    made.declared = True
    return made


def _picked_along(w: Writer, x: Value, places: Any, dim: int) -> Value:
    """Entries of an axis by a list of positions that is part of the code."""
    index = w.constant(places, "places")
    return phrases.take(w, x, index, dim)


def mirrored(w: Writer, x: Value, widths: Sequence[int], mode: str) -> Value:
    """Padding by entries of the array itself: each axis is read at a list of positions."""
    for k in range(0, len(widths), 2):
        dim = x.rank - 1 - k // 2
        n, before, after = length(x, dim), widths[k], widths[k + 1]
        places = range(-before, n + after)
        if mode == "reflect":
            inside = [abs(i) if i < n else 2 * (n - 1) - i for i in places]
        elif mode == "replicate":
            inside = [min(max(i, 0), n - 1) for i in places]
        else:
            inside = [i % n for i in places]
        x = _picked_along(w, x, inside, dim) if before or after else x
    return x


TABLE: Final[dict[str, Row]] = {
    "glu": lambda w, x, dim=-1: w.elementwise("{0} * sigmoid({1})", *_chunk(w, x, 2, dim)),
    "view": _reshape,
    "reshape": _reshape,
    "_unsafe_view": _reshape,
    "flatten": _flatten,
    "unflatten": _unflatten,
    "view_as": lambda w, x, like: phrases.reshape(w, x, like.shape),
    "reshape_as": lambda w, x, like: phrases.reshape(w, x, like.shape),
    "transpose": phrases.swapaxes,
    "swapaxes": phrases.swapaxes,
    "permute": lambda w, x, *d: phrases.transpose(w, x, _sizes(d)),
    "t": phrases.transpose,
    "numpy_T": phrases.transpose,
    "mT": lambda w, x: phrases.swapaxes(w, x, -2, -1),
    "movedim": lambda w, x, a, b: phrases.move_axis(w, x, a, b),
    "unsqueeze": phrases.new_axis,
    "squeeze": _squeeze,
    "expand": lambda w, x, *s, **_: phrases.expand(w, x, _sizes(s)),
    "expand_as": lambda w, x, like: phrases.expand(w, x, like.shape),
    "broadcast_to": phrases.expand,
    "broadcast_tensors": _broadcast,
    "slice": _slice,
    "narrow": lambda w, x, dim, start, n: phrases.part(w, x, dim, start, start + n),
    "select": phrases.entry,
    "split": _split,
    "split_with_sizes": _split,
    "chunk": _chunk,
    "unbind": _unbind,
    "cat": phrases.concatenate,
    "concat": phrases.concatenate,
    "concatenate": phrases.concatenate,
    "stack": phrases.stack,
    "hstack": lambda w, xs: phrases.concatenate(w, xs, min(1, xs[0].rank - 1)),
    "flip": phrases.flip,
    "roll": _roll,
    "copy": lambda w, x, given, *_: phrases.expand(w, given, x.shape),
    "fill": lambda w, x, number: phrases.expand(w, value(w, number), x.shape),
    "slice_scatter": _slice_scatter,
    "select_scatter": _select_scatter,
    "diag": _diag,
    "diagonal": _diagonal,
    "diagonal_copy": _diagonal,
    "linalg_diagonal": lambda w, x, *, offset=0, dim1=-2, dim2=-1: _diagonal(w, x, offset, dim1, dim2),
    "diag_embed": _diag_embed,
    "unfold": _unfold,
    **{
        f"{name}_pad{rank}d": partial(mirrored, mode=mode)
        for name, mode in (("reflection", "reflect"), ("replication", "replicate"))
        for rank in (1, 2, 3)
    },
    "repeat": _repeat,
    "repeat_interleave": _repeat_interleave,
    "pad": _pad,
    "constant_pad_nd": lambda w, x, p, v=0.0: _pad(w, x, p, "constant", v),
    "tril": _triangle("tril"),
    "triu": _triangle("triu"),
    "index": lambda w, x, indices: aten_data.index(w, x, indices, _index),
    "gather": _gather,
    "index_select": lambda w, x, dim, t: phrases.take(w, x, t, dim),
}
