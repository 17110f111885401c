"""Linear algebra on numbers of a domain gives what NumPy gives, and its tangents are the derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pullback.checking import check
from pullback.evaluator import HighPrecision
from pullback.tracing import linalg
from pullback.tracing.numbers import World, inside
from pullback.tracing.wholes import floats_of
from pullback.verify.code_compare import array_of

RNG = np.random.default_rng(0)
A = RNG.integers(-8, 9, size=(2, 3, 3)) / 8 + 3 * np.eye(3)
S = A @ np.swapaxes(A, -1, -2)
B = RNG.integers(-8, 9, size=(2, 3, 2)) / 8


def lifted(world: World, x: Any) -> Any:
    return array_of(world, [world.number(float(v)).value for v in x.flat], x.shape)


@pytest.mark.parametrize(
    ("ours", "numpys", "args"),
    [
        (linalg.inverse, np.linalg.inv, (A,)),
        (linalg.determinant, np.linalg.det, (A,)),
        (linalg.solved, np.linalg.solve, (A, B)),
        (linalg.lower_factor, np.linalg.cholesky, (S,)),
        (lambda a: linalg.sign_and_log(a)[1], lambda a: np.linalg.slogdet(a)[1], (A,)),
        (lambda a, b: linalg.triangular(a, b, False), lambda a, b: np.linalg.solve(np.tril(a), b), (A, B)),
        (lambda a, b: linalg.triangular(a, b, True, transposed=True),
         lambda a, b: np.linalg.solve(np.swapaxes(np.triu(a), -1, -2), b), (A, B)),
        (linalg.determinant, np.linalg.det, (np.array([[0.0, 1.0], [2.0, 0.0]]),)),
    ],
)  # fmt: skip
def test_values_are_those_of_numpy(ours: Callable[..., Any], numpys: Callable[..., Any], args: Any) -> None:
    world = World(HighPrecision())
    with inside(world):
        found = floats_of(ours(*(lifted(world, x) for x in args)))
    np.testing.assert_allclose(found, numpys(*args), rtol=1e-12)


def inv_back(d: Any, a: Any) -> Any:
    y = np.linalg.inv(a)
    return -y.T @ d @ y.T


def factor_back(d: Any, low: Any) -> Any:
    phi = np.tril(low.T @ d)
    phi[np.diag_indices(len(low))] *= 0.5
    inverse = np.linalg.inv(low)
    s = inverse.T @ phi @ inverse
    return (s + s.T) / 2


def factor(a: Any) -> Any:
    low = np.linalg.cholesky(a)
    return low, low


@pytest.mark.parametrize(
    ("pair", "x", "right"),
    [
        ((np.linalg.inv, inv_back), A[0], True),
        ((lambda a: np.linalg.inv(a), lambda d, a: -np.linalg.inv(a) @ d @ np.linalg.inv(a)), A[0], False),
        ((factor, factor_back), S[0], True),
        ((factor, lambda d, low: 2 * factor_back(d, low)), S[0], False),
        ((lambda a: np.linalg.slogdet(a)[1], lambda d, a: d * np.linalg.inv(a).T), A[0], True),
        ((lambda a: np.linalg.slogdet(a)[1], lambda d, a: d * np.linalg.inv(a)), A[0], False),
    ],
)
def test_derivatives_are_told_right_from_wrong(pair: Any, x: Any, right: bool) -> None:
    verdict = check(pair, [x])
    assert verdict.ok is right, verdict.explain()
    assert {v.status for v in verdict.verdicts} == {"exact"}  # type: ignore[attr-defined]
