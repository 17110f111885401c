"""The primitives of JAX on recorded arrays: one row a primitive."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pullback.capture import assembling, jax_windows, linear, moving
from pullback.capture.arrays import Array, Kind, known, moved, number, rearranged, sources
from pullback.capture.jax_elementwise import ELEMENTWISE, Row, op
from pullback.capture.operations import along, cast, elementwise, expanded, reduce
from pullback.capture.running import running_product
from pullback.capture.subscripts import Span, read_positions, scattered, subscript
from pullback.expression import ONE, ZERO, Access, Expr, Index, Num, add, call, mul, neg, num, power, walk
from pullback.reading.shapes import any_symbol, size_expression
from pullback.reading.value import At
from pullback.sizes import normal_size
from pullback.tracing.numbers import Untraceable

LETTERS: Final = "ijklmnpqrstuvwxyzabcdefgh"


def size_from(n: Any) -> Expr:
    """A size of JAX, which may be symbolic, as one of the language."""
    if isinstance(n, int | np.integer):
        return num(int(n))
    try:
        return normal_size(_size(ast.parse(str(n).replace("^", "**"), mode="eval").body))
    except SyntaxError:
        raise Untraceable(f"the size {n} has no meaning in the language") from None


def _size(node: ast.expr) -> Expr:
    match node:
        case ast.Call(func=ast.Name(id="floordiv" | "mod" as name), args=[a, b]):
            return call(name, _size(a), _size(b))
        case ast.Call(func=ast.Name(id=name)):
            raise Untraceable(f"a size that is a {name} of others")
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return add(_size(left), _size(right))
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return add(_size(left), neg(_size(right)))
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return mul(_size(left), _size(right))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return power(_size(left), _size(right))
    return size_expression(node, any_symbol)


def shape_from(shape: Sequence[Any]) -> tuple[Expr, ...]:
    return tuple(map(size_from, shape))


def kind_from(dtype: Any) -> Kind:
    if str(dtype) == "bfloat16":
        return "real"
    found: dict[str, Kind] = {"b": "truth", "i": "integer", "u": "integer"}
    return found.get(np.dtype(dtype).kind, "real")


# ---- element by element ---------------------------------------------------------------------


def _divided(a: Array, b: Array, **_: Any) -> Array:
    whole = a.kind != "real" and b.kind != "real"
    return elementwise("//" if whole else "/", a, b)


def _logical(name: str) -> Row:
    def row(*parts: Array, **_: Any) -> Array:
        if any(part.kind == "real" for part in parts):
            raise Untraceable(f"the operation {name} on bits")
        return elementwise(name, *parts)

    return row


def _clamped(low: Array, x: Array, high: Array, **_: Any) -> Array:
    return elementwise("minimum", elementwise("maximum", x, low), high)


def _selected(which: Array, *cases: Array, **_: Any) -> Array:
    if len(cases) != 2:
        raise Untraceable("a choice between more than two arrays")
    return elementwise("where", which, cases[1], cases[0])


def _converted(x: Array, new_dtype: Any, **_: Any) -> Array:
    return cast(x, kind_from(new_dtype))


def _finite(x: Array, **_: Any) -> Array:
    return known(x.shape, "truth", lambda at: ONE)


def _iota(*_: Any, dtype: Any, shape: Sequence[Any], dimension: int, **__: Any) -> Array:
    return known(shape_from(shape), kind_from(dtype), lambda at: at[dimension])


# ---- shapes ---------------------------------------------------------------------------------


def _broadcast(
    x: Array, *_: Any, shape: Sequence[Any], broadcast_dimensions: Sequence[int], **__: Any
) -> Array:
    wanted = shape_from(shape)
    placed = dict(zip(broadcast_dimensions, x.shape, strict=True))
    middle = moving.reshape(x, [placed.get(k, ONE) for k in range(len(wanted))])
    return expanded(middle, wanted)


def _reshaped(x: Array, *_: Any, new_sizes: Sequence[Any], **__: Any) -> Array:
    return moving.reshape(x, shape_from(new_sizes))


def _squeezed(x: Array, dimensions: Sequence[int], **_: Any) -> Array:
    return moving.reshape(x, [s for k, s in enumerate(x.shape) if k not in dimensions])


def _sliced(x: Array, start_indices: Any, limit_indices: Any, strides: Any = None, **_: Any) -> Array:
    steps = strides or (1,) * x.rank
    bounds = zip(start_indices, limit_indices, steps, strict=True)
    return subscript(x, [Span(size_from(a), size_from(b), int(s)) for a, b, s in bounds])


def _constant_start(start: Array) -> Expr | None:
    e = start.constant()
    return None if e is None else normal_size(e)


def _dynamic_slice(x: Array, *starts: Array, slice_sizes: Sequence[Any], **_: Any) -> Array:
    sizes = shape_from(slice_sizes)
    fixed = [_constant_start(s) for s in starts[: x.rank]]
    if all(f is not None for f in fixed):
        spans = [Span(f, normal_size(add(f, n))) for f, n in zip(fixed, sizes, strict=True) if f is not None]
        return subscript(x, spans)
    if not all(s.is_known for s in starts):
        raise Untraceable("a slice whose place depends on values")
    for s, n in zip(starts, x.shape, strict=False):
        read_positions(s.at(()), sources(s), n)
    args = [t for a in (x, *starts) for t in sources(a)]
    return moved(
        sizes, lambda at: x.at(tuple(add(s.at(()), i) for s, i in zip(starts, at, strict=False))), args
    )


def _dynamic_update(x: Array, update: Array, *starts: Array, **_: Any) -> Array:
    fixed = [_constant_start(s) for s in starts[: x.rank]]
    if any(f is None for f in fixed):
        raise Untraceable("an update whose place depends on values")
    spans = [
        Span(f, normal_size(add(f, n))) for f, n in zip(fixed, update.shape, strict=True) if f is not None
    ]
    return assembling.assigned(x, spans, update)


def _padded(x: Array, value: Array, padding_config: Sequence[tuple[Any, Any, int]], **_: Any) -> Array:
    fill = value.constant()
    if fill is None:
        raise Untraceable("padding with a value that is computed")
    widths = [(size_from(a), size_from(b)) for a, b, _i in padding_config]
    inside = [int(i) for *_w, i in padding_config]
    low = [max(0, -int(a.value)) if isinstance(a, Num) else 0 for a, _b in widths]
    high = [max(0, -int(b.value)) if isinstance(b, Num) else 0 for _a, b in widths]
    spans = [Span(num(a), normal_size(add(n, num(-b)))) for a, b, n in zip(low, high, x.shape, strict=True)]
    grown = [(add(a, num(cut)), add(b, num(end))) for (a, b), cut, end in zip(widths, low, high, strict=True)]
    return moving.pad(subscript(x, spans), grown, fill, inside)


def _split(x: Array, sizes: Sequence[Any], axis: int, **_: Any) -> list[Array]:
    before = [Span(ZERO, size) for size in x.shape[:axis]]
    found: list[Array] = []
    start: Expr = ZERO
    for size in shape_from(sizes):
        stop = normal_size(add(start, size))
        found.append(subscript(x, [*before, Span(start, stop)]))
        start = stop
    return found


def _joined(*parts: Array, dimension: int, **_: Any) -> Array:
    return assembling.concatenate(parts, dimension)


# ---- reductions and products ----------------------------------------------------------------


def _reduced(name: str) -> Row:
    return lambda x, axes, **_: reduce(name, x, tuple(axes)) if axes else x


def _of_truth(name: str) -> Row:
    def row(x: Array, axes: Sequence[int], **_: Any) -> Array:
        if x.constant() is None:
            raise Untraceable(f"{name} of values")
        return reduce("max", x, tuple(axes))

    return row


def _cumulated(x: Array, axis: int, reverse: bool = False, **_: Any) -> Array:
    if not reverse:
        return along("cumsum", x, axis)
    return moving.flip(along("cumsum", moving.flip(x, axis), axis), axis)


def _running_product(x: Array, axis: int, reverse: bool = False, **_: Any) -> Array:
    if not reverse:
        return running_product(x, axis)
    return moving.flip(running_product(moving.flip(x, axis), axis), axis)


def _product(a: Array, b: Array, dimension_numbers: Any, **_: Any) -> Array:
    (left, right), (left_batch, right_batch) = dimension_numbers
    names = iter(LETTERS)
    one: dict[int, str] = {}
    two: dict[int, str] = {}
    for i, j in zip((*left_batch, *left), (*right_batch, *right), strict=True):
        one[i] = two[j] = next(names)
    first = [one.get(i) or next(names) for i in range(a.rank)]
    second = [two.get(j) or next(names) for j in range(b.rank)]
    output = [first[i] for i in left_batch]
    output += [c for i, c in enumerate(first) if i not in (*left_batch, *left)]
    output += [c for j, c in enumerate(second) if j not in (*right_batch, *right)]
    return linear.contraction("".join(first), "".join(second), "".join(output), a, b)


def _triangular(
    a: Array, b: Array, *, left_side: bool, lower: bool, transpose_a: bool, **options: Any
) -> Array:
    if options.get("unit_diagonal"):
        raise Untraceable("a triangular solve with an implied diagonal of 1")
    if left_side:
        return linear.triangular_solve(a, b, lower, transpose_a)
    turned = linear.triangular_solve(a, moving.swapped(b, -1, -2), lower, not transpose_a)
    return moving.swapped(turned, -1, -2)


# ---- gathers --------------------------------------------------------------------------------


def _gathered(
    x: Array, indices: Array, *, dimension_numbers: Any, slice_sizes: Sequence[Any], **_: Any
) -> Array:
    if not indices.is_known:
        raise Untraceable(
            "an index that is computed from values", hint="integers are inputs: labels, positions"
        )
    d = dimension_numbers
    sizes = shape_from(slice_sizes)
    dropped = (*d.collapsed_slice_dims, *getattr(d, "operand_batching_dims", ()))
    kept = [k for k in range(x.rank) if k not in dropped]
    if indices.rank == 1 and not getattr(d, "operand_batching_dims", ()):
        found = _window(x, indices, d, sizes)
        if found is not None:
            return found
    rank = indices.rank - 1 + len(kept)
    batch_axes = [k for k in range(rank) if k not in d.offset_dims]
    batch = iter(indices.shape[:-1])
    offset = iter(sizes[k] for k in kept)
    shape = tuple(next(offset) if k in d.offset_dims else next(batch) for k in range(rank))

    def source(at: At) -> At:
        inner = tuple(at[k] for k in batch_axes)
        place: dict[int, Expr] = dict(zip(kept, (at[k] for k in d.offset_dims), strict=True))
        for position, axis in enumerate(d.start_index_map):
            start = indices.at((*inner, num(position)))
            read_positions(start, sources(indices), x.shape[axis])
            place[axis] = add(start, place[axis]) if axis in place else start
        pairs = (getattr(d, "operand_batching_dims", ()), getattr(d, "start_indices_batching_dims", ()))
        for axis, b in zip(*pairs, strict=True):
            place[axis] = inner[b]
        return tuple(place[k] for k in range(x.rank))

    args = [s for a in (x, indices) for s in sources(a)]
    if x.is_known:
        return known(shape, x.kind, lambda at: x.at(source(at)), args)
    return moved(shape, lambda at: x.at(source(at)), args)


def _window(x: Array, indices: Array, d: Any, sizes: tuple[Expr, ...]) -> Array | None:
    """A gather of one window at a fixed place is a subscript."""
    spans = []
    for k, size in enumerate(sizes):
        start = indices.at((num(d.start_index_map.index(k)),)) if k in d.start_index_map else ZERO
        if _reads(start):
            return None
        single = k in d.collapsed_slice_dims
        spans.append(Span(normal_size(start), normal_size(add(start, size)), single=single))
    return subscript(x, spans)


def _scattered(name: str) -> Row:
    def row(x: Array, indices: Array, updates: Array, *, dimension_numbers: Any, **_: Any) -> Array:
        d = dimension_numbers
        starts = (
            [indices.at((num(k),)) for k in range(len(d.scatter_dims_to_operand_dims))]
            if indices.rank == 1
            else []
        )
        if indices.rank == 1 and indices.is_known and all(not _reads(s) for s in starts):
            return _into_region(
                name, x, dict(zip(d.scatter_dims_to_operand_dims, starts, strict=True)), updates, d
            )
        plain = tuple(d.scatter_dims_to_operand_dims) == (0,) == tuple(d.inserted_window_dims)
        if (
            name == "add"
            and plain
            and indices.is_known
            and tuple(d.update_window_dims) == tuple(range(indices.rank - 1, updates.rank))
        ):
            index = rearranged(indices, indices.shape[:-1], lambda at: (*at, ZERO))
            return elementwise("+", x, scattered(x.shape, index, updates))
        raise Untraceable(
            "an update at places that an array names", hint="x.at[t].add(v) on the first axis is known"
        )

    return row


def _reads(e: Expr) -> bool:
    """Whether a place depends on an index or on an integer input."""
    return any(isinstance(part, Index | Access) for part in walk(e))


def _into_region(name: str, x: Array, starts: dict[int, Expr], updates: Array, d: Any) -> Array:
    lengths = iter(updates.shape[k] for k in d.update_window_dims)
    spans = []
    for k in range(x.rank):
        start = starts.get(k, ZERO)
        single = k in d.inserted_window_dims
        stop = normal_size(add(start, ONE if single else next(lengths)))
        spans.append(Span(start, stop, single=single))
    if name == "add":
        updates = elementwise("+", subscript(x, spans), updates)
    return assembling.assigned(x, spans, updates)


def _identity(x: Array, **_: Any) -> Array:
    return x


PRIMITIVES: Final[dict[str, Row]] = {
    **ELEMENTWISE,
    "add_any": op("+"), "div": _divided, "clamp": _clamped,
    "integer_pow": lambda x, y, **_: elementwise("**", x, number(num(y))), "select_n": _selected,
    "is_finite": _finite, "iota": _iota,
    "eq": op("=="), "ne": op("!="), "lt": op("<"), "le": op("<="), "gt": op(">"), "ge": op(">="),
    "and": _logical("and"), "or": _logical("or"), "not": _logical("not"), "convert_element_type": _converted,
    **dict.fromkeys(("copy", "copy_p", "stop_gradient", "reduce_precision", "real"), _identity),
    "optimization_barrier": lambda *xs, **_: list(xs),
    "stack": lambda *xs, axis, **_: assembling.stack(xs, axis),
    "dim_as_value": lambda dim, **_: number(size_from(dim), "integer"),
    "platform_index": lambda **_: number(ZERO, "integer"),
    "broadcast_in_dim": _broadcast, "reshape": _reshaped, "squeeze": _squeezed, "slice": _sliced, "pad": _padded,
    "expand_dims": lambda x, dimensions, **_: moving.new_axes(x, dimensions), "concatenate": _joined, "split": _split,
    "transpose": lambda x, permutation, **_: moving.transpose(x, permutation), "dynamic_slice": _dynamic_slice,
    "rev": lambda x, dimensions, **_: moving.flip(x, tuple(dimensions)), "dynamic_update_slice": _dynamic_update,
    "reduce_sum": _reduced("sum"), "reduce_max": _reduced("max"), "reduce_min": _reduced("min"),
    "reduce_prod": _reduced("prod"), "reduce_and": _of_truth("all"), "reduce_or": _of_truth("any"),
    "cumsum": _cumulated, "cumprod": _running_product,
    "dot_general": _product, "gather": _gathered, "scatter": _scattered("set"), "scatter-add": _scattered("add"),
    "scatter_add": _scattered("add"), "cholesky": lambda x, **_: linear.cholesky(x), "triangular_solve": _triangular,
    "conv_general_dilated": jax_windows.convolution, "reduce_window_max": jax_windows.largest,
    "reduce_window_sum": jax_windows.summed,
}  # fmt: skip
