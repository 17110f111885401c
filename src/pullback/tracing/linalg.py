"""Linear algebra on arrays of numbers, by elimination: the pivot is the first entry that is not 0."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import numpy as np

from pullback.tracing.arrays import CALLS, numbers, wrapped
from pullback.tracing.numbers import Untraceable, lift

LARGEST: Final = 36  # elimination takes n³ operations on numbers


def _rows(a: Any) -> list[list[Any]]:
    n = a.shape[-1]
    if n > LARGEST:
        raise Untraceable(f"a matrix of {n} rows is too large for exact elimination")
    return [[lift(x) for x in row] for row in a.view(np.ndarray)]


def _is_zero(x: Any) -> bool:
    return bool(x.world.equal(x, x.world.number(0)))


def _each(f: Callable[..., Any], *arrays: Any) -> Any:
    """`f` of the last two axes, for each entry of those before them."""
    if all(a.ndim == 2 for a in arrays):
        return f(*arrays)
    lead = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
    spread = [np.broadcast_to(numbers(a), (*lead, *a.shape[-2:])) for a in arrays]
    found = [f(*(wrapped(s[at]) for s in spread)) for at in np.ndindex(*lead)]
    shape = np.shape(found[0])
    flat = np.empty((len(found), *shape), dtype=object)
    for k, part in enumerate(found):
        flat[k, ...] = part
    return numbers(flat.reshape(*lead, *shape))


def factorised(a: Any) -> tuple[list[list[Any]], list[int]]:
    """L and U in one square, as LAPACK keeps them, and the order of the rows."""
    rows, n = _rows(a), a.shape[-1]
    order = list(range(n))
    for k in range(n):
        pivot = next((i for i in range(k, n) if not _is_zero(rows[i][k])), k)
        rows[k], rows[pivot] = rows[pivot], rows[k]
        order[k], order[pivot] = order[pivot], order[k]
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            rows[i] = [
                *rows[i][:k],
                factor,
                *(x - factor * y for x, y in zip(rows[i][k + 1 :], rows[k][k + 1 :], strict=True)),
            ]
    return rows, order


def solved(a: Any, b: Any) -> Any:
    """X with a @ X = b; `b` may be a vector."""
    a, b = numbers(a), numbers(b)
    if b.ndim == 1:
        return solved(a, b[:, None])[..., 0]
    return _each(_solved, a, b)


def _solved(a: Any, b: Any) -> Any:
    rows, n = _rows(a), a.shape[-1]
    wide = [left + [lift(x) for x in right] for left, right in zip(rows, b.view(np.ndarray), strict=True)]
    for k in range(n):
        pivot = next((i for i in range(k, n) if not _is_zero(wide[i][k])), k)
        wide[k], wide[pivot] = wide[pivot], wide[k]
        scale = 1 / wide[k][k]
        wide[k] = [scale * x for x in wide[k]]
        for i in range(n):
            if i != k:
                factor = wide[i][k]
                wide[i] = [x - factor * y for x, y in zip(wide[i], wide[k], strict=True)]
    return numbers(np.array([row[n:] for row in wide], dtype=object).reshape(n, -1))


def inverse(a: Any, *_: Any, **__: Any) -> Any:
    return _each(lambda m: _solved(m, numbers(np.eye(m.shape[-1], dtype=np.int64))), numbers(a))


def determinant(a: Any, *_: Any, **__: Any) -> Any:
    """The product of the pivots, with the sign of the order of rows."""
    return wrapped(_each(_determinant, numbers(a)))


def _determinant(a: Any) -> Any:
    rows, order = factorised(a)
    total = lift(_parity(order))
    for k, row in enumerate(rows):
        total = total * row[k]
    return numbers(total)


def _parity(order: list[int]) -> int:
    swaps = sum(order[i] > order[j] for i in range(len(order)) for j in range(i + 1, len(order)))
    return -1 if swaps % 2 else 1


def sign_and_log(a: Any) -> Any:
    """(sign, log |det|)."""
    found = determinant(a)
    return np.sign(found), np.log(np.abs(found))


def lower_factor(a: Any, upper: bool = False, **_: Any) -> Any:
    """L with L Lᵀ = (a + aᵀ)/2: the mean makes it a function of every entry."""
    found = _each(_lower_factor, numbers(a))
    return np.swapaxes(found, -1, -2) if upper else found


def _lower_factor(a: Any) -> Any:
    rows, n = _rows(a), a.shape[-1]
    low = [[lift(0)] * n for _ in range(n)]
    for j in range(n):
        for i in range(j, n):
            rest = (rows[i][j] + rows[j][i]) * Fraction(1, 2)
            for k in range(j):
                rest = rest - low[i][k] * low[j][k]
            low[i][j] = rest.sqrt() if i == j else rest / low[j][j]
    return numbers(np.array(low, dtype=object).reshape(n, n))


def triangular(
    a: Any, b: Any, upper: bool, left: bool = True, unit: bool = False, transposed: bool = False
) -> Any:
    """X with a @ X = b, or X @ a = b; the other triangle of `a` is not looked at."""
    if transposed:
        a, upper = np.swapaxes(a, -1, -2), not upper
    keep = np.tri(a.shape[-1], dtype=bool)
    a = np.where(keep.T if upper else keep, numbers(a), 0)
    if unit:
        a = np.where(np.eye(a.shape[-1], dtype=bool), 1, a)
    if left:
        return solved(a, b)
    return np.swapaxes(solved(np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)


CALLS.update(
    {
        "inv": inverse,
        "solve": solved,
        "det": determinant,
        "slogdet": sign_and_log,
        "cholesky": lower_factor,
        "solve_triangular": lambda a, b, trans=0, lower=False, unit_diagonal=False, **_: triangular(
            a, b, not lower, unit=unit_diagonal, transposed=trans in (1, "T")
        ),
    }
)
