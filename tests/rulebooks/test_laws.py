"""Each law by itself: wherever its rule fires, both sides are equal, at every instance tried.

The instances are random sums of products with deltas. Both sides are evaluated in exact rationals.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pullback.evaluator import Interpreter, Rational, small_integers
from pullback.expression import (
    Access,
    Call,
    Expr,
    Index,
    Num,
    Partial,
    Size,
    Tensor,
    add,
    bracket,
    call,
    free,
    mul,
    num,
    power,
    total,
)
from pullback.rewriting import Rule
from pullback.rulebooks import delta
from pullback.rulebooks.algebra import COLLECT, POWERS
from pullback.rulebooks.differentiation import ACCESS_RULE, differentiate

N, M, H = Size("N"), Size("M"), mul(num(2), Size("N"))
i, j, k, l = Index("i", N), Index("j", N), Index("k", N), Index("l", M)
h, w = Index("h", H), Index("w", num(2))
u, v, W = Tensor("u", (N,)), Tensor("v", (M,)), Tensor("W", (N, N))
x, t = Tensor("x", (H,)), Tensor("t", (N,), M)
TENSORS = (u, v, W, x, t)
SIZES = {"N": 3, "M": 4}
INSTANCES = 200


def value(e: Expr, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    domain = Rational()
    raw = small_integers(TENSORS, SIZES, rng, largest=5)
    values = {s.name: raw[s.name] if s.is_integer else domain.integers(raw[s.name]) for s in TENSORS}
    order = sorted(free(e), key=lambda index: index.name)
    return Interpreter(domain, SIZES, values).element_values(e, order), tuple(index.name for index in order)


def same_value(a: Expr, b: Expr) -> bool:
    (left, axes), (right, other) = value(a), value(b)
    if axes != other:  # one side may no longer depend on an index
        every = sorted({*axes, *other})
        left, right = spread(left, axes, every), spread(right, other, every)
    return bool(np.all(left == right))


def spread(array: Any, axes: Any, target: Any) -> Any:
    return np.asarray(array)[tuple(slice(None) if name in axes else None for name in target)]


def factor(rng: random.Random, indices: list[Index]) -> Expr:
    a, b = rng.choice(indices), rng.choice(indices)
    small = [n for n in indices if n.extent is N] or [i]
    p, q = rng.choice(small), rng.choice(small)
    return rng.choice(
        [
            Access(u, (p,)),
            Access(W, (p, q)),
            Access(v, (l,)),
            bracket("==", a, b),
            bracket("==", p, q),
            bracket("<=", p, q),
            bracket("==", add(p, num(1)), q),
            bracket("==", add(mul(num(2), p), w), h),
            bracket("==", Call("floordiv", (h, num(2))), p),
            bracket("==", Call("mod", (h, num(2))), w),
            bracket("==", Access(t, (p,)), l),
            bracket("<", p, N),
            bracket("<=", num(0), p),
            Access(x, (h,)),
            add(Access(u, (p,)), bracket("==", p, q)),
            num(rng.choice((2, 3))),
        ]
    )


def instance(rng: random.Random) -> Expr:
    indices = [i, j, k, l, h, w]
    rng.shuffle(indices)
    body = mul(*(factor(rng, indices) for _ in range(rng.randint(1, 4))))
    if rng.random() < 0.4:
        body = add(body, mul(*(factor(rng, indices) for _ in range(rng.randint(1, 3)))))
    inside = [n for n in indices if n in free(body) or rng.random() < 0.2]
    summed = inside[: rng.randint(1, 3)]
    return total(summed, body)


RULES: list[Rule] = list(dict.fromkeys((*delta.DELTA, *delta.OPEN)))
# Rules that need brackets of a certain kind: they fire on these shapes, with random other factors.
SPECIAL: dict[str, Callable[[Expr], Expr]] = {
    "divide and remainder": lambda e: total((k, w), mul(bracket("==", h, add(mul(num(2), k), w)), e)),
    "unsplit": lambda e: total(
        (h,), mul(bracket("==", call("floordiv", h, num(2)), i), bracket("==", call("mod", h, num(2)), w), e)
    ),
    "split the range": lambda e: total(
        (h,), mul(Access(u, (call("floordiv", h, num(2)),)), bracket("==", call("mod", h, num(2)), w))
    ),
    "shift": lambda e: total((k,), mul(bracket("==", add(k, num(1)), j), Access(u, (k,)), e)),
    "collapse": lambda e: total((k,), mul(bracket("==", k, j), Access(u, (k,)), e)),
    "one value": lambda e: bracket("==", Index("o", num(1)), num(0)),
    "decide": lambda e: bracket("<", i, N),
    "pull out": lambda e: total((k,), mul(Access(u, (j,)), e)),
    "merge sums": lambda e: total(
        (j,), mul(Access(u, (j,)), total((k,), mul(bracket("==", j, k), Access(u, (k,)))))
    ),
    "distribute": lambda e: total((j,), mul(Access(u, (j,)), add(Access(u, (i,)), bracket("==", i, j)))),
    "split the sum": lambda e: total((j,), add(Access(u, (j,)), e)),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_of_the_delta_keeps_the_value(rule: Rule) -> None:
    rng = random.Random(rule.name)
    fired = 0
    for _ in range(8 * INSTANCES):
        e = instance(rng)
        if rng.random() < 0.4 and rule.name in SPECIAL:
            e = SPECIAL[rule.name](Access(u, (rng.choice((i, j)),)))
        applied = rule.apply(e)
        if applied is None:
            continue
        fired += 1
        if fired <= INSTANCES:
            assert same_value(e, applied[0]), (e, applied[0])
    assert fired or rule.name in ("one term", "one value left"), f"{rule.name} never fired"


@pytest.mark.parametrize("rule", [COLLECT, POWERS], ids=lambda rule: rule.name)
def test_a_rule_of_algebra_keeps_the_value(rule: Rule) -> None:
    rng = random.Random(3)
    atoms = [Access(u, (i,)), Access(W, (i, j)), power(Access(u, (i,)), num(2)), num(3), Access(u, (j,))]
    fired = 0
    for _ in range(INSTANCES * 2):
        chosen = [rng.choice(atoms) for _ in range(rng.randint(2, 4))]
        e = add(*(mul(num(rng.randint(1, 3)), c) for c in chosen)) if rule is COLLECT else mul(*chosen)
        applied = rule.apply(e)
        if applied is not None:
            fired += 1
            assert same_value(e, applied[0])
    assert fired >= INSTANCES // 2


def test_every_rule_states_its_law() -> None:
    for rule in (*RULES, COLLECT, POWERS, ACCESS_RULE):
        assert any(sign in rule.law for sign in "=Σ∂["), rule.name


def test_the_access_rule() -> None:
    applied = ACCESS_RULE.apply(Partial(Access(W, (i, k)), Access(W, (j, l))))
    assert applied is not None
    assert applied[0] is mul(bracket("==", i, j), bracket("==", k, l))
    other = ACCESS_RULE.apply(Partial(Access(u, (i,)), Access(W, (j, l))))
    assert other == (num(0), "")
    assert ACCESS_RULE.apply(Access(u, (i,))) is None


POLYNOMIALS = [
    mul(Access(u, (i,)), Access(u, (j,))),
    power(Access(u, (i,)), num(3)),
    total((i,), mul(Access(W, (i, j)), Access(u, (i,)))),
    add(mul(num(2), Access(u, (i,))), Access(u, (j,))),
    mul(Access(u, (i,)), total((j,), power(Access(u, (j,)), num(2)))),
    power(add(Access(u, (i,)), num(7)), num(-1)),
]


@pytest.mark.parametrize("e", POLYNOMIALS)
def test_differentiation_is_the_evaluators(e: Expr) -> None:
    by = Access(u, (k,))
    assert same_value(Partial(e, by), differentiate(e, by))


def test_what_holds_no_entry_has_derivative_zero() -> None:
    assert differentiate(Access(W, (i, j)), Access(u, (k,))) is num(0)
    assert differentiate(bracket("<", i, j), Access(u, (k,))) is num(0)
    assert isinstance(differentiate(num(3), Access(u, (k,))), Num)
