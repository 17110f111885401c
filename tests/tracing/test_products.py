"""Products of arrays of numbers are the sums of products of their entries, in every domain."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from pullback.evaluator import HighPrecision, PrimeField, Rational
from pullback.evaluator.dual import Dual
from pullback.tracing.arrays import numbers
from pullback.tracing.numbers import Number, World

RNG = np.random.default_rng(0)


def entries(world: World, *shape: int) -> Any:
    """Dual numbers with one direction, every third entry a constant of the code."""
    found = np.empty(shape, dtype=object)
    domain: Any = world.domain
    for k, at in enumerate(np.ndindex(*shape)):
        value = domain.lift(domain.base.number(Fraction(int(RNG.integers(-9, 10)), 7)))
        moved = domain.add(value, domain.seeded(domain.base.number(Fraction(k)), 0))
        found[at] = 2 if k % 3 == 2 else Number(world, moved)
    return numbers(found)


def plain(x: Any) -> Any:
    return np.asarray(x).view(np.ndarray)


def one_by_one(subscripts: str, a: Any, b: Any) -> Any:
    """NumPy's own loop over the objects: one product, one sum at a time."""
    return np.einsum(subscripts, plain(a), plain(b))


CASES: list[tuple[str, tuple[int, ...], tuple[int, ...], str, Callable[[Any, Any], Any]]] = [
    ("matrices", (3, 4), (4, 5), "ik,kj->ij", lambda a, b: a @ b),
    ("a vector on the left", (4,), (4, 5), "k,kj->j", lambda a, b: a @ b),
    ("a vector on the right", (5, 4), (4,), "ik,k->i", lambda a, b: a @ b),
    ("two vectors", (16,), (16,), "k,k->", lambda a, b: a @ b),
    ("a batch", (2, 3, 4), (2, 4, 2), "bik,bkj->bij", lambda a, b: a @ b),
    ("a batch on the right", (3, 4), (2, 4, 2), "ik,bkj->bij", lambda a, b: a @ b),
    ("dot", (3, 4), (4, 2), "ik,kj->ij", np.dot),
    ("tensordot", (2, 3, 4), (4, 3, 2), "abc,cbd->ad", lambda a, b: np.tensordot(a, b, ((1, 2), (1, 0)))),
    ("tensordot of a count", (2, 3, 4), (3, 4, 2), "abc,bcd->ad", np.tensordot),
    ("einsum", (2, 3, 4), (2, 4), "nij,nj->in", lambda a, b: np.einsum("nij, nj -> in", a, b)),
    ("einsum without an arrow", (3, 4), (4, 3), "ij,jk->ik", lambda a, b: np.einsum("ij,jk", a, b)),
    ("einsum of a diagonal", (4, 4), (4, 5), "ii,ij->j", lambda a, b: np.einsum("ii,ij->j", a, b)),
    ("few products", (1, 2), (2, 2), "ik,kj->ij", lambda a, b: a @ b),
]


@pytest.mark.parametrize("base", [Rational(), HighPrecision(), PrimeField(3)], ids=lambda base: base.name)
@pytest.mark.parametrize(("name", "left", "right", "subscripts", "f"), CASES, ids=[c[0] for c in CASES])
def test_a_product_is_its_sum(
    base: Any, name: str, left: tuple[int, ...], right: tuple[int, ...], subscripts: str, f: Any
) -> None:
    world = World(Dual(base, 1))
    a, b = entries(world, *left), entries(world, *right)
    found, expected = plain(f(a, b)), np.asarray(one_by_one(subscripts, a, b))
    assert found.shape == expected.shape
    for mine, theirs in zip(found.flat, expected.flat, strict=True):
        for part in ("value", "tangent"):
            one, two = getattr(mine.value, part), getattr(theirs.value, part)
            assert not base.difference(one, two)[0].any()


@pytest.mark.parametrize("infinite", [False, True])
def test_logarithms_and_infinite_entries_are_added_one_by_one(infinite: bool) -> None:
    field = PrimeField(2)
    world = World(field)
    a = numbers(np.array([Number(world, field.number(Fraction(k + 2))) for k in range(16)], dtype=object))
    weights = numbers(np.full(16, 1, dtype=object))
    if infinite:
        masked = a.copy()
        masked[0] = -np.inf
        assert len(np.exp(masked) * weights) == 16
        assert isinstance(plain(np.exp(masked)) @ plain(weights), Number)
        return
    product = np.exp(np.log(a) @ weights)  # exp of a sum of logarithms is a product, exactly
    expected = field.number(Fraction(1))
    for k in range(16):
        expected = field.mul(expected, field.number(Fraction(k + 2)))
    assert not field.difference(product.value, expected)[0].any()


def test_an_exact_sum_keeps_small_terms() -> None:
    domain = HighPrecision()
    huge, tiny = domain.scalar(Fraction(10**60)), domain.scalar(Fraction(1, 10**20))
    left = np.array([huge, tiny, huge], dtype=object)
    right = np.array([domain.scalar(Fraction(x)) for x in (1, 1, -1)], dtype=object)
    assert domain.product_total(left, right, 1)[()] == tiny


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_an_exact_sum_passes_on_what_is_no_number(value: str) -> None:
    domain = HighPrecision()
    left = np.array([domain.context.mpf(value), domain.scalar(Fraction(1))], dtype=object)
    right = np.array([domain.scalar(Fraction(1))] * 2, dtype=object)
    found = domain.product_total(left, right, 1)[()]
    assert not domain.context.isfinite(found)
