"""ATen's operations that move numbers without changing them: views, joins and gathers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pullback.capture import phrases
from pullback.capture.aten import Row, refuse
from pullback.capture.writing import Value, Writer, broadcast
from pullback.expression import Num
from pullback.sizes import size_text


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
    if not isinstance(repeats, int) or dim is None:
        raise refuse("repeat_interleave by a tensor, or without an axis")
    return repeat_each(w, x, repeats, dim)


def _pad(w: Writer, x: Value, widths: Sequence[int], mode: str = "constant", filling: Any = None) -> Value:
    if mode != "constant":
        raise refuse(f"padding of mode {mode}", "the mode is constant")
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
        if t.kind == "bool":
            raise refuse("indexing by a mask has a shape that depends on values", "where(mask, x, 0)")
        return phrases.take(w, x, t, axis)
    if [axis for axis, _ in named] == [0, 1] and phrases.counts(named[0][1]):
        return phrases.picked(w, x, named[1][1])
    raise refuse("indexing by several tensors at once")


def _gather(w: Writer, x: Value, dim: int, index: Value, **_: Any) -> Value:
    return phrases.take_along(w, x, index, dim)


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
    "roll": lambda w, x, s, d: phrases.roll(
        w, x, *(s if isinstance(s, list) else [s]), *(d if isinstance(d, list) else [d])
    ),
    "repeat": _repeat,
    "repeat_interleave": _repeat_interleave,
    "pad": _pad,
    "constant_pad_nd": lambda w, x, p, v=0.0: _pad(w, x, p, "constant", v),
    "tril": _triangle("tril"),
    "triu": _triangle("triu"),
    "index": _index,
    "gather": _gather,
    "index_select": lambda w, x, dim, t: phrases.take(w, x, t, dim),
}
