"""What the checks of a derivation report, and what they refuse to let through."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pullback.api import derive
from pullback.derivation import Derived
from pullback.errors import InternalProblem
from pullback.expression import Equation, mul, num
from pullback.formula import Statement, backward_program
from pullback.rewriting import Section
from pullback.verify.results import check_derived, check_gradient_of

PRODUCT = derive("Y = X @ W")


def test_a_product_is_exact_throughout() -> None:
    checked, report = check_derived(PRODUCT.derived)
    statuses = [step.status for section in checked.sections for step in section.steps]
    assert set(statuses) == {"exact"}
    assert report.exact == len(statuses) + 2  # and the two gradients
    assert (report.numerical, report.unknown) == (0, 0)
    assert 0 < report.error_bound < 1e-15
    assert report.central is not None
    assert report.central < 1e-7


def test_sizes_are_distinct_once_and_all_one_once() -> None:
    trials = [dict(sizes) for sizes in PRODUCT.report.trials]
    assert {"N": 1, "D": 1, "M": 1} in trials
    assert any(len(set(sizes.values())) == 3 and min(sizes.values()) >= 2 for sizes in trials)


@pytest.mark.parametrize("place", range(2))
def test_a_wrong_line_is_an_internal_error(place: int) -> None:
    derived = PRODUCT.derived
    section = derived.sections[place]
    for k, step in enumerate(section.steps):
        if not isinstance(step.after, Equation) or step.rule in ("definition", "chain rule"):
            continue
        wrong = replace(step, after=Equation(step.after.left, mul(num(2), step.after.right)))
        steps = (*section.steps[:k], wrong, *section.steps[k + 1 :])
        sections = list(derived.sections)
        sections[place] = Section(section.definition, section.operand, steps)
        with pytest.raises(InternalProblem, match="failed its own check"):
            check_derived(replace(derived, sections=tuple(sections)))


def test_a_wrong_backward_pass_is_an_internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines that are shown together are checked together: a shared line is wrong, each gradient alone right."""
    shapes = {"X": "N D", "W": "D F", "V": "F M"}
    derived = derive("H = tanh(X @ W); Y = H @ V", shapes).derived

    def planted(derived: Derived) -> tuple[Statement, ...]:
        first, *rest = backward_program(derived)
        return (replace(first, text=first.text.replace("1 - H", "2 - H")), *rest)

    monkeypatch.setattr("pullback.verify.results.backward_program", planted)
    with pytest.raises(InternalProblem, match="the backward pass failed its own check"):
        check_derived(derived)


def test_a_wrong_gradient_is_an_internal_error() -> None:
    derived = PRODUCT.derived
    lines = {**derived.lines, "dW": replace(derived.lines["dW"], text="2 * X.T @ dY")}
    with pytest.raises(InternalProblem, match="the gradient dW failed its own check"):
        check_gradient_of(replace(derived, lines=lines), "W")
    assert check_gradient_of(replace(derived, lines=lines), "X").status == "exact"


ELSEWHERE = [
    ("H = (X**2 + 1)**0.5\nL = mean(H)", {"X": "N D"}),  # no value modulo a prime: real numbers decide
    ("H1 = 2 * A\nH2 = H1 - sum(H1, axis=1, keepdims=True)\nL = mean(H2)", {"A": "K 1"}),
    ("H = exp(A) - mean(exp(A), axis=-1, keepdims=True)\nL = mean(H)", {"A": "N"}),  # a gradient that is zero
    ("L = log(sum(ones([N])) + sum(X**2))", {"X": "N"}),
]


@pytest.mark.parametrize(("program", "shapes"), ELSEWHERE)
def test_programs_that_once_failed(program: str, shapes: dict[str, str]) -> None:
    report = derive(program, shapes).report
    assert report.exact > 0
    assert report.unknown == 0


def test_integer_tensors_may_be_read_outside_under_a_guard() -> None:
    derivation = derive(
        "Y[i,j] = A[i-1] * (i >= 1) * (t[i] == j)",
        {"A": "N", "Y": "N D"},
        integers={"t": ("N", "D")},
    )
    assert derivation.report.unknown == 0
