"""NumPy's functions that run along an axis: sums, products and differences, convolution, quadrature, polynomials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pullback.capture import moving, running
from pullback.capture.arrays import Array
from pullback.capture.operations import along, axes_of, elementwise, reduce
from pullback.capture.tracers import Traced, lifted, wrapped
from pullback.tracing.numbers import Untraceable


def _line(x: Any, axis: Any) -> tuple[Array, int]:
    """The array and the axis; without one NumPy runs through all entries."""
    array = lifted(x)
    return (array, axis) if axis is not None else (moving.reshape(array, [None]), 0)


def _cumsum(x: Any, axis: Any = None, **_: Any) -> Traced:
    return wrapped(along("cumsum", *_line(x, axis)))


def _cumprod(x: Any, axis: Any = None, **_: Any) -> Traced:
    return wrapped(running.running_product(*_line(x, axis)))


def _diff(x: Any, n: int = 1, axis: int = -1, **_: Any) -> Traced:
    found = wrapped(lifted(x))
    for _k in range(n):
        front = [slice(None)] * axes_of(found.array, axis)[0]
        found = found[(*front, slice(1, None))] - found[(*front, slice(None, -1))]
    return found


def _convolve(a: Any, v: Any, mode: str = "full") -> Traced:
    return wrapped(running.convolve(lifted(a), lifted(v), mode))


def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Traced:
    return wrapped(running.trapezoid(lifted(y), None if x is None else lifted(x), lifted(dx), axis))


def _polynomial(p: Any, x: Any) -> Traced:
    return wrapped(running.polynomial(lifted(p), lifted(x)))


def _covariance(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None
) -> Traced:
    if y is not None:
        raise Untraceable("the covariance of two arrays", hint="np.cov(np.stack([x, y]))")
    return wrapped(running.covariance(lifted(m), rowvar, int(not bias) if ddof is None else ddof))


def _spread(x: Any, axis: Any = None, keepdims: bool = False, **_: Any) -> Traced:
    array = lifted(x)
    return wrapped(
        elementwise("-", reduce("max", array, axis, keepdims), reduce("min", array, axis, keepdims))
    )


def _polygamma(n: Any, x: Any) -> Traced:
    return wrapped(elementwise("polygamma", lifted(n), lifted(x)))


RUNNING: Final[dict[str, Callable[..., Any]]] = {
    "cumsum": _cumsum, "cumprod": _cumprod, "diff": _diff, "convolve": _convolve, "trapezoid": _trapezoid,
    "trapz": _trapezoid, "polyval": _polynomial, "cov": _covariance, "ptp": _spread, "polygamma": _polygamma,
}  # fmt: skip
