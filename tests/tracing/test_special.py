"""Functions that only high precision has: values and slopes; rounding is constant, and ties where it jumps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pullback.checking import check
from pullback.evaluator import HighPrecision
from pullback.tracing.arrays import FUNCTIONS
from pullback.tracing.numbers import World, inside
from pullback.tracing.wholes import floats_of
from pullback.verify.code_compare import array_of


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("arctan", 0.5, math.atan(0.5)), ("arcsin", 0.5, math.asin(0.5)), ("arccos", 0.25, math.acos(0.25)),
        ("arcsinh", 0.5, math.asinh(0.5)), ("arccosh", 1.5, math.acosh(1.5)), ("arctanh", 0.5, math.atanh(0.5)),
        ("gammaln", 2.5, math.lgamma(2.5)), ("rint", 1.75, 2.0), ("floor", -1.25, -2.0), ("ceil", -1.25, -1.0),
        ("trunc", -1.75, -1.0),
    ],
)  # fmt: skip
def test_values(name: str, x: float, expected: float) -> None:
    world = World(HighPrecision())
    with inside(world):
        found = FUNCTIONS[name](array_of(world, [world.number(x).value], (1,)).view(np.ndarray))
    assert floats_of(found)[0] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("pair", "x", "right"),
    [
        ((np.arctan, lambda d, x: d / (1 + x * x)), np.array([0.5, -1.0]), True),
        ((lambda x: np.arctan(x), lambda d, x: d / (1 - x * x)), np.array([0.5, -1.0]), False),
        ((np.rint, lambda d, x: 0 * d), np.array([0.75, -1.25]), True),
        ((lambda x: np.rint(x), lambda d, x: d), np.array([0.75, -1.25]), False),
        ((lambda x: np.floor(x) * x, lambda d, x: d * np.floor(x)), np.array([0.75, -1.25]), True),
    ],
)
def test_derivatives_are_told_right_from_wrong(pair: Any, x: Any, right: bool) -> None:
    assert check(pair, [x]).ok is right
