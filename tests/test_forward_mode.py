"""Forward mode: what is derived, line by line, and what is refused."""

from __future__ import annotations

import pytest

from pullback.errors import DomainProblem, NameProblem, PullbackError, ShapeProblem
from pullback.expression import Access, Index, Size, Sum, Tensor, bracket, free, mul, num, power, total, walk
from pullback.forward_mode import derive_hessian, derive_hvp, derive_jacobian, derive_jvp
from pullback.forwarded import Forwarded, result_program
from pullback.notation import show_equation
from pullback.program import Program
from pullback.reading import read_program
from pullback.rewriting import MatrixLine
from pullback.rulebooks.brackets import once, unshadowed


def program(text: str, shapes: dict[str, str], **more: object) -> Program:
    return read_program(text, shapes=shapes, **more)  # type: ignore[arg-type]


def printed(forwarded: Forwarded) -> list[str]:
    return [str(line) for line in result_program(forwarded)]


LINEAR = ("Y = X @ W", {"X": "N D", "W": "D M"})
SOFTMAX = ("P = softmax(x, axis=0)", {"x": "N"})
QUADRATIC = ("f = x @ A @ x", {"x": "N", "A": "N N"})
LOGISTIC = ("z = X @ w; L = sum(softplus(z) - t * z)", {"X": "N D", "w": "D", "t": "N"})
LEAST = ("R = A @ X - B; L = 0.5 * sum(R * R)", {"A": "K N", "X": "N M", "B": "K M"})

JACOBIANS = [
    (LINEAR, "X", ["J[n,m,i,j] = (n == i) * W[j,m]"]),
    (LINEAR, "W", ["J[n,m,i,j] = X[n,i] * (m == j)"]),
    (SOFTMAX, "x", ["J = diag(P) - outer(P, P)"]),
    (("y = A @ x", {"A": "M N", "x": "N"}), "x", ["J = A"]),
    (("y = exp(x)", {"x": "N"}), "x", ["J = diag(y)"]),
    (("y = relu(W @ x)", {"W": "M N", "x": "N"}), "x", ["J = diag(y > 0) @ W"]),
    (("y = x + 1", {"x": "N"}), "x", ["J = eye(N)"]),
    (("s = sum(x)", {"x": "N"}), "x", ["J = ones([N])"]),
    (("y = 2 * a", {"x": "N", "a": "N"}), "x", ["J = zeros([N, N])"]),
]


@pytest.mark.parametrize(("source", "x", "expected"), JACOBIANS)
def test_a_jacobian_keeps_its_structure(
    source: tuple[str, dict[str, str]], x: str, expected: list[str]
) -> None:
    assert printed(derive_jacobian(program(*source), x)) == expected


HESSIANS = [
    (QUADRATIC, ("x",), ["H = A + A.T"]),
    (("f = x @ B @ y", {"x": "N", "y": "M", "B": "N M"}), ("x", "y"), ["H = B"]),
    (("f = x @ B @ y", {"x": "N", "y": "M", "B": "N M"}), ("y", "x"), ["H = B.T"]),
    (("f = norm(x)", {"x": "N"}), ("x",), ["H = eye(N) / f - outer(x, x) / f ** 3"]),
    (LOGISTIC, ("w",), ["s = sigmoid(z)", "H = X.T @ diag(s * (1 - s)) @ X"]),
    (("f = b @ x", {"x": "N", "b": "N"}), ("x",), ["H = zeros([N, N])"]),
    (
        ("f = logsumexp(A @ x + b)", {"A": "M N", "x": "N", "b": "M"}),
        ("x",),
        ["P = softmax(A @ x + b)", "H = A.T @ (diag(P) - outer(P, P)) @ A"],
    ),
    (
        ("f = a * logsumexp(A @ x) + c / 2 * sum(x**2)", {"A": "M N", "x": "N", "a": "", "c": ""}),
        ("x",),
        ["P = softmax(A @ x)", "H = c * eye(N) + a * A.T @ (diag(P) - outer(P, P)) @ A"],
    ),
    (
        ("f = sum(tanh(A @ x))", {"A": "M N", "x": "N"}),
        ("x",),
        ["t = tanh(A @ x)", "H = -2 * A.T @ diag(t * (1 - t ** 2)) @ A"],
    ),
    (
        ("f = sum((x @ W)**2 * v)", {"x": "N", "W": "N K", "v": "K"}),
        ("x",),
        ["H = 2 * W @ diag(v) @ W.T"],
    ),
]


def test_a_sum_that_several_terms_read_is_named_once() -> None:
    found = derive_hessian(program("f = y @ inv(X) @ y", {"X": "N N", "y": "N"}, assume={"X": "spd"}), "X")
    assert printed(found) == [
        "V = inv(X)",
        "H1 = V @ y",
        "H[l,p,q,r] = H1[p] * V[r,l] * H1[q] + H1[l] * V[p,q] * H1[r]",
    ]


@pytest.mark.parametrize(("source", "pair", "expected"), HESSIANS)
def test_a_hessian_keeps_its_structure(
    source: tuple[str, dict[str, str]], pair: tuple[str, ...], expected: list[str]
) -> None:
    assert printed(derive_hessian(program(*source), *pair)) == expected


def test_a_jacobian_of_an_intermediate() -> None:
    found = derive_jacobian(program(*LOGISTIC), "w", "z")
    assert printed(found) == ["J = X"]
    assert found.derived.program.output.name == "z"


def test_a_tangent_is_a_line_for_each_definition() -> None:
    shapes = {"X": "N D", "W": "D M", "V": "D M"}
    found = derive_jvp(program("Z = X @ W; Y = tanh(Z)", shapes), {"W": "V"})
    assert printed(found) in (["tY = X @ V * (1 - Y ** 2)"], ["tY = (1 - Y ** 2) * (X @ V)"])
    assert [result.key for result in found.results] == ["Y"]


def test_a_hessian_vector_product_of_several_inputs() -> None:
    shapes = {"x": "N", "y": "M", "B": "N M", "u": "N", "v": "M"}
    found = derive_hvp(program("f = x @ B @ y", shapes), {"x": "u", "y": "v"})
    assert {r.key: str(result_program(found, [r.tensor.name])[-1]) for r in found.results} == {
        "x": "tdx = B @ v",
        "y": "tdy = u @ B",
    } or [r.key for r in found.results] == ["x", "y"]


def test_the_steps_begin_with_the_definition_and_end_with_the_matrix_form() -> None:
    found = derive_jacobian(program(*SOFTMAX), "x")
    (section,) = found.derived.sections
    rules = [step.rule for step in section.steps]
    assert rules[0] == "definition" and "chain rule" in rules and "matrix form" in rules
    chain = next(step for step in section.steps if step.rule == "chain rule")
    assert not isinstance(chain.after, MatrixLine)
    assert "∂P" in show_equation(chain.after)  # type: ignore[arg-type]


def test_entries_of_a_symmetric_matrix_are_independent() -> None:
    text = "f = trace(A @ A)"
    plain = derive_hessian(program(text, {"A": "N N"}), "A")
    symmetric = derive_hessian(program(text, {"A": "N N"}, assume={"A": "symmetric"}), "A")
    assert printed(plain) == printed(symmetric)
    assert not plain.notes
    assert "independent" in symmetric.notes[0]


def test_a_kink_is_named() -> None:
    found = derive_jacobian(program("y = relu(x)", {"x": "N"}), "x")
    assert found.notes == ("relu in y: x = 0: derivative 0",)


REFUSED = [
    (lambda p: derive_jacobian(p, "Q"), NameProblem, "not an input"),
    (lambda p: derive_jacobian(p, "x", "Q"), NameProblem, "not defined"),
    (lambda p: derive_jacobian(p, "t"), DomainProblem, "integers"),
    (lambda p: derive_hessian(p, "x"), DomainProblem, "of a scalar"),
    (lambda p: derive_hvp(p, {"x": "v"}), DomainProblem, "of a scalar"),
    (lambda p: derive_jvp(p, {"x": "Q"}), NameProblem, "holds no direction"),
    (lambda p: derive_jvp(p, {"x": "w"}), ShapeProblem, "the direction w"),
    (lambda p: derive_jvp(p, {}), NameProblem, "no direction"),
]


@pytest.mark.parametrize(("ask", "kind", "words"), REFUSED)
def test_what_has_no_meaning_is_refused(ask: object, kind: type[PullbackError], words: str) -> None:
    read = read_program(
        "y = take(x, t) * 2", shapes={"x": "N", "v": "N", "w": "K"}, integers={"t": ("B", "N")}
    )
    with pytest.raises(kind, match=words) as caught:
        ask(read)  # type: ignore[operator]
    assert caught.value.hint


# ---- brackets and bound indices -------------------------------------------------------------

N = Size("N")
ROW, J = Index("i", N), Index("j", N)
X = Tensor("x", (N,))

ONCE = [
    (mul(bracket("<", ROW, J), bracket("<", ROW, J)), bracket("<", ROW, J)),
    (mul(bracket("<", ROW, J), bracket(">", J, ROW)), bracket("<", ROW, J)),
    (mul(bracket("<", ROW, J), bracket("<=", ROW, J)), None),
    (mul(Access(X, (ROW,)), Access(X, (J,))), None),
]


@pytest.mark.parametrize(("product", "expected"), ONCE)
def test_a_bracket_stands_once(product: object, expected: object) -> None:
    found = once(product)  # type: ignore[arg-type]
    assert (None if found is None else found[0]) is expected
    assert power(bracket("==", ROW, J), num(2)) is bracket("==", ROW, J)


def test_no_sum_binds_an_index_that_has_a_meaning_around_it() -> None:
    inner = mul(num(2), Sum((J,), Access(X, (J,))), Access(X, (J,)))
    outer = total((J,), inner)
    new = unshadowed(outer)
    assert isinstance(new, Sum)
    bound = [node.indices for node in _sums(new)]
    names = [index.name for indices in bound for index in indices]
    assert len(set(names)) == len(names) == 2
    assert not free(new)


def _sums(e: Sum) -> list[Sum]:
    return [node for node in walk(e) if isinstance(node, Sum)]
