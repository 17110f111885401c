"""More of JAX's primitives: convolutions, windows, sorting, systems of equations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from pullback.tracing import linalg
from pullback.tracing import special as special  # it adds its rows to the functions of NumPy
from pullback.tracing.arrays import FUNCTIONS, Numbers, extreme, numbers, wrapped
from pullback.tracing.numbers import Untraceable
from pullback.tracing.ordering import argsort
from pullback.tracing.windows import convolved

Row = Callable[..., Any]


# ---- convolution -----------------------------------------------------------------------------


def _dilated(x: Any, factors: Sequence[int], low: Sequence[int], high: Sequence[int]) -> Any:
    """Zeros between the entries of the last axes and around them; a negative width cuts."""
    rank = len(factors)
    lead = x.shape[: x.ndim - rank]
    shape: tuple[int, ...] = x.shape[x.ndim - rank :]
    inner = [(n - 1) * f + 1 if n else 0 for n, f in zip(shape, factors, strict=True)]
    before, after = [max(0, v) for v in low], [max(0, v) for v in high]
    wide = [n + a + b for n, a, b in zip(inner, before, after, strict=True)]
    found: Any = numbers(np.zeros((*lead, *wide), dtype=np.int64))
    place = [slice(a, a + n, f) for a, n, f in zip(before, inner, factors, strict=True)]
    found[(..., *place)] = x
    cut = [slice(max(0, -a), n - max(0, -b)) for a, b, n in zip(low, high, wide, strict=True)]
    return found[(..., *cut)]


def convolution(
    x: Any, w: Any, *, window_strides: Any, padding: Any, lhs_dilation: Any, rhs_dilation: Any,
    dimension_numbers: Any, feature_group_count: int, batch_group_count: int, **_: Any,
) -> Any:  # fmt: skip
    """`conv_general_dilated`: both sides turned to batch, channels, space; the result turned back."""
    spec = dimension_numbers
    x, w = np.transpose(x, spec.lhs_spec), np.transpose(w, spec.rhs_spec)
    rank = x.ndim - 2
    low, high = [a for a, _ in padding], [b for _, b in padding]
    x = _dilated(x, lhs_dilation or (1,) * rank, low, high)
    options = (None, list(window_strides), [0] * rank, list(rhs_dilation or (1,) * rank))
    if batch_group_count == 1:
        found = convolved(x, w, *options, feature_group_count)
    else:
        parts = zip(
            np.split(x, batch_group_count, axis=0), np.split(w, batch_group_count, axis=0), strict=True
        )
        found = np.concatenate([convolved(wrapped(a), wrapped(b), *options, 1) for a, b in parts], axis=1)
    back = np.argsort(spec.out_spec)
    return wrapped(np.transpose(found, back))


def _windows(
    x: Any, window: Any, strides: Any, padding: Any, base: Any, dilation: Any, fill: Any
) -> tuple[Any, list[int]]:
    """Every place of the window, as arrays of the shape of the result, stacked in front."""
    if any(b != 1 for b in base or (1,)):
        raise Untraceable("a window over a dilated array has no meaning here")
    wide = np.full([n + a + b for n, (a, b) in zip(x.shape, padding, strict=True)], fill, dtype=object)
    wide[tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, padding, strict=True))] = x
    dilation = dilation or (1,) * x.ndim
    out = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(wide.shape, window, strides, dilation, strict=True)
    ]
    parts = []
    for at in np.ndindex(*window):
        cut = tuple(
            slice(p * d, p * d + s * (o - 1) + 1, s)
            for p, d, s, o in zip(at, dilation, strides, out, strict=True)
        )
        parts.append(wide[cut])
    return np.stack(parts), out


def _window_row(fill: Any, relation: str = "") -> Row:
    def row(
        x: Any, *, window_dimensions: Any, window_strides: Any, padding: Any, base_dilation: Any = None,
        window_dilation: Any = None, **_: Any,
    ) -> Any:  # fmt: skip
        stacked, _out = _windows(
            x, window_dimensions, window_strides, padding, base_dilation, window_dilation, fill
        )
        return extreme(wrapped(stacked), relation, axis=0) if relation else wrapped(stacked.sum(axis=0))

    return row


def select_and_scatter_add(
    source: Any, x: Any, *, select_prim: Any, window_dimensions: Any, window_strides: Any, padding: Any, **_: Any
) -> Any:  # fmt: skip
    """Each entry of `source` goes to the first best entry of its window."""
    greater = select_prim.name in ("ge", "gt")
    places = np.arange(x.size).reshape(x.shape)
    seen, out = _windows(places, window_dimensions, window_strides, padding, None, None, -1)
    flat, found = x.view(np.ndarray).reshape(-1), numbers(np.zeros(x.size, dtype=np.int64))
    for at in np.ndindex(*out):
        inside = [int(p) for p in seen[(slice(None), *at)] if p >= 0]
        best = inside[0]
        for p in inside[1:]:
            if flat[p] > flat[best] if greater else flat[p] < flat[best]:
                best = p
        found[best] = found[best] + source[at]
    return wrapped(found.reshape(x.shape))


# ---- order -----------------------------------------------------------------------------------


def _sorted(*operands: Any, dimension: int, num_keys: int = 1, **_: Any) -> Any:
    if num_keys != 1:
        raise Untraceable("sorting by several keys has no meaning here")
    order = argsort(operands[0], axis=dimension)
    return [wrapped(np.take_along_axis(x, order, axis=dimension)) for x in operands]


def _top(x: Any, *, k: int, axis: int = -1, **_: Any) -> Any:
    order = argsort(x, axis=axis, descending=True)
    few = np.take(order, np.arange(k), axis=axis)
    return [wrapped(np.take_along_axis(x, few, axis=axis)), few.astype(np.int32)]


def _cumulative(step: Callable[[Any, Any], Any]) -> Row:
    def row(x: Any, *, axis: int, reverse: bool = False, **_: Any) -> Any:
        found = x.copy()
        line = np.moveaxis(found.view(np.ndarray), axis, 0)
        line = line[::-1] if reverse else line
        for k in range(1, len(line)):
            line[k] = step(line[k - 1], line[k])
        return found

    return row


def _log_of_sum(a: Any, b: Any) -> Any:
    return FUNCTIONS["logaddexp"](a, b)


# ---- systems of equations ---------------------------------------------------------------------


def _factorised(a: Any, **_: Any) -> Any:
    """LU, as if nothing was exchanged: the rows are put in order first."""
    if a.ndim != 2:
        raise Untraceable("a batch of factorisations has no meaning here")
    rows, order = linalg.factorised(a)
    if order != list(range(len(order))):
        raise Untraceable("the pivots of this factorisation are exchanged")
    places = np.arange(len(order), dtype=np.int32)
    return [numbers(np.array(rows, dtype=object)), places, places]


def _triangular(
    a: Any, b: Any, *, left_side: bool, lower: bool, transpose_a: bool, conjugate_a: bool, unit_diagonal: bool
) -> Any:
    return linalg.triangular(a, b, not lower, left_side, unit_diagonal, transpose_a)


def _elementwise(name: str) -> Row:
    return lambda x, **_: wrapped(FUNCTIONS[name](x)) if isinstance(x, Numbers) else x


def _rounded(x: Any, *, rounding_method: Any = 1, **_: Any) -> Any:
    return wrapped(FUNCTIONS["rint"](x))


LAYERS: Final[dict[str, Row]] = {
    "conv_general_dilated": convolution, "reduce_window_max": _window_row(-np.inf, ">"),
    "reduce_window_min": _window_row(np.inf, "<"), "reduce_window_sum": _window_row(0),
    "select_and_scatter_add": select_and_scatter_add,
    "sort": _sorted, "top_k": _top, "cumprod": _cumulative(lambda a, b: a * b),
    "cumlogsumexp": _cumulative(_log_of_sum), "cummax": _cumulative(lambda a, b: np.maximum(a, b)),
    "cummin": _cumulative(lambda a, b: np.minimum(a, b)), "lu": _factorised, "triangular_solve": _triangular,
    "cholesky": lambda a, **_: linalg.lower_factor(a),
    "lu_pivots_to_permutation": lambda p, *, permutation_size, **_: np.arange(permutation_size, dtype=np.int32),
    "atan": _elementwise("arctan"), "asin": _elementwise("arcsin"), "acos": _elementwise("arccos"),
    "asinh": _elementwise("arcsinh"), "acosh": _elementwise("arccosh"), "atanh": _elementwise("arctanh"),
    "atan2": lambda y, x, **_: wrapped(FUNCTIONS["arctan2"](y, x)), "lgamma": _elementwise("gammaln"),
    "digamma": _elementwise("digamma"), "floor": _elementwise("floor"), "ceil": _elementwise("ceil"),
    "round": _rounded,
}  # fmt: skip
