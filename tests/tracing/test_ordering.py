"""Positions and orders of numbers: those of NumPy, and a comparison that fails is heard."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from pullback import check
from pullback.evaluator import HighPrecision
from pullback.tracing.arrays import numbers
from pullback.tracing.numbers import Number, World, inside

VALUES = np.array([[3.0, -1.0, 3.0, 0.5], [2.0, 2.0, -4.0, -4.0], [0.0, 1.0, 2.0, 5.0]])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.argmax(),
        lambda x: x.argmin(axis=0),
        lambda x: np.argmax(x, axis=1),
        lambda x: np.argmin(x, axis=-1, keepdims=True),
        lambda x: np.argmax(x, keepdims=True),
        lambda x: np.argsort(x, axis=1, kind="stable"),
        lambda x: np.argsort(x, axis=0, kind="stable"),
        lambda x: x.argsort(kind="stable"),
        lambda x: np.argsort(x, axis=None, kind="stable"),
    ],
)
def test_positions_are_those_of_numpy(f: Callable[[Any], Any]) -> None:
    world = World(HighPrecision())
    made = np.empty(VALUES.shape, dtype=object)
    for at in np.ndindex(*VALUES.shape):
        made[at] = Number(world, world.domain.number(Fraction(VALUES[at])))
    with inside(world):
        found = f(numbers(made))
    assert np.shape(found) == np.shape(f(VALUES))
    assert np.array_equal(found, f(VALUES))


def best(x: Any) -> Any:
    at = x.argmax(axis=1)
    return x[np.arange(len(x)), at], (x.shape, at)


def ranked(x: Any) -> Any:
    at = np.argsort(-x, axis=1)[:, :2]
    return np.take_along_axis(x, at, axis=1).sum(axis=1), (x.shape, at)


def scattered(dy: Any, cache: Any) -> Any:
    shape, at = cache
    dx = np.zeros(shape)
    np.put_along_axis(dx, at.reshape(len(at), -1), dy[:, None], axis=1)
    return dx


@pytest.mark.parametrize("forward", [best, ranked])
def test_code_that_picks_is_judged_exactly(forward: Callable[..., Any]) -> None:
    """Random residues are ordered in one way at one trial, in another at the next."""
    (verdict,) = check((forward, scattered), [np.random.default_rng(0).normal(size=(3, 4))]).verdicts
    assert (verdict.ok, verdict.status) == (True, "exact")
