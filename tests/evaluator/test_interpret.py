"""What expressions mean: index arithmetic, reads outside a tensor, order of elimination, limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback.errors import IndexProblem, LimitProblem, NameProblem, ShapeProblem
from pullback.evaluator import Float64, Interpreter, PrimeField, evaluate, random_inputs, small_integers
from pullback.expression import (
    ONE,
    ZERO,
    Access,
    Definition,
    Expr,
    Index,
    Num,
    Partial,
    Size,
    Tensor,
    add,
    bracket,
    call,
    mul,
    num,
    over,
    power,
    total,
)

N, M = Size("N"), Size("M")
i, j, k = Index("i", N), Index("j", M), Index("k", N)
x, y = Tensor("x", (N,)), Tensor("y", (M,))
A = Tensor("A", (N, M))
t = Tensor("t", (M,), N)
SIZES = {"N": 4, "M": 3}
VALUES: dict[str, Any] = {
    "x": np.array([1.0, 2.0, 3.0, 5.0]),
    "y": np.array([7.0, 11.0, 13.0]),
    "A": np.arange(12.0).reshape(4, 3),
    "t": np.array([3, 0, 3]),
}
X, Y, TT = VALUES["x"], VALUES["y"], VALUES["t"]


def value(e: Expr, over_: tuple[Index, ...], domain: Any = None) -> Any:
    return Interpreter(domain or Float64(), SIZES, VALUES).element_values(e, over_)


MEANINGS = [
    ("outer", mul(Access(x, (i,)), Access(y, (j,))), (i, j), np.outer(X, Y)),
    ("turned", mul(Access(x, (i,)), Access(y, (j,))), (j, i), np.outer(Y, X)),
    ("no index", Access(x, (i,)), (j, i), np.broadcast_to(X, (3, 4))),
    ("sum", total((i,), Access(x, (i,))), (), X.sum()),
    ("sum of what does not depend on it", total((i, j), Access(y, (j,))), (), 4 * Y.sum()),
    ("sum of a number", total((i,), num(3)), (), 12.0),
    ("diagonal", Access(Tensor("S", (N, N)), (i, i)), (i,), np.array([0.0, 5.0, 10.0, 15.0])),
    ("reversed", Access(x, (add(N, num(-1), mul(num(-1), i)),)), (i,), X[::-1]),
    ("mod", Access(x, (call("mod", add(i, num(3)), N),)), (i,), np.roll(X, 1)),
    ("floordiv", Access(x, (call("floordiv", i, num(2)),)), (i,), X[[0, 0, 1, 1]]),
    ("bracket in a slot", Access(x, (mul(i, bracket(">", i, ONE)),)), (i,), X[[0, 0, 2, 3]]),
    ("gather", Access(x, (Access(t, (j,)),)), (j,), X[TT]),
    ("one hot", bracket("==", Access(t, (j,)), i), (j, i), np.eye(4)[TT]),
    ("scatter", total((j,), mul(bracket("==", Access(t, (j,)), i), Access(y, (j,)))), (i,), [11, 0, 0, 20]),
    ("triangle", bracket("<=", j, i), (i, j), np.tri(4, 3)),
    ("size as a value", over(Access(x, (i,)), N), (i,), X / 4),
    ("index as a value", mul(i, Access(x, (i,))), (i,), np.arange(4) * X),
    ("power of an index", power(Access(x, (i,)), k), (i, k), X[:, None] ** np.arange(4)),
    ("value bracket", bracket(">", Access(x, (i,)), num(2)), (i,), [0, 0, 1, 1]),
    ("where", call("where", bracket(">", Access(x, (i,)), num(2)), ONE, Access(x, (i,))), (i,), [1, 2, 1, 1]),
    ("guarded quotient", mul(bracket("!=", i, ZERO), power(i, num(-1))), (i,), [0, 1, 0.5, 1 / 3]),
]


@pytest.mark.parametrize(
    ("e", "order", "expected"), [row[1:] for row in MEANINGS], ids=[r[0] for r in MEANINGS]
)
def test_meanings(e: Expr, order: tuple[Index, ...], expected: Any) -> None:
    values = {**VALUES, "S": np.arange(16.0).reshape(4, 4)}
    with np.errstate(all="ignore"):
        found = Interpreter(Float64(), SIZES, values).element_values(e, order)
    assert found.shape == tuple(SIZES["N"] if index.extent is N else SIZES["M"] for index in order)
    np.testing.assert_allclose(found, expected)


BEFORE = Access(x, (add(i, num(-1)),))
GUARD = bracket(">", i, ZERO)


def test_a_read_outside_counts_as_zero_under_a_bracket() -> None:
    np.testing.assert_allclose(value(mul(GUARD, BEFORE), (i,)), [0, 1, 2, 3])
    np.testing.assert_allclose(value(total((i,), mul(GUARD, add(BEFORE, ONE))), ()), 9)
    np.testing.assert_allclose(value(call("where", GUARD, BEFORE, ZERO), (i,)), [0, 1, 2, 3])


@pytest.mark.parametrize(
    "e",
    [
        BEFORE,
        add(mul(GUARD, BEFORE), BEFORE),
        mul(bracket(">=", i, ZERO), BEFORE),
        mul(bracket("==", i, ZERO), BEFORE),
        call("exp", BEFORE),
        call("where", GUARD, ZERO, BEFORE),
    ],
)
@pytest.mark.parametrize("summed", [False, True])
def test_an_unguarded_read_outside_is_refused(e: Expr, summed: bool) -> None:
    with pytest.raises(IndexProblem, match="outside a tensor"):
        value(total((i,), e) if summed else e, () if summed else (i,))


def test_an_integer_tensor_is_not_read_outside() -> None:
    with pytest.raises(IndexProblem, match="outside a tensor"):
        value(Access(x, (Access(t, (add(j, num(1)),)),)), (j,))


def test_derivatives_by_elements() -> None:
    product = mul(Access(x, (i,)), Access(x, (i,)), Access(y, (j,)))
    found = value(Partial(product, Access(x, (k,))), (i, j, k))
    np.testing.assert_allclose(found, np.einsum("i,j,ik->ijk", 2 * X, Y, np.eye(4)))
    diagonal = value(Partial(product, Access(x, (i,))), (i, j))
    np.testing.assert_allclose(diagonal, np.outer(2 * X, Y))
    second = Partial(Partial(product, Access(x, (i,))), Access(x, (k,)))
    np.testing.assert_allclose(value(second, (i, j, k)), np.einsum("j,ik->ijk", 2 * Y, np.eye(4)))
    nothing = value(Partial(Access(y, (j,)), Access(x, (i,))), (i, j))
    np.testing.assert_allclose(nothing, np.zeros((4, 3)))


def test_derivatives_go_through_the_definitions_that_are_known() -> None:
    z = Tensor("z", (N,))
    square = Definition(z, (i,), mul(Access(x, (i,)), Access(x, (i,))))
    e = Partial(mul(Access(z, (i,)), Access(x, (i,))), Access(x, (i,)))
    through = Interpreter(Float64(), SIZES, VALUES, [square]).element_values(e, (i,))
    np.testing.assert_allclose(through, 3 * X**2)
    held = Interpreter(Float64(), SIZES, {**VALUES, "z": X**2}).element_values(e, (i,))
    np.testing.assert_allclose(held, X**2)


def chain(count: int) -> tuple[Expr, tuple[Index, ...], list[Tensor]]:
    """A product of `count` matrices as one sum over all inner indices at once."""
    size = Size("K")
    bound = [Index(f"i{c}", size) for c in range(count + 1)]
    matrices = [Tensor(f"M{c}", (size, size)) for c in range(count)]
    factors = [Access(m, (bound[c], bound[c + 1])) for c, m in enumerate(matrices)]
    return total(bound[1:-1], mul(*factors)), (bound[0], bound[-1]), matrices


@pytest.mark.parametrize("domain", [Float64(), PrimeField(2)], ids=lambda domain: domain.name)
def test_a_large_product_is_eliminated_pair_by_pair(domain: Any) -> None:
    e, order, matrices = chain(9)
    values = random_inputs(matrices, {"K": 6}, domain, np.random.default_rng(0))
    found = Interpreter(domain, {"K": 6}, values).element_values(e, order)
    expected = values["M0"]
    for matrix in matrices[1:]:
        expected = domain.matmul(expected, values[matrix.name])
    assert not domain.difference(found, expected)[0].any()


def test_brackets_take_part_in_elimination() -> None:
    e, order, matrices = chain(9)
    assert isinstance(e.body, type(mul(Access(x, (i,)), Access(y, (j,)))))  # type: ignore[attr-defined]
    inner = e.indices  # type: ignore[attr-defined]
    masked = total(inner, mul(bracket("<=", inner[0], inner[1]), bracket("==", inner[3], inner[5]), e.body))  # type: ignore[attr-defined]
    sizes = {"K": 3}
    values = random_inputs(matrices, sizes, Float64(), np.random.default_rng(0))
    with_order = Interpreter(Float64(), {"K": 3}, values).element_values(masked, order)
    m = [values[f"M{c}"] for c in range(9)]
    letters = "abcdefghij"
    upper, same = np.triu(np.ones((3, 3))), np.eye(3)
    factors = ",".join(letters[c : c + 2] for c in range(9))
    expected = np.einsum(f"{factors},bc,eg->aj", *m, upper, same, optimize=True)
    np.testing.assert_allclose(with_order, expected)


def test_moderate_sizes_in_float64() -> None:
    sizes = {"N": 50, "M": 50}
    B = Tensor("B", (M, N))
    product = total((j,), mul(Access(A, (i, j)), Access(B, (j, k))))
    C = Tensor("C", (N, N))
    values = random_inputs([A, B], sizes, Float64(), np.random.default_rng(0))
    found = evaluate([Definition(C, (i, k), product)], values, sizes, Float64())["C"]
    np.testing.assert_allclose(found, values["A"] @ values["B"])


HUGE = [Index(f"h{c}", num(10**6)) for c in range(4)]


@pytest.mark.parametrize(
    ("e", "order"),
    [
        (mul(*HUGE), HUGE),
        (add(*HUGE), HUGE),
        (bracket("<", HUGE[0], HUGE[1]), HUGE[:2]),
        (power(Access(x, (i,)), HUGE[0]), (i, HUGE[0])),
        (ONE, HUGE),
        (Index("h", num(10**12)), (Index("h", num(10**12)),)),
        (total(HUGE, call("cos", add(*HUGE))), ()),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_allocated(e: Expr, order: Any) -> None:
    with pytest.raises(LimitProblem, match=r"inside a check|exponents"):
        value(e, tuple(order))


@pytest.mark.parametrize(
    ("e", "order", "kind", "message"),
    [
        (Access(Tensor("q", (N,)), (i,)), (i,), NameProblem, "q has neither a value nor a definition"),
        (Size("Q"), (), ShapeProblem, "the size Q is not known"),
        (Access(x, (i,)), (), IndexProblem, "the index i is not bound"),
        (Access(x, (Access(y, (j,)),)), (j,), IndexProblem, "must be integer arithmetic"),
        (Access(x, (Num(num("0.5").value),)), (), IndexProblem, "must be integer arithmetic"),
    ],
)
def test_errors(e: Expr, order: tuple[Index, ...], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        value(e, order)


def test_a_definition_that_reads_itself_is_refused() -> None:
    loop = [Definition(x, (i,), Access(x, (i,)))]
    with pytest.raises(NameProblem, match="reads itself"):
        evaluate(loop, {}, SIZES, Float64())


FACTS = {
    "positive": lambda a: (a > 0).all(),
    "nonzero": lambda a: (a != 0).all(),
    "symmetric": lambda a: (a == a.T).all(),
    "lower_triangular": lambda a: (np.triu(a, 1) == 0).all(),
    "invertible": lambda a: abs(np.linalg.det(a)) > 1e-9,
    "spd": lambda a: (np.linalg.eigvalsh(a) > 0).all() and np.allclose(a, a.T),
}


@pytest.mark.parametrize("fact", FACTS)
def test_draws_respect_what_is_declared(fact: str) -> None:
    tensor = Tensor("S", (N, N), None, frozenset((fact,)))
    rng = np.random.default_rng(1)
    for _ in range(20):
        floats = random_inputs([tensor], SIZES, Float64(), rng)["S"]
        small = small_integers([tensor], SIZES, rng)["S"]
        assert FACTS[fact](floats)
        assert FACTS[fact](small.astype(float))
        assert small.dtype == np.int64


def test_integer_tensors_stay_in_their_range() -> None:
    drawn = random_inputs([t], SIZES, PrimeField(3), np.random.default_rng(2))["t"]
    assert drawn.shape == (3,)
    assert ((drawn >= 0) & (drawn < 4)).all()
