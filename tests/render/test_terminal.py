"""The page in a terminal, as a reader sees it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from derived_fixtures import MIXED, PROGRAMS, REPORT, derived, formulas

from pullback.derivation import Derived, with_sections
from pullback.errors import ShapeProblem
from pullback.render import latex, markdown, text, to_json
from pullback.rewriting import Section

GOLDEN = Path(__file__).parent / "golden"


def page(name: str, **options: object) -> str:
    found = derived(name)
    return text(found, REPORT, formulas(found), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["product", "vector", "two_layers", "mean_square"])
def test_the_derivations_of_the_notes_read_as_agreed(name: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("PULLBACK_WRITE_GOLDEN"):  # after a change that was meant; read the difference
        path.write_text(page(name), encoding="utf-8")
    assert page(name) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PROGRAMS)
def test_ascii_uses_ascii_alone(name: str) -> None:
    sizes = {"N": 2, "D": 2, "M": 3, "F": 2, "G": 2, "H": 4, "R": 2, "V": 3}
    assert page(name, ascii=True, sizes=sizes).isascii()


def test_ascii_tells_a_derivative_from_the_gradient_dY() -> None:
    assert "= sum_n sum_m dY[n,m] d Y[n,m]/d W[i,j]" in page("product", ascii=True)


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_line_ends_in_blanks_and_the_mark_stands_at_the_margin(name: str) -> None:
    lines = page(name).splitlines()
    assert all(line == line.rstrip() for line in lines)
    marked = [line for line in lines if line.endswith("✓")]
    assert marked
    assert all(len(line) == 100 or len(line) > 95 for line in marked)


def test_formulas_stand_before_the_steps() -> None:
    shown = page("product")
    assert shown.index("dX = dY @ W.T") < shown.index("Step by step")


def test_the_collapse_names_the_index_and_says_why() -> None:
    shown = page("product")
    assert "= X[n,i] [m = j]    the sum over d keeps one term: zero unless d = i" in shown
    assert "= Σ_n dY[n,j] X[n,i]    the sum over m keeps one term: zero unless m = j" in shown


def test_short_leaves_out_what_lies_between() -> None:
    shown = page("product", steps="short")
    for kept in ("Σ_d X[n,d] W[d,m]", "Σ_n dY[n,j] X[n,i]", "dW = X.T @ dY", "(D×N)(N×M) = D×M"):
        assert kept in shown
    for left_out in ("∂Y[n,m]/∂W[i,j]", "Kronecker"):
        assert left_out not in shown


def test_none_shows_formulas_and_costs() -> None:
    shown = page("product", steps="none")
    assert "Definition" not in shown
    assert "dW = X.T @ dY" in shown
    assert "256 GiB at N = 64, D = M = 4096" in shown


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (None, "shape N×M×N×D: N·M·N·D entries, a share of 1 / N not zero"),
        (
            {"N": 64, "D": 4096, "M": 4096},
            "68,719,476,736 entries, 1.56 % of them not zero, 256 GiB in float32",
        ),
        ({"N": 2, "D": 2, "M": 3}, "24 entries, 50 % of them not zero, 96 bytes in float32"),
    ],
)
def test_the_jacobian_that_was_never_formed(sizes: dict[str, int] | None, expected: str) -> None:
    shown = " ".join(page("product", steps="none", sizes=sizes).split())
    assert expected in shown
    assert "It was never formed." in shown


def test_large_sizes_are_not_written_out() -> None:
    shown = page("product", steps="none", sizes={"N": 64, "D": 4096, "M": 4096})
    assert "Nothing is written out entry by entry: entries of X (N×D): 262,144" in shown


@pytest.mark.parametrize("form", [text, latex, markdown, to_json])
def test_sizes_that_leave_an_axis_with_less_than_nothing_are_refused(form: object) -> None:
    assert callable(form)
    found = derived("convolution")
    with pytest.raises(ShapeProblem, match=r"an axis of y would have H-R\+1 = -2 entries"):
        form(found, REPORT, formulas(found), sizes={"H": 2, "R": 5})


def test_marks_say_how_each_line_was_checked() -> None:
    found = derived("product")
    statuses = ["exact", "numerical", "unknown", "unchecked"]
    first = found.sections[0]
    steps = tuple(s.checked(statuses[k % 4]) for k, s in enumerate(first.steps))  # type: ignore[arg-type]
    mixed = with_sections(found, [Section(first.definition, first.operand, steps)])
    shown = text(mixed, MIXED, formulas(found))
    ends = {line[-1] for line in shown.splitlines() if line[:1] == " " and len(line) == 100}
    assert {"✓", "≈", "?"} <= ends
    assert "✓ 3 lines are exact" in shown
    assert "≈ 1 line is numerical" in shown
    assert "? 2 lines are unknown" in shown


def test_the_error_probability_is_stated_once_and_rounded_up() -> None:
    assert page("product").count("at most 1e-16") == 1


def test_without_a_report_nothing_is_claimed_about_checks() -> None:
    found = derived("product")
    assert "Checks" not in text(found, None, formulas(found))


def test_control_characters_of_a_program_do_not_reach_the_terminal() -> None:
    found = derived("product")
    first = found.program.definitions[0]
    program = replace(found.program, definitions=(replace(first, source="Y = X @ W # \x1b[31m"),))
    odd: Derived = replace(found, program=program)
    assert "\x1b" not in text(odd, REPORT, formulas(found))


def test_the_width_is_kept_where_formulas_allow() -> None:
    sentences = [line for line in page("product", width=60).splitlines() if not line.startswith("      ")]
    assert max(len(line) for line in sentences) <= 60
