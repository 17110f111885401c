"""Arrays that NumPy code makes: their sizes stay symbols, and their entries are known functions of the indices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from pullback.capture import moving
from pullback.capture.arrays import Kind, compared, filled, known
from pullback.capture.operations import cast, elementwise, expanded
from pullback.capture.subscripts import Span
from pullback.capture.tracers import Dim, Traced, lifted, size_of, wrapped
from pullback.expression import ONE, ZERO, Expr, add, num, over
from pullback.reading.value import At
from pullback.sizes import normal_size
from pullback.tracing.numbers import Untraceable

Row = Callable[..., Any]


def shape_of(shape: Any) -> tuple[Expr, ...]:
    return tuple(map(size_of, shape)) if isinstance(shape, tuple | list) else (size_of(shape),)


def _filled(value: Expr) -> Row:
    return lambda shape, dtype=None, **_: wrapped(filled(shape_of(shape), value, kind_of(dtype)))


def _full(shape: Any, fill_value: Any, dtype: Any = None, **_: Any) -> Traced:
    return wrapped(expanded(lifted(fill_value), shape_of(shape)))


def filled_like(value: Expr) -> Row:
    return lambda x, dtype=None, **_: wrapped(filled(lifted(x).shape, value))


def kind_of(dtype: Any) -> Any:
    if dtype is None:
        return "real"
    return {"b": "truth", "i": "integer", "u": "integer"}.get(np.dtype(dtype).kind, "real")


def _arange(*bounds: Any, dtype: Any = None, **options: Any) -> Any:
    start, stop, step = options.get("start", 0), options.get("stop"), options.get("step", 1)
    if len(bounds) == 1 and stop is None:
        stop = bounds[0]
    elif bounds:
        start, stop, *rest = bounds
        step = rest[0] if rest else step
    if any(
        isinstance(b, float) or (isinstance(b, Traced) and b.array.kind == "real")
        for b in (start, stop, step)
    ):
        if not any(isinstance(b, Dim | Traced) for b in (start, stop, step)):
            return np.arange(start, stop, step)
        raise Untraceable("np.arange with steps that are not whole numbers of a symbolic size")
    whole = int(step)
    span = Span(size_of(start), size_of(stop), whole)
    kind: Kind = "real" if kind_of(dtype) == "real" and dtype is not None else "integer"
    return wrapped(known((span.length,), kind, lambda at: span.place(at[0])))


def _linspace(start: Any, stop: Any, count: Any = 50, endpoint: bool = True, **_: Any) -> Any:
    size = size_of(count)
    gaps = normal_size(add(size, num(-1))) if endpoint else size
    a, b = lifted(start), lifted(stop)
    position = known((size,), "real", lambda at: over(at[0], gaps))
    return wrapped(elementwise("+", a, elementwise("*", elementwise("-", b, a), position)))


def _eye(n: Any, m: Any = None, k: int = 0, dtype: Any = None, **_: Any) -> Traced:
    rows = size_of(n)
    columns = rows if m is None else size_of(m)
    return wrapped(known((rows, columns), "real", lambda at: _diagonal_entry(at, k)))


def _diagonal_entry(at: At, k: int) -> Expr:
    from_row = add(at[0], num(k)) if k else at[0]
    return compared("==", from_row, at[1])


def _tri(n: Any, m: Any = None, k: int = 0, dtype: Any = None, **_: Any) -> Traced:
    rows, columns = size_of(n), size_of(n if m is None else m)
    return wrapped(moving.triangle(filled((rows, columns), ONE, kind_of(dtype)), num(int(k)), "<="))


def _array(x: Any, dtype: Any = None, **_: Any) -> Any:
    if isinstance(x, np.ndarray) or not _holds_traced(x):
        return np.array(x, dtype=dtype)
    made = lifted(x)
    return wrapped(made if dtype is None else cast(made, kind_of(dtype)))


def _holds_traced(x: Any) -> bool:
    if isinstance(x, tuple | list):
        return any(map(_holds_traced, x))
    return isinstance(x, Traced | Dim)


def _asarray(x: Any, dtype: Any = None, **options: Any) -> Any:
    if isinstance(x, Traced):
        return (
            x if dtype is None or kind_of(dtype) == x.array.kind else wrapped(cast(x.array, kind_of(dtype)))
        )
    return _array(x, dtype)


def _prod_of_sizes(x: Any, *args: Any, **options: Any) -> Any:
    if isinstance(x, tuple | list) and all(isinstance(part, int | Dim) for part in x):
        found: Any = 1
        for part in x:
            found = part * found
        return found
    return np.prod(x, *args, **options)


CREATED: Final[dict[str, Row]] = {
    "zeros": _filled(ZERO), "ones": _filled(ONE), "empty": _filled(ZERO), "full": _full, "eye": _eye,
    "identity": _eye, "arange": _arange, "linspace": _linspace, "tri": _tri, "array": _array,
    "asarray": _asarray, "asanyarray": _asarray, "ascontiguousarray": _asarray, "prod": _prod_of_sizes,
    "float64": lambda x=0.0: x if isinstance(x, Traced | Dim) else np.float64(x),
    "float32": lambda x=0.0: x if isinstance(x, Traced | Dim) else np.float32(x),
    "int64": lambda x=0: x if isinstance(x, Traced | Dim) else np.int64(x),
}  # fmt: skip
