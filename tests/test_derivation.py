"""What is differentiated by what, in which order, and what is refused."""

from __future__ import annotations

import pytest

from pullback.api import derive
from pullback.errors import DomainProblem, NameProblem

CHAIN = "H = X @ W\nA = tanh(H)\nL = sum(A * U)"
SHAPES = {"X": "N D", "W": "D M", "U": "N M"}


def sections(source: str, shapes: dict[str, str], **options: object) -> list[tuple[str, str]]:
    derived = derive(source, shapes, **options).derived  # type: ignore[arg-type]
    return [(s.definition.tensor.name, s.operand.name) for s in derived.sections]


def test_the_sections_follow_the_backward_pass() -> None:
    found = sections(CHAIN, SHAPES)
    assert [output for output, _ in found] == ["L", "L", "A", "H", "H"]
    assert set(found) == {("L", "A"), ("L", "U"), ("A", "H"), ("H", "X"), ("H", "W")}


def test_only_what_is_asked_for_is_derived() -> None:
    assert sections(CHAIN, SHAPES, wrt=["U"]) == [("L", "U")]
    assert list(derive(CHAIN, SHAPES, wrt=["W", "X"]).gradients) == ["W", "X"]


def test_a_definition_that_the_output_does_not_read_is_passed_over() -> None:
    found = sections("H = X * X\nY = X + X", {"X": "N"})
    assert ("H", "X") not in found
    assert ("Y", "X") in found


def test_shares_of_several_paths_add_up() -> None:
    derivation = derive("H = X * X\nY = H + X", {"X": "N"})
    assert "sum over paths" in [step.rule for step in derivation.steps]
    assert str(derivation.gradients["X"]).startswith("dX = ")


def test_an_input_without_influence_has_gradient_zero() -> None:
    assert str(derive("Y = X + 0 * Z", {"X": "N", "Z": "N"}).gradients["Z"]) == "dZ = zeros([N])"


def test_the_steps_of_a_product_in_order() -> None:
    rules = [step.rule for step in derive("Y = X @ W", wrt=["W"]).steps]
    expected = ["definition", "chain rule", "local derivative", "access rule", "collapse", "substitute",
                "collapse", "matrix form", "shape"]  # fmt: skip
    assert rules == expected


@pytest.mark.parametrize(
    ("source", "kinks"),
    [("Y = relu(X)", 1), ("Y = tanh(X)", 0), ("Y = abs(relu(X))", 2), ("y = max(X, axis=0)", 1)],
)
def test_a_convention_at_a_kink_is_said(source: str, kinks: int) -> None:
    assert len(derive(source, {"X": "N D"}).derived.conventions) == kinks


@pytest.mark.parametrize(
    ("wrt", "error", "message", "hint"),
    [
        (["Weigth"], NameProblem, "Weigth is not an input", "did you mean Weight"),
        (["Y"], NameProblem, "Y is not an input", "the inputs are Weight, t"),
        (["t"], DomainProblem, "t holds integers", "differentiate by a real input: Weight"),
        ([], DomainProblem, "nothing to differentiate by", "leave wrt out for every real one"),
    ],
)
def test_what_cannot_be_differentiated_by(wrt: list[str], error: type, message: str, hint: str) -> None:
    with pytest.raises(error, match=message) as caught:
        derive("Y = take(Weight, t)", {"Weight": "V D"}, integers={"t": ("B", "V")}, wrt=wrt)
    assert hint in str(caught.value)


def test_a_name_twice_counts_once() -> None:
    assert list(derive("Y = X @ W", wrt=["W", "W"]).gradients) == ["W"]


def test_the_jacobian_that_was_not_formed() -> None:
    (jacobian,) = derive("Y = X @ W", wrt=["W"]).derived.jacobians
    assert len(jacobian.shape) == 4
    assert jacobian.share is not None


def test_a_step_reads_as_a_line() -> None:
    lines = [str(step) for step in derive("Y = X @ W", wrt=["W"]).steps]
    assert lines[0] == "definition: Y[n,m] = Σ_d X[n,d] W[d,m]"
    assert lines[-2:] == ["matrix form: dW = X.T @ dY", "shape: (D×N)(N×M) = D×M"]
