"""More of ATen: operations that are whole layers, solve systems, or run along an axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from pullback.tracing import linalg
from pullback.tracing import special as special  # it adds its rows to the functions of NumPy
from pullback.tracing.arrays import FUNCTIONS, Numbers, wrapped
from pullback.tracing.indexing import scattered
from pullback.tracing.numbers import Untraceable
from pullback.tracing.windows import average_pool, convolution, convolution_backward, largest_pool

Row = Callable[..., Any]


def _with_info(f: Row) -> Row:
    """LAPACK's routines report success beside their results."""

    def row(*args: Any, **options: Any) -> Any:
        options.pop("check_errors", None)
        return f(*args, **options), np.asarray(0)

    return row


def _solve(a: Any, b: Any, *, left: bool = True, **_: Any) -> Any:
    if not left:
        raise Untraceable("a system that is solved from the right has no meaning here")
    x = linalg.solved(a, b)
    return x, a, np.arange(a.shape[-1]), np.asarray(0)


def _sign_and_log(a: Any) -> Any:
    sign, size = linalg.sign_and_log(a)
    return sign, size, a, np.arange(a.shape[-1])


def _determinant(a: Any) -> Any:
    return linalg.determinant(a), a, np.arange(a.shape[-1])


def _triangular(a: Any, b: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    return linalg.triangular(a, b, upper, left, unitriangular)


def _old_triangular(
    b: Any, a: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:
    return linalg.triangular(a, b, upper, unit=unitriangular, transposed=transpose), a


def _from_factor(b: Any, low: Any, upper: bool = False) -> Any:
    """X with (L Lᵀ) X = b."""
    first = linalg.triangular(low, b, upper, transposed=upper)
    return linalg.triangular(low, first, upper, transposed=not upper)


def vector_norm(x: Any, order: Any = 2, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    axes = (
        tuple(range(np.ndim(x))) if dim is None else tuple(dim) if isinstance(dim, list | tuple) else (dim,)
    )
    if order == 2:
        return wrapped(np.asarray(np.sqrt(np.sum(x * x, axis=axes, keepdims=keepdim))))
    if order == 1:
        return np.sum(np.abs(x), axis=axes, keepdims=keepdim)
    raise Untraceable(f"a norm of order {order} is not known here")


def _along(x: Any, dim: int, step: Callable[[Any, Any], Any]) -> Any:
    found = x.copy()
    line = np.moveaxis(found.view(np.ndarray), dim, 0)
    for k in range(1, len(line)):
        line[k] = step(line[k - 1], line[k])
    return found


def _cumulative_product(x: Any, dim: int, **_: Any) -> Any:
    return _along(x, dim, lambda a, b: a * b)


def _cumulative_logsumexp(x: Any, dim: int, **_: Any) -> Any:
    return np.log(_along(np.exp(x), dim, lambda a, b: a + b))


def softplus(x: Any, beta: Any = 1, threshold: Any = 20) -> Any:
    """log(1 + exp(x)); beyond the threshold PyTorch's differs from it by less than a rounding."""
    scaled = x if beta == 1 else x * beta
    found = np.log(1 + np.exp(scaled))
    return wrapped(found if beta == 1 else found / beta)


def _log_sigmoid(x: Any) -> Any:
    return wrapped(-np.log(1 + np.exp(-x))), np.zeros(0)


def _unfolded(x: Any, dim: int, size: int, step: int) -> Any:
    along = np.moveaxis(x, dim, 0)
    count = (len(along) - size) // step + 1
    windows = np.stack([along[k * step : k * step + size] for k in range(count)])
    return wrapped(np.moveaxis(np.moveaxis(windows, 1, -1), 0, dim % x.ndim))


def _two_argument_cumulative(pick: Callable[[Any, Any], Any]) -> Row:
    def row(x: Any, dim: int) -> Any:
        values, places = x.copy(), np.zeros(np.shape(x), dtype=np.int64)
        line, where = np.moveaxis(values.view(np.ndarray), dim, 0), np.moveaxis(places, dim, 0)
        for k in range(1, len(line)):
            for at in np.ndindex(*line.shape[1:]):
                here = (k, *at)
                before = (k - 1, *at)
                if pick(line[here], line[before]):
                    where[here] = k
                else:
                    line[here], where[here] = line[before], where[before]
        return values, places

    return row


def _log_of_sum(a: Any, b: Any) -> Any:
    return wrapped(FUNCTIONS["logaddexp"](a, b))


def _elementwise(name: str) -> Row:
    return lambda x, *_, **__: wrapped(FUNCTIONS[name](x)) if isinstance(x, Numbers) else x


SPECIAL: Final = {
    "atan": "arctan", "asin": "arcsin", "acos": "arccos", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh",
    "lgamma": "gammaln", "digamma": "digamma", "round": "rint", "floor": "floor", "ceil": "ceil", "trunc": "trunc",
}  # fmt: skip


def _into(x: Any, y: Any, dim: int, where: Any) -> Any:
    found = x.copy()
    np.moveaxis(found.view(np.ndarray), dim, 0)[where] = (
        y if isinstance(where, int) else np.moveaxis(np.asarray(y), dim, 0)
    )
    return found


def _on_diagonal(x: Any, y: Any, offset: int = 0, a: int = 0, b: int = 1) -> Any:
    found = x.copy()
    turned = np.moveaxis(found.view(np.ndarray), (a, b), (-2, -1))
    rows = np.arange(np.shape(y)[-1])
    turned[..., rows + max(0, -offset), rows + max(0, offset)] = y
    return found


def _added(x: Any, dim: int, index: Any, y: Any, alpha: Any = 1) -> Any:
    found = x.copy()
    np.add.at(np.moveaxis(found.view(np.ndarray), dim, 0), index, np.moveaxis(np.asarray(y), dim, 0) * alpha)
    return found


def _reduced(x: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool = True) -> Any:
    if reduce != "sum" or not include_self:
        raise Untraceable(f"scatter_reduce with {reduce} has no meaning here")
    return scattered(x, dim, index, src, add=True)


LAYERS: Final[dict[str, Row]] = {
    "convolution": convolution, "convolution_backward": convolution_backward,
    "avg_pool2d": average_pool, "avg_pool3d": average_pool, "max_pool2d_with_indices": largest_pool,
    "max_pool3d_with_indices": largest_pool,
    **{name: _elementwise(found) for name, found in SPECIAL.items()},
    "atan2": lambda y, x: wrapped(FUNCTIONS["arctan2"](y, x)),
    "linalg_inv_ex": _with_info(linalg.inverse), "_linalg_det": _determinant, "_linalg_slogdet": _sign_and_log,
    "_linalg_solve_ex": _solve, "linalg_cholesky_ex": _with_info(linalg.lower_factor),
    "cholesky": linalg.lower_factor, "linalg_solve_triangular": _triangular, "triangular_solve": _old_triangular,
    "cholesky_solve": _from_factor, "linalg_vector_norm": vector_norm, "norm": vector_norm,
    "cumprod": _cumulative_product, "logcumsumexp": _cumulative_logsumexp, "_logcumsumexp": _cumulative_logsumexp,
    "softplus": softplus, "log_sigmoid_forward": _log_sigmoid, "unfold": _unfolded, "logaddexp": _log_of_sum,
    "cummax": _two_argument_cumulative(lambda a, b: a >= b), "cummin": _two_argument_cumulative(lambda a, b: a <= b),
    "_to_dense": lambda x, **_: x, "diagonal_scatter": _on_diagonal,
    "select_scatter": _into,
    "slice_scatter": lambda x, y, dim=0, start=None, end=None, step=1: _into(
        x, y, dim, slice(start, None if end is not None and end > 2**40 else end, step)),
    "trace": lambda x: wrapped(np.asarray(np.trace(x))),
    "heaviside": lambda x, y: wrapped(FUNCTIONS["heaviside"](x, y)),
    "masked_fill": lambda x, mask, value: wrapped(np.where(mask, value, x)),
    "addcmul": lambda a, b, c, value=1: a + value * b * c, "addcdiv": lambda a, b, c, value=1: a + value * b / c,
    "lerp": lambda a, b, weight: a + weight * (b - a), "square": lambda x: x * x,
    "index_add": _added,
    "scatter_reduce": _reduced,
}  # fmt: skip
