"""NumPy's functions and methods on recorded arrays: one row a function."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import numpy as np

from pullback.capture import assembling, linear, moving, subscripts
from pullback.capture.arrays import Array, exact, rearranged
from pullback.capture.numpy_creation import filled_like, kind_of, shape_of
from pullback.capture.numpy_elementwise import apply_ufunc, clipped
from pullback.capture.numpy_running import RUNNING
from pullback.capture.operations import along, axes_of, cast, elementwise, expanded, matmul, reduce, variance
from pullback.capture.session import SESSION, Pinned
from pullback.capture.subscripts import Span
from pullback.capture.tracers import ROWS, Dim, Traced, lifted, size_of, wrapped
from pullback.expression import ONE, ZERO, Num, Size, call, mul, num
from pullback.reading.value import At
from pullback.sizes import normal_size, size_text
from pullback.tracing.numbers import Untraceable

Row = Callable[..., Any]


# ---- functions ------------------------------------------------------------------------------


def _reduction(name: str) -> Row:
    def row(
        x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **_: Any
    ) -> Traced:
        return wrapped(reduce(name, lifted(x), axis, keepdims is True))

    return row


def _variance(
    x: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    **options: Any,
) -> Traced:
    free = lifted(options.get("correction", ddof))
    return wrapped(variance(lifted(x), axis, free, keepdims is True))


def _deviation(x: Any, *args: Any, **options: Any) -> Traced:
    return wrapped(elementwise("sqrt", _variance(x, *args, **options).array))


def _where(condition: Any, a: Any = None, b: Any = None) -> Traced:
    if a is None or b is None:
        raise Untraceable(
            "np.where with one argument gives positions that depend on values", hint="np.where(c, a, b)"
        )
    return wrapped(elementwise("where", lifted(condition), lifted(a), lifted(b)))


def _reshape(x: Any, *shape: Any, **options: Any) -> Traced:
    given = options.get("shape", options.get("newshape", shape))
    if len(given) == 1 and isinstance(given[0], tuple | list):
        given = given[0]
    if options.get("order", "C") != "C":
        raise Untraceable("reshape in the order of Fortran")
    return wrapped(
        moving.reshape(lifted(x), [None if not isinstance(s, Dim) and s == -1 else size_of(s) for s in given])
    )


def _ravel(x: Any, *_: Any, **__: Any) -> Traced:
    return wrapped(moving.reshape(lifted(x), [None]))


def _transpose(x: Any, *axes: Any, **options: Any) -> Traced:
    given = options.get(
        "axes", axes[0] if len(axes) == 1 and isinstance(axes[0], tuple | list) else axes or None
    )
    return wrapped(moving.transpose(lifted(x), None if given in (None, (None,)) else given))


def _moveaxis(x: Any, source: Any, destination: Any) -> Traced:
    array = lifted(x)
    pairs = zip(*((v if isinstance(v, tuple | list) else (v,)) for v in (source, destination)), strict=True)
    placed = {d % array.rank: s % array.rank for s, d in pairs}
    rest = iter(k for k in range(array.rank) if k not in placed.values())
    return wrapped(
        moving.transpose(array, [placed[k] if k in placed else next(rest) for k in range(array.rank)])
    )


def _arrays(xs: Any) -> list[Array]:
    return [lifted(x) for x in xs]


def _concatenate(xs: Any, axis: Any = 0, **_: Any) -> Traced:
    parts = _arrays(xs)
    if axis is None:
        parts, axis = [moving.reshape(p, [None]) for p in parts], 0
    return wrapped(assembling.concatenate(parts, axis))


def _stack(xs: Any, axis: int = 0, **_: Any) -> Traced:
    return wrapped(assembling.stack(_arrays(xs), axis))


def _vstack(xs: Any, **_: Any) -> Traced:
    return wrapped(
        assembling.concatenate([p if p.rank > 1 else moving.new_axes(p, [0]) for p in _arrays(xs)], 0)
    )


def _hstack(xs: Any, **_: Any) -> Traced:
    parts = _arrays(xs)
    return wrapped(assembling.concatenate(parts, 0 if parts[0].rank == 1 else 1))


def _column_stack(xs: Any, **_: Any) -> Traced:
    return wrapped(
        assembling.concatenate([p if p.rank > 1 else moving.new_axes(p, [1]) for p in _arrays(xs)], 1)
    )


def _split(x: Any, parts: Any, axis: int = 0) -> list[Traced]:
    """numpy.split, whose parts are equal: a size that it divides is a multiple."""
    size, n = lifted(x).shape[axes_of(lifted(x), axis)[0]], parts
    if isinstance(n, int) and isinstance(size, Size):
        SESSION.get().quotients[size, num(n)] = None
        raise Untraceable(f"{size_text(size)} is split into {n} equal parts")
    return _array_split(x, parts, axis)


def _array_split(x: Any, parts: Any, axis: int = 0) -> list[Traced]:
    array = lifted(x)
    k = axes_of(array, axis)[0]
    size = array.shape[k]
    if isinstance(parts, tuple | list | np.ndarray):
        edges = [ZERO, *map(size_of, parts), size]
    else:
        n = size_of(parts)
        if not isinstance(n, Num):
            raise Pinned(n, "the code splits into as many parts as")
        piece = normal_size(call("floordiv", size, n))
        edges = [normal_size(mul(num(j), piece)) for j in range(int(n.value))] + [size]
    spans = [Span(a, b) for a, b in pairwise(edges)]
    before = [Span(ZERO, s) for s in array.shape[:k]]
    return [wrapped(subscripts.subscript(array, [*before, span])) for span in spans]


def _repeat(x: Any, repeats: Any, axis: int | None = None) -> Traced:
    array = lifted(x) if axis is not None else _ravel(x).array
    k, n = axes_of(array, axis or 0)[0], size_of(repeats)
    shape = (*array.shape[:k], normal_size(mul(n, array.shape[k])), *array.shape[k + 1 :])
    return wrapped(rearranged(array, shape, lambda at: (*at[:k], call("floordiv", at[k], n), *at[k + 1 :])))


def _tile(x: Any, reps: Any) -> Traced:
    array = lifted(x)
    counts = list(shape_of(reps))
    counts = [ONE] * (array.rank - len(counts)) + counts
    array = moving.new_axes(array, range(len(counts) - array.rank))
    own = array.shape
    shape = tuple(normal_size(mul(n, s)) for n, s in zip(counts, own, strict=True))

    def source(at: At) -> At:
        return tuple(
            i if n is ONE else ZERO if s is ONE else call("mod", i, s)
            for i, n, s in zip(at, counts, own, strict=True)
        )

    return wrapped(rearranged(array, shape, source))


def _roll(x: Any, shift: Any, axis: int | None = None) -> Traced:
    array = lifted(x)
    if axis is None and array.rank != 1:
        raise Untraceable("np.roll without an axis")
    return wrapped(moving.roll(array, size_of(shift), axis or 0))


def _pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0, **_: Any) -> Traced:
    array = lifted(x)
    if mode != "constant":
        raise Untraceable(f"np.pad in the mode {mode}", hint='mode="constant"')
    given = pad_width if isinstance(pad_width, tuple | list) else (pad_width,)
    pairs = [p if isinstance(p, tuple | list) else None for p in given]
    if any(p is None for p in pairs):
        pairs = [given if len(given) == 2 else (given[0], given[0])]
    widths = [(size_of(p[0]), size_of(p[-1])) for p in pairs if p is not None]
    widths = widths * array.rank if len(widths) == 1 else widths
    return wrapped(moving.pad(array, widths, exact(constant_values)))


def _take(x: Any, indices: Any, axis: int | None = None, **_: Any) -> Traced:
    array = lifted(x) if axis is not None else _ravel(x).array
    k = axes_of(array, axis or 0)[0]
    before = [Span(ZERO, size) for size in array.shape[:k]]
    if isinstance(indices, int | Dim) and not isinstance(indices, bool):
        return wrapped(array)[(*[slice(None)] * k, indices)]
    return wrapped(
        subscripts.subscript(
            array, [*before, lifted(np.asarray(indices) if isinstance(indices, list) else indices)]
        )
    )


def _take_along_axis(x: Any, indices: Any, axis: int) -> Traced:
    return wrapped(subscripts.taken_along(lifted(x), lifted(indices), axis))


def _triangle(relation: str) -> Row:
    return lambda x, k=0: wrapped(moving.triangle(lifted(x), num(int(k)), relation))


def _softmax(name: str) -> Row:
    def row(x: Any, axis: Any = None, **_: Any) -> Traced:
        return wrapped(along(name, lifted(x), axis))

    return row


def _einsum(*operands: Any, **_: Any) -> Traced:
    if not isinstance(operands[0], str):
        raise Untraceable("np.einsum without a text in front", hint='np.einsum("ij,jk->ik", a, b)')
    return wrapped(linear.einsum_of(operands[0], _arrays(operands[1:])))


def _argument_of_value(name: str) -> Row:
    def row(*_: Any, **__: Any) -> Any:
        raise Untraceable(
            f"np.{name} gives positions that depend on values", hint="max, softmax, or labels as input"
        )

    return row


def _allclose(*_: Any, **__: Any) -> Any:
    raise Untraceable("the code compares values", hint="leave assertions about values out")


def _each(f: Callable[..., Array]) -> Row:
    """A function of arrays alone."""
    return lambda *xs, **options: wrapped(f(*map(lifted, xs), **options))


def _atleast(rank: int) -> Row:
    return lambda x: wrapped(moving.new_axes(lifted(x), range(max(rank - lifted(x).rank, 0))))


def _broadcast_to(x: Any, shape: Any, **_: Any) -> Traced:
    return wrapped(expanded(lifted(x), shape_of(shape)))


def _meshgrid(*xs: Any, indexing: str = "xy", **_: Any) -> list[Traced]:
    arrays = _arrays(xs)
    rank = len(arrays)
    order = [1, 0, *range(2, rank)] if indexing == "xy" and rank > 1 else list(range(rank))
    shape = [arrays[k].shape[0] for k in order]
    placed = [
        moving.reshape(a, [s if order[j] == k else ONE for j, s in enumerate(shape)])
        for k, a in enumerate(arrays)
    ]
    return [wrapped(expanded(a, tuple(shape))) for a in placed]


def _flip(axes: int | None) -> Row:
    return lambda x, axis=axes: wrapped(moving.flip(lifted(x), axis))


def _expand_dims(x: Any, axis: Any) -> Traced:
    return wrapped(moving.new_axes(lifted(x), axis if isinstance(axis, tuple | list) else [axis]))


def _logsumexp(a: Any, axis: Any = None, keepdims: bool = False, **_: Any) -> Traced:
    return wrapped(reduce("logsumexp", lifted(a), axis, keepdims))


def _clip(x: Any, a_min: Any = None, a_max: Any = None, **options: Any) -> Traced:
    bounds = (options.get("min", a_min), options.get("max", a_max))
    return wrapped(clipped(lifted(x), *(None if b is None else lifted(b) for b in bounds)))


def _average(x: Any, axis: Any = None, weights: Any = None, **_: Any) -> Traced:
    return wrapped(linear.average(lifted(x), axis, None if weights is None else lifted(weights)))


def _diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Traced:
    return wrapped(linear.diagonal(lifted(x), offset, axis1, axis2))


def _slogdet(a: Any) -> Any:
    return linear.SignAndLog(*map(wrapped, linear.slogdet(lifted(a))))


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Traced:
    return wrapped(linear.norm(lifted(x), ord, axis, keepdims))


def _ix(*xs: Any) -> tuple[Traced, ...]:
    """One axis for each vector, so that they meet by broadcasting."""
    rest = [[j for j in range(len(xs)) if j != k] for k in range(len(xs))]
    return tuple(wrapped(moving.new_axes(lifted(x), axes)) for x, axes in zip(xs, rest, strict=True))


def _cho_solve(c: Any, b: Any, **_: Any) -> Traced:
    return wrapped(linear.cholesky_solve(lifted(c[0]), lifted(b), bool(c[1])))


def _solve_triangular(a: Any, b: Any, trans: Any = 0, lower: bool = False, **_: Any) -> Traced:
    return wrapped(linear.triangular_solve(lifted(a), lifted(b), lower, trans in (1, "T")))


FUNCTIONS: Final[dict[str, Row]] = {
    **RUNNING,
    **{name: _reduction(name) for name in ("sum", "mean", "max", "min", "prod")},
    "amax": _reduction("max"), "amin": _reduction("min"), "nansum": _reduction("sum"), "var": _variance,
    "std": _deviation, "where": _where, "reshape": _reshape, "ravel": _ravel, "transpose": _transpose,
    "permute_dims": _transpose, "moveaxis": _moveaxis, "concatenate": _concatenate, "stack": _stack,
    "swapaxes": lambda x, a, b: wrapped(moving.swapped(lifted(x), a, b)), "vstack": _vstack, "hstack": _hstack,
    "rollaxis": lambda x, a, start=0: _moveaxis(x, a, start - (start > a)), "column_stack": _column_stack,
    "row_stack": _vstack, "dstack": lambda xs: _stack(xs, 2), "split": _split, "array_split": _array_split,
    "hsplit": lambda x, n: _split(x, n, 1), "vsplit": _split, "repeat": _repeat, "tile": _tile, "roll": _roll,
    "flip": _flip(None), "fliplr": _flip(1), "flipud": _flip(0), "pad": _pad, "take": _take,
    "take_along_axis": _take_along_axis, "tril": _triangle("<="), "triu": _triangle(">="),
    "expand_dims": _expand_dims, "squeeze": lambda x, axis=None: wrapped(moving.squeeze(lifted(x), axis)),
    "broadcast_to": _broadcast_to, "atleast_1d": _atleast(1), "atleast_2d": _atleast(2), "einsum": _einsum,
    "softmax": _softmax("softmax"), "log_softmax": _softmax("log_softmax"),
    "logsumexp": _logsumexp, "clip": _clip, "average": _average, "nan_to_num": lambda x, **_: x,
    "copy": lambda x, **_: wrapped(lifted(x)), "real": lambda x: x, "zeros_like": filled_like(ZERO),
    "ones_like": filled_like(ONE), "empty_like": filled_like(ZERO),
    "full_like": lambda x, value, **_: wrapped(expanded(lifted(value), lifted(x).shape)),
    "shape": lambda x: wrapped(lifted(x)).shape, "ndim": lambda x: lifted(x).rank, "meshgrid": _meshgrid,
    "size": lambda x, axis=None: wrapped(lifted(x)).size if axis is None else wrapped(lifted(x)).shape[axis],
    **{name: _argument_of_value(name) for name in ("argmax", "argmin", "argsort", "nonzero", "round")},
    "allclose": _allclose, "array_equal": _allclose, "dot": _each(linear.dot), "inner": _each(linear.inner),
    "vdot": _each(linear.vdot), "outer": _each(linear.outer), "kron": _each(linear.kron),
    "tensordot": lambda a, b, axes=2: wrapped(linear.tensordot(lifted(a), lifted(b), axes)),
    "multi_dot": lambda xs, **_: wrapped(linear.multi_dot(_arrays(xs))), "trace": _each(linear.trace),
    "diag": _each(linear.diagonal_matrix), "diagonal": _diagonal, "inv": _each(linear.inverse),
    "det": _each(linear.determinant), "slogdet": _slogdet, "solve": _each(linear.solve),
    "cholesky": _each(linear.cholesky), "norm": _norm, "cross": _each(linear.cross), "ix_": _ix,
    "matrix_power": lambda a, n: wrapped(linear.matrix_power(lifted(a), int(n))),
    "matrix_transpose": lambda x: wrapped(moving.swapped(lifted(x), -1, -2)), "cho_solve": _cho_solve,
    "cho_factor": lambda a, lower=False, **_: (wrapped(linear.cholesky(lifted(a))), True),
    "solve_triangular": _solve_triangular, "result_type": lambda *_: np.dtype("float64"),
    "iscomplexobj": lambda x: False,
}  # fmt: skip


def apply_function(function: Any, args: Any, options: dict[str, Any]) -> Any:
    row = FUNCTIONS.get(function.__name__)
    if row is None:
        raise Untraceable(f"numpy.{function.__name__} has no meaning in the language")
    return row(*args, **options)


METHODS: Final[dict[str, Row]] = {
    **{name: FUNCTIONS[name] for name in (
        "sum", "mean", "max", "min", "prod", "var", "std", "reshape", "ravel", "transpose", "swapaxes", "repeat",
        "take", "squeeze", "cumsum", "copy", "dot", "trace", "diagonal", "clip", "argmax", "argmin", "argsort",
        "round", "nonzero",
    )},
    "flatten": _ravel, "astype": lambda x, dtype, **_: wrapped(cast(x.array, kind_of(dtype))),
    "conj": lambda x: x, "view": lambda x, *_: x, "item": lambda x, *_: x,
    "tolist": lambda x: [x[k] for k in range(len(x))],
}  # fmt: skip

ROWS.update({"stack": assembling.stack, "transpose": moving.transpose, "matmul": matmul})
Traced.methods = METHODS
Traced.ufunc = staticmethod(apply_ufunc)
Traced.call = staticmethod(apply_function)
