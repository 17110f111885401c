"""Right gradients and equations are told from wrong ones, and what is not decided is said so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pullback.errors import ShapeProblem
from pullback.evaluator import Checker, Outcome, check_equation, check_gradient, check_gradients
from pullback.expression import (
    ONE,
    Access,
    Definition,
    Equation,
    Expr,
    Index,
    Partial,
    Size,
    Tensor,
    add,
    bracket,
    call,
    mul,
    num,
    power,
    total,
)
from pullback.program import Program, upstream_of
from pullback.reading import read_lines, read_program


def judged(program: str, shapes: dict[str, str], claims: str, wrt: str, **more: Any) -> Outcome:
    """The outcome for lines whose last one is the claimed gradient by `wrt`."""
    forward = read_program(program, shapes=shapes, **more)
    known = dict(forward.by_name)
    upstream = upstream_of(forward.output) if forward.output.rank else None
    if upstream is not None:
        known[upstream.name] = upstream
    target = Tensor(f"d{wrt}", known[wrt].shape)
    lines = read_lines(claims, known, sizes=forward.sizes, targets={target.name: target})
    return check_gradient(forward, upstream, wrt, lines)


LINEAR = ("Y = X @ W", {"X": "N D", "W": "D M"})
SQUARE = ("Y = X @ W", {"X": "N N", "W": "N N"})
POWER = {"X": "N D"}
RIGHT = [
    (*LINEAR, "X.T @ dY", "W"),
    (*LINEAR, "dW[i,j] = X[n,i] * dY[n,j]", "W"),
    (*SQUARE, "dY @ W.T", "X"),
    ("L = mean(X)", POWER, "ones([N, D]) / (N * D)", "X"),
    ("P = softmax(X, axis=1)", POWER, "P * (dP - sum(P * dP, axis=1, keepdims=True))", "X"),
    ("Y = log_softmax(X, axis=1)", POWER, "dY - exp(Y) * sum(dY, axis=1, keepdims=True)", "X"),
    ("Y = tanh(X)", POWER, "dY * (1 - Y**2)", "X"),
    ("Y = sigmoid(X)", POWER, "dY * Y * (1 - Y)", "X"),
    ("Y = softplus(X)", POWER, "dY * sigmoid(X)", "X"),
    ("Y = log(sigmoid(X))", POWER, "dY * sigmoid(-X)", "X"),
    ("Y = gelu(X)", POWER, "dY * ((1 + erf(X / sqrt(2))) / 2 + X * exp(-X**2 / 2) / sqrt(2 * pi))", "X"),
    ("Y = sin(X)", POWER, "dY * cos(X)", "X"),
    ("L = norm(X)", POWER, "X / L", "X"),
    ("L = logdet(X)", {"X": "N N"}, "inv(X).T", "X"),
    ("Y = inv(X)", {"X": "N N"}, "-Y.T @ dY @ Y.T", "X"),
    ("L = max(X)", {"X": "N"}, "(X == L) / sum(X == L)", "X"),
    ("Y = abs(X)", POWER, "dY * sign(X)", "X"),
    ("Y = relu(X)", POWER, "dY * (X > 0)", "X"),
    ("Y = X / sqrt(mean(X**2, axis=1, keepdims=True) + 0.00001)", POWER,
     "r = 1 / sqrt(mean(X**2, axis=1, keepdims=True) + 0.00001)\n"
     "r * dY - X * r**3 * mean(X * dY, axis=1, keepdims=True)", "X"),
]  # fmt: skip


@pytest.mark.parametrize(("program", "shapes", "claim", "wrt"), RIGHT)
def test_right_gradients(program: str, shapes: dict[str, str], claim: str, wrt: str) -> None:
    outcome = judged(program, shapes, claim, wrt)
    assert outcome.status == "equal"
    assert not outcome.at_tie
    assert outcome.error_bound < 1e-18


RMS = "Y = X / sqrt(mean(X**2, axis=1, keepdims=True) + 0.1)"
WRONG = [
    ("a transpose is missing", *SQUARE, "X @ dY", "W"),
    ("the order is swapped", *SQUARE, "dY @ X.T", "W"),
    ("a small factor", *LINEAR, "1.000000001 * X.T @ dY", "W"),
    ("1/N where N = 1 hides it", "L = mean(X)", {"X": "N"}, "ones([N])", "X"),
    ("N - 1 for N", "L = sum(X**2) / N", {"X": "N"}, "2 * X / (N + 1)", "X"),
    ("wrong at N = 1 alone", "L = sum(X)", {"X": "N"}, "dX[n] = 1 - (N == 1)", "X"),
    ("the epsilon stands outside the root", RMS, POWER,
     "r = 1 / (sqrt(mean(X**2, axis=1, keepdims=True)) + 0.1)\n"
     "r * dY - X * r**3 * mean(X * dY, axis=1, keepdims=True)", "X"),
    ("a term is dropped", RMS, POWER, "dY / sqrt(mean(X**2, axis=1, keepdims=True) + 0.1)", "X"),
    ("a sign", "Y = cos(X)", POWER, "dY * sin(X)", "X"),
    ("the sum over the batch is missing", "Y = X @ W", {"X": "N D", "W": "D D"}, "dY.T @ X", "W"),
    ("softmax without its sum", "P = softmax(X, axis=1)", POWER, "P * dP", "X"),
    ("softmax over the other axis", "P = softmax(X, axis=1)", {"X": "N N"},
     "P * (dP - sum(P * dP, axis=0, keepdims=True))", "X"),
    ("a detached maximum", "L = max(X)", {"X": "N"}, "X == L + 1", "X"),
    ("relu leaks", "Y = relu(X)", POWER, "dY * (X > 0) + 0.01 * dY * (X < 0)", "X"),
    ("e is not 4", "L = sum(exp(1) * X)", POWER, "4 * ones([N, D])", "X"),
    ("a branch that is seldom taken", "Y = minimum(maximum(X, 0), 1)", POWER, "dY * (X > 0)", "X"),
    ("a threshold far from one", "Y = where(X > 100, X**2, X)", POWER, "dY", "X"),
    ("exact gelu for the tanh one", "Y = X * sigmoid(1.702 * X)", POWER, "dY * sigmoid(1.702 * X)", "X"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("program", "shapes", "claim", "wrt"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_wrong_gradients(program: str, shapes: dict[str, str], claim: str, wrt: str) -> None:
    outcome = judged(program, shapes, claim, wrt)
    assert outcome.status == "different"
    assert outcome.where is not None


TIES = [
    ("Y = relu(X)", "dY * (X >= 0)"),
    ("Y = abs(X)", "dY * ((X >= 0) - (X < 0))"),
    ("Y = maximum(X, 1)", "dY * (X > 1)"),
    ("Y = minimum(X, 1)", "dY * (X <= 1)"),
]


@pytest.mark.parametrize(("program", "claim"), TIES)
def test_what_is_wrong_at_ties_alone_is_said_apart(program: str, claim: str) -> None:
    outcome = judged(program, POWER, claim, "X")
    assert outcome.status == "equal"
    assert outcome.at_tie
    assert outcome.where is not None


def test_sizes_are_distinct_and_one_and_reach_behind_literals() -> None:
    outcome = judged(*LINEAR, "X.T @ dY", "W")
    first, second, *_, lowest = outcome.sizes
    assert len(set(first.values())) == 3 == len(set(second.values()))
    assert min(first.values()) >= 2 <= min(second.values())
    assert first != second
    assert set(lowest.values()) == {1}
    roll = "Y[n] = X[(n+3) % N]"
    for claim, status in (("dX[n] = dY[(n-3) % N]", "equal"), ("dX[n] = dY[(n+3) % N]", "different")):
        assert judged(roll, {"X": "N"}, claim, "X", ranges={"n": "N"}).status == status


def test_a_size_at_which_the_program_is_not_legal_is_passed_over() -> None:
    second = "L = sum(X[:, 1]**2)"  # not legal where D = 1
    outcome = judged(second, POWER, "dX[n,d] = 2 * X[n,d] * (d == 1)", "X")
    assert outcome.status == "equal"
    assert all(sizes["D"] >= 2 for sizes in outcome.sizes)
    assert judged(second, POWER, "dX[n,d] = 2 * X[n,d] * (d == 0)", "X").status == "different"


def test_derived_sizes_are_at_least_two_somewhere() -> None:
    shapes = {"X": "H", "K": "R"}
    forward = read_program("Y[p] = X[2*p+r] * K[r]", shapes=shapes, ranges={"p": "(H-R)//2+1"})
    inputs = [*forward.inputs, upstream_of(forward.output)]
    for world in Checker(forward.definitions, inputs).worlds()[:2]:
        assert (world.sizes["H"] - world.sizes["R"]) // 2 + 1 >= 2


def test_where_no_law_helps_the_numbers_are_compared() -> None:
    outcome = judged("L = sum(sin(2 * X))", POWER, "2 * cos(X)**2 - 2 * sin(X)**2", "X")
    assert outcome.status == "undecided"
    assert outcome.numerical
    assert "exact domain" in outcome.reason
    wrong = judged("L = sum(sin(2 * X))", POWER, "2 * cos(X)**2 + 2 * sin(X)**2", "X")
    assert wrong.status == "different"


def test_a_gradient_of_another_shape_is_refused() -> None:
    forward = read_program("L = sum(X)", shapes={"X": "N D"})
    (n, d) = Index("n", Size("N")), Index("d", Size("D"))
    turned = Definition(Tensor("dX", (Size("D"), Size("N"))), (d, n), ONE)
    with pytest.raises(ShapeProblem, match="has the shape"):
        check_gradient(forward, None, "X", [turned])


# ---- lines of a derivation

N, D, M = Size("N"), Size("D"), Size("M")
n, d, m, e, f = Index("n", N), Index("d", D), Index("m", M), Index("e", D), Index("f", M)
X, W, Y = Tensor("X", (N, D)), Tensor("W", (D, M)), Tensor("Y", (N, M))
DY = upstream_of(Y)
PRODUCT = Definition(Y, (n, m), total((d,), mul(Access(X, (n, d)), Access(W, (d, m)))))
UP, LOCAL = Access(DY, (n, m)), Partial(Access(Y, (n, m)), Access(W, (e, f)))
CHAIN = total((n, m), mul(UP, LOCAL))
DELTAS = total((n, m, d), mul(UP, Access(X, (n, d)), bracket("==", d, e), bracket("==", m, f)))
RESULT = total((n,), mul(Access(X, (n, e)), Access(DY, (n, f))))
LINES: list[tuple[Expr, Expr, str]] = [
    (CHAIN, DELTAS, "equal"),
    (DELTAS, RESULT, "equal"),
    (CHAIN, RESULT, "equal"),
    (LOCAL, mul(Access(X, (n, e)), bracket("==", m, f)), "equal"),
    (CHAIN, mul(num(2), RESULT), "different"),
    (LOCAL, mul(Access(X, (n, e)), bracket("==", n, f)), "different"),
    (LOCAL, Access(X, (n, e)), "different"),
]


@pytest.mark.parametrize(("left", "right", "status"), LINES)
def test_lines_of_a_derivation(left: Expr, right: Expr, status: str) -> None:
    assert check_equation(Equation(left, right), [PRODUCT], [X, W, DY]).status == status


def test_a_checker_serves_every_line() -> None:
    checker = Checker([PRODUCT], [X, W, DY])
    assert [checker.equation(Equation(a, b)).status for a, b, _ in LINES] == [row[2] for row in LINES]


def test_values_that_stand_for_themselves_are_held_fixed() -> None:
    P, S = Tensor("P", (N,)), Tensor("S", (N,))
    x = Tensor("x", (N,))
    exponential = Definition(P, (n,), call("exp", Access(x, (n,))))
    square = Definition(S, (n,), mul(Access(P, (n,)), Access(x, (n,))))
    k = Index("k", N)
    line = Partial(Access(S, (n,)), Access(x, (k,)))
    held = mul(Access(P, (n,)), bracket("==", n, k))
    whole = mul(Access(P, (n,)), add(ONE, Access(x, (n,))), bracket("==", n, k))
    assert check_equation(Equation(line, held), [square], [P, x]).status == "equal"
    assert check_equation(Equation(line, whole), [exponential, square], [x]).status == "equal"
    assert check_equation(Equation(line, held), [exponential, square], [x]).status == "different"


def test_second_derivatives() -> None:
    x, q = Tensor("x", (D,)), Tensor("q", ())
    A = Tensor("A", (D, D))
    j = Index("j", D)
    form = Definition(q, (), total((d, j), mul(Access(x, (d,)), Access(A, (d, j)), Access(x, (j,)))))
    k = Index("k", D)
    hessian = Partial(Partial(Access(q, ()), Access(x, (e,))), Access(x, (k,)))
    both_halves = add(Access(A, (e, k)), Access(A, (k, e)))
    assert check_equation(Equation(hessian, both_halves), [form], [x, A]).status == "equal"
    doubled = mul(num(2), Access(A, (e, k)))
    assert check_equation(Equation(hessian, doubled), [form], [x, A]).status == "different"
    symmetric = Tensor("A", (D, D), None, frozenset(("symmetric",)))
    declared = Definition(
        q, (), total((d, j), mul(Access(x, (d,)), Access(symmetric, (d, j)), Access(x, (j,))))
    )
    line = Equation(hessian, mul(num(2), Access(symmetric, (e, k))))
    assert check_equation(line, [declared], [x, symmetric]).status == "equal"


# ---- all gradients at once


def layers(count: int, slip: int | None = None) -> tuple[Program, Tensor, list[Definition], dict[str, str]]:
    """A chain H_k = tanh(H_{k-1} W_k) with its gradients; a factor is wrong in layer `slip`."""
    previous = Tensor("X", (N, D))
    inputs, forward, backward = [previous], [], []
    row, column, inner = Index("n", N), Index("d", D), Index("e", D)
    for k in range(count):
        weights, output = Tensor(f"W{k}", (D, D)), Tensor(f"H{k}", (N, D))
        product = total((inner,), mul(Access(previous, (row, inner)), Access(weights, (inner, column))))
        forward.append(Definition(output, (row, column), call("tanh", product)))
        inputs.append(weights)
        previous = output
    upstream = gradient = upstream_of(previous)
    for k in reversed(range(count)):
        output, source = forward[k].tensor, inputs[0] if k == 0 else forward[k - 1].tensor
        inside = Tensor(f"dZ{k}", (N, D))
        local = add(ONE, mul(num(-2 if k == slip else -1), power(Access(output, (row, column)), num(2))))
        backward.append(Definition(inside, (row, column), mul(Access(gradient, (row, column)), local)))
        weights_gradient = total((row,), mul(Access(source, (row, column)), Access(inside, (row, inner))))
        backward.append(Definition(Tensor(f"dW{k}", (D, D)), (column, inner), weights_gradient))
        gradient = Tensor("dX" if k == 0 else f"dH{k - 1}", (N, D))
        through = total((column,), mul(Access(inside, (row, column)), Access(inputs[k + 1], (inner, column))))
        backward.append(Definition(gradient, (row, inner), through))
    return (
        Program(tuple(inputs), tuple(forward)),
        upstream,
        backward,
        {f"dW{k}": f"W{k}" for k in range(count)} | {"dX": "X"},
    )


@pytest.mark.parametrize(("slip", "status"), [(None, "equal"), (0, "different"), (4, "different")])
def test_all_gradients_at_once(slip: int | None, status: str) -> None:
    program, upstream, backward, names = layers(5, slip)
    assert check_gradients(program, upstream, names, backward).status == status


def test_the_order_of_tensors_is_free() -> None:
    outcome: Sequence[Outcome] = [
        judged("Y = X * a", {"X": "N D", "a": "D"}, claim, "a")
        for claim in ("sum(X * dY, axis=0)", "da[j] = X[i,j] * dY[i,j]")
    ]
    assert [o.status for o in outcome] == ["equal", "equal"]
