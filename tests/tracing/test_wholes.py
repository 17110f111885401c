"""Entries of one value go together again as they stand, and infinite ones are left to themselves."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from pullback.evaluator import Float64, HighPrecision, PrimeField
from pullback.evaluator.dual import Dual
from pullback.tracing.arrays import numbers
from pullback.tracing.numbers import NEARLY, Number, World

BASES = [HighPrecision(), PrimeField(3)]


def entries(world: World, *shape: int) -> Any:
    """Dual numbers with one direction, all different."""
    domain: Any = world.domain
    found = np.empty(shape, dtype=object)
    for k, at in enumerate(np.ndindex(*shape)):
        value = domain.lift(domain.base.number(Fraction(k + 1, 7)))
        found[at] = Number(world, domain.add(value, domain.seeded(domain.base.number(Fraction(k)), 0)))
    return numbers(found)


REARRANGED: list[tuple[str, Callable[[Any], Any]]] = [
    ("as they stand", lambda x: x),
    ("another shape", lambda x: x.reshape(4, 2, 3)),
    ("transposed", lambda x: x.T),
    ("a part", lambda x: x[1:, ::2]),
    ("one twice", lambda x: x[[0, 0, 2]]),
    ("widened", lambda x: x[None, :, :] + np.zeros((2, 1, 1), dtype=int)),
    ("two wholes", lambda x: np.concatenate([x, x + 1])),
]


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.name)
@pytest.mark.parametrize("arranged", [row[1] for row in REARRANGED], ids=[row[0] for row in REARRANGED])
def test_entries_of_one_value_are_those_of_the_array(base: Any, arranged: Callable[[Any], Any]) -> None:
    world = World(Dual(base, 1))
    x = entries(world, 4, 6)
    found = 3 * arranged(x * x)
    expected = [3 * (v * v) for v in arranged(x).flat] if arranged is not REARRANGED[-1][1] else None
    if expected is None:
        squares = [v * v for v in x.flat]
        expected = [3 * v for v in (*squares, *(v + 1 for v in squares))]
    for mine, theirs in zip(found.flat, expected, strict=True):
        for part in ("value", "tangent"):
            one, two = getattr(mine.value, part), getattr(theirs.value, part)
            assert not base.difference(one, two)[0].any()


def test_what_is_written_into_an_array_is_what_goes_together() -> None:
    world = World(Dual(HighPrecision(), 1))
    x = entries(world, 3, 4)
    y = x * x
    y[1] = x[0]
    assert [float((v - w).plain()) for v, w in zip((y + 0 * x)[1], x[0], strict=True)] == [0.0] * 4


def test_entries_beside_infinite_ones() -> None:
    world = World(Dual(HighPrecision(), 1))
    x = entries(world, 3, 4)
    masked = x.copy()
    masked[0, 1] = masked[2, 2] = -np.inf
    found = np.exp(masked - x[:, :1])
    assert found[0, 1] == 0
    assert found[2, 2] == 0
    for at in ((0, 0), (1, 3), (2, 1)):
        expected = (x[at] - x[at[0], 0]).exp()
        assert abs(float((found[at] - expected).plain())) < 1e-40


@pytest.mark.parametrize(("off", "nearly"), [(1e-15, True), (1e-6, False), (0.0, False)])
def test_doubles_that_rounding_may_keep_from_a_tie(off: float, nearly: bool) -> None:
    world = World(Float64())
    one, other = world.number(0.3), Number(world, np.array(0.3 + off))
    assert (one < other) == (off > 0)
    assert (NEARLY in world.ties) == nearly
