"""Proofs about index expressions are never wrong: each is held against every value of the indices."""

from __future__ import annotations

import random
from itertools import product

import pytest

from pullback.affine import decided, difference, divide, expression, polynomial, same, solve, within
from pullback.expression import (
    ONE,
    Access,
    Expr,
    Index,
    Size,
    Tensor,
    add,
    call,
    compare,
    free,
    mul,
    num,
    sizes_in,
    substitute,
)
from pullback.sizes import evaluate_size

N, M = Size("N"), Size("M")
i, j, k = Index("i", N), Index("j", M), Index("k", num(3))
h = Index("h", mul(num(2), N))
WORLDS = [{"N": n, "M": m} for n in (1, 2, 3) for m in (1, 2, 4)]
ATOMS: list[Expr] = [i, j, k, h, N, M, num(1), num(2), num(-1)]


def expressions(seed: int, count: int) -> list[Expr]:
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        terms = [
            mul(num(rng.choice((1, 1, 1, -1, 2, -2))), rng.choice(ATOMS)) for _ in range(rng.randint(1, 3))
        ]
        found.append(add(*terms))
    return found


def values(e: Expr, sizes: dict[str, int]) -> list[tuple[dict[Index, int], int]]:
    indices = sorted(free(e), key=lambda index: index.name)
    ranges = [range(evaluate_size(index.extent, sizes)) for index in indices]
    found = []
    for at in product(*ranges):
        bound = dict(zip(indices, at, strict=True))
        fixed = substitute(e, {index: num(n) for index, n in bound.items()})
        found.append((bound, evaluate_size(fixed, sizes)))
    return found


@pytest.mark.parametrize("extent", [N, M, num(3), mul(num(2), N), add(N, M, num(-1))])
def test_within_is_never_wrong(extent: Expr) -> None:
    proved = 0
    for e in expressions(1, 600):
        if within(e, extent):
            proved += 1
            for sizes in WORLDS:
                size = evaluate_size(extent, sizes)
                assert all(0 <= n < size for _, n in values(e, sizes)), e
    assert proved > 0


@pytest.mark.parametrize("relation", ["==", "!=", "<", "<=", ">", ">="])
def test_decided_is_never_wrong(relation: str) -> None:
    settled = 0
    lefts, rights = expressions(2, 500), expressions(3, 500)
    for left, right in zip(lefts, rights, strict=True):
        holds = decided(relation, left, right)
        if holds is None:
            continue
        settled += 1
        gap = add(left, mul(num(-1), right))
        for sizes in WORLDS:
            for _, n in values(gap, sizes):
                assert compare(relation, n, 0) is holds, (left, relation, right, sizes)
    assert settled > 10


def test_solve_is_never_wrong() -> None:
    solved = 0
    for left, right in zip(expressions(4, 600), expressions(5, 600), strict=True):
        found = solve(left, right, i)
        if found is None:
            continue
        solved += 1
        assert i not in free(found)
        assert same(substitute(left, {i: found}), substitute(right, {i: found}))
    assert solved > 20


@pytest.mark.parametrize(
    ("e", "size", "holds"),
    [
        (i, N, True),
        (i, M, False),
        (num(0), N, True),
        (num(1), N, False),
        (add(mul(num(2), i), num(1)), mul(num(2), N), True),
        (add(mul(num(2), i), num(2)), mul(num(2), N), False),
        (add(i, j), add(N, M, num(-1)), True),
        (add(i, num(-1)), N, False),
        (add(N, num(-1), mul(num(-1), i)), N, True),
        (call("mod", h, num(2)), num(2), True),
        (call("floordiv", h, num(2)), N, True),
        (Access(Tensor("t", (N,), M), (i,)), M, True),
        (Access(Tensor("t", (N,), M), (i,)), N, False),
    ],
)
def test_within(e: Expr, size: Expr, holds: bool) -> None:
    assert within(e, size) is holds


def test_polynomials() -> None:
    e = mul(add(i, num(1)), add(i, num(-1)))
    assert same(e, add(mul(i, i), num(-1)))
    assert not difference(e, expression(polynomial(e)))
    assert polynomial(add(i, mul(num(-1), i))) == {}
    assert divide(mul(num(2), N), N) is num(2)
    assert divide(add(N, ONE), N) is None
    assert divide(N, num(2)) is None
    assert sizes_in(expression(polynomial(mul(N, M)))) == {"N", "M"}
