"""The derivatives of log |Γ| in float64."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LIFTED: Final = 16  # from here on, more for high orders, the series gives every digit
FURTHEST: Final = -(10**4)  # below, a place is not lifted and has no value
BERNOULLI: Final = tuple(
    Fraction(a, b)
    for a, b in ((1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510))
)  # B2, B4, …, B16


def _log_gamma(x: float) -> float:
    if x <= 0 and x == int(x):
        return math.inf
    return math.lgamma(x)


_lgamma = np.vectorize(_log_gamma, otypes=[np.float64])


def polygamma(order: int, x: Floats) -> Floats:
    """The derivative of digamma of that order; -1 stands for log |Γ|.

    >>> bool(abs(polygamma(1, np.array(1.0)) - math.pi**2 / 6) < 1e-14)
    True
    """
    if order < 0:
        return np.asarray(_lgamma(x), dtype=np.float64) if x.size else x
    sign, n = (-1.0) ** (order + 1), math.factorial(order)
    lifted, total = np.array(x, dtype=np.float64), np.zeros_like(x, dtype=np.float64)
    while (low := (lifted < LIFTED + order) & (lifted > FURTHEST)).any():
        total = np.where(low, total + 1 / np.where(low, lifted, 1) ** (order + 1), total)
        lifted = np.where(low, lifted + 1, lifted)
    return np.asarray(sign * (n * total + _series(order, np.where(lifted > FURTHEST, lifted, np.nan))))


def _series(order: int, x: Floats) -> Any:
    """Stirling's series, differentiated: what is left of (-1)^(order + 1) polygamma(order, x) at large x."""
    n = math.factorial(order)
    first = -np.log(x) if not order else math.factorial(order - 1) / x**order
    terms = (
        float(b * Fraction(math.factorial(2 * k + order - 1), math.factorial(2 * k))) / x ** (2 * k + order)
        for k, b in enumerate(BERNOULLI, start=1)
    )
    return first + n / (2 * x ** (order + 1)) + sum(terms)
