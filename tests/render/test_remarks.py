"""What stands beside the formulas."""

from __future__ import annotations

import dataclasses

import pytest
from derived_fixtures import PROGRAMS, REPORT, derived, formulas

from pullback.render import text


def page(name: str) -> str:
    found = derived(name)
    return " ".join(text(found, REPORT, formulas(found)).split())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("product", "Y = X @ W gives dX = dY @ W.T and dW = X.T @ dY. It is a consequence"),
        ("affine", "does not give these results by itself: the product is not the whole definition"),
        ("vector", "does not give these results by itself: a vector has no second axis"),
        ("square", "does not give these results by itself: A reaches Y along more than one path"),
        ("mean_square", "it holds for the step to Y alone"),
    ],
)
def test_the_rule_of_thumb_or_why_not(name: str, expected: str) -> None:
    assert expected in page(name)


@pytest.mark.parametrize("name", ["tanh", "relu", "softmax", "gather"])
def test_no_rule_of_thumb_where_there_is_no_product(name: str) -> None:
    assert "rule of thumb" not in page(name)


def test_an_entry_of_the_upstream_gradient_is_a_central_difference() -> None:
    shown = page("product")
    assert "dY[n,m] is how much the loss changes with Y[n,m] alone, all other entries held" in shown
    assert "(L(Y + h E) - L(Y - h E)) / (2 h)" in shown
    assert "L is a function of the whole of Y" in shown


@pytest.mark.parametrize("name", ["two_layers", "mean_square"])
def test_a_loss_has_no_given_gradient_to_explain(name: str) -> None:
    shown = page(name)
    assert "given gradient" not in shown
    assert "L is the loss" in shown


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("product", "Contracted: n (N terms); along n the shares of all rows of the batch are added."),
        ("product", "Contracted: m (M terms)."),
        ("vector", "No index is contracted."),
        ("affine", "Contracted: n (N terms); along n"),
        ("mean_square", "Contracted: n (N terms); along n"),
    ],
)
def test_the_contracted_index(name: str, expected: str) -> None:
    assert expected in page(name)


@pytest.mark.parametrize("name", PROGRAMS)
def test_indices_count_from_zero_only_where_arithmetic_takes_part(name: str) -> None:
    assert ("Indices count from 0" in page(name)) == (name in ("convolution", "gather"))


def test_a_kink_is_named() -> None:
    assert "relu in Y: x = 0: derivative 0" in page("relu")


def test_undeclared_shapes_are_said_to_be_inferred() -> None:
    assert "The shapes of X, W were not declared" in page("product")
    assert "not declared" not in page("affine")


def test_a_tensor_that_the_reader_introduced_is_named_with_its_shape() -> None:
    found = derived("two_layers")
    first, *rest = found.program.definitions
    program = dataclasses.replace(found.program, definitions=(dataclasses.replace(first, source=""), *rest))
    shown = " ".join(text(dataclasses.replace(found, program=program), None, formulas(found)).split())
    assert "y2: G, L: a number; named on the way: y1: F." in shown
