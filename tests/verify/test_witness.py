"""Counterexamples: the smallest shape, small integers, exact numbers, facts respected."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pullback.claiming import claim
from pullback.verify.witness import Witness, number_text


def witness_of(program: str, wrt: str, text: str, shapes: dict[str, str], **given: object) -> Witness:
    verdict = claim(program, {wrt: text}, shapes, **given)  # type: ignore[arg-type]
    assert verdict.ok is False
    assert verdict.witness is not None
    return verdict.witness


@pytest.mark.parametrize(
    ("program", "text", "shapes", "sizes"),
    [
        ("L = sum(x)", "2 * ones(N)", {"x": "N"}, {"N": 1}),
        ("L = mean(x)", "ones(N)", {"x": "N"}, {"N": 2}),
        ("Y = x * 1", "dY.T", {"x": "N N"}, {"N": 2}),
        ("L = sum(x)", "ones([N, M]) / (N * M) * N", {"x": "N M"}, {"N": 1, "M": 2}),
    ],
)
def test_the_smallest_shape(program: str, text: str, shapes: dict[str, str], sizes: dict[str, int]) -> None:
    assert witness_of(program, "x", text, shapes).sizes == sizes


def test_values_are_those_of_the_inputs() -> None:
    witness = witness_of("L = sum(x * x * x)", "x", "3 * x", {"x": "N"})
    assert witness.entry is not None
    x = witness.inputs["x"][witness.entry[0]]
    assert witness.claimed == 3 * x
    assert witness.true == 3 * x * x


def test_positive_inputs_stay_positive() -> None:
    witness = witness_of("L = sum(log(x))", "x", "2 / x", {"x": "N"}, assume={"x": "positive"})
    assert all(entry > 0 for entry in witness.inputs["x"])
    assert isinstance(witness.true, Fraction)


def test_symmetric_inputs_stay_symmetric() -> None:
    witness = witness_of("f = x @ A @ x", "x", "A @ x", {"x": "N", "A": "N N"}, assume={"A": "symmetric"})
    a = witness.inputs["A"]
    assert a == [list(row) for row in zip(*a, strict=True)]


def test_integer_inputs_are_in_their_range() -> None:
    witness = witness_of(
        "Y = take(E, t)", "E", "2 * onehot(t, V).T @ dY", {"E": "V D"}, integers={"t": ("B", "V")}
    )
    assert all(0 <= entry < witness.sizes["V"] for entry in witness.inputs["t"])


def test_irrational_values_are_rounded_in_print() -> None:
    witness = witness_of("L = sum(exp(x))", "x", "exp(2 * x)", {"x": "N"})
    assert isinstance(witness.true, float)
    verdict = claim("L = sum(exp(x))", {"x": "exp(2 * x)"}, {"x": "N"})
    assert "…" in verdict.explain()


def test_a_generic_difference_is_not_shown_at_a_tie() -> None:
    witness = witness_of("L = sum(relu(x))", "x", "(x >= 0) * 2", {"x": "N"})
    assert witness.inputs["x"] != [0]


def test_a_large_size_in_the_program_is_met() -> None:
    given = {"ranges": {"i": "N-3"}}
    witness = witness_of("y[i] = x[i+3]", "x", "dx[l] = 2 * dy[i] * (l == i+3)", {"x": "N"}, **given)
    assert witness.sizes["N"] == 4


@pytest.mark.parametrize(
    ("value", "text"), [(Fraction(3), "3"), (Fraction(-1, 2), "-1/2"), (1 / 3, "0.333333…"), (2e10, "2e+10…")]
)
def test_numbers_in_print(value: Fraction | float, text: str) -> None:
    assert number_text(value) == text
