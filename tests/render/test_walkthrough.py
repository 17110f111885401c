"""The walk-through says what a person finds by hand, tested by exact differences of the forward pass."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise
from math import prod

import pytest
from derived_fixtures import REPORT, derived, formulas

from pullback.errors import LimitProblem, PullbackError, ShapeProblem
from pullback.expression import Access, Add, Bracket, Expr, Mul, Num, Partial, Pow, compare
from pullback.render import latex, markdown, text, walkthrough
from pullback.render.page import Block, Display, Grid, Heading, Paragraph
from pullback.render.walkthrough import fits

SIZES = {"N": 2, "D": 2, "M": 3, "F": 2, "G": 3, "H": 4, "R": 2}
Variables = dict[str, Fraction]


def spelt(e: Access) -> str:
    return f"{e.tensor.name}{tuple(int(s.value) for s in e.slots if isinstance(s, Num))}"


def value(e: Expr, at: Variables) -> Fraction:
    """A written-out polynomial at a point; ∂L/∂y is a variable of its own."""
    match e:
        case Num(number):
            return number
        case Access():
            return at.setdefault(spelt(e), Fraction(random.Random(spelt(e)).randint(-9, 9)))
        case Partial(Access(loss, _), Access() as by):
            name = f"d{loss.name}/d{spelt(by)}"
            return at.setdefault(name, Fraction(random.Random(name).randint(-9, 9)))
        case Add(terms):
            return sum((value(term, at) for term in terms), Fraction(0))
        case Mul(factors):
            return prod((value(factor, at) for factor in factors), start=Fraction(1))
        case Pow(base, Num(n)):
            return value(base, at) ** int(n)
        case Bracket(relation, left, right):
            return Fraction(bool(compare(relation, value(left, at), value(right, at))))
    raise AssertionError(e)


def cells(part: Expr | Grid | str) -> list[Expr]:
    if isinstance(part, Grid):
        return [cell for row in part.rows for cell in row]
    assert not isinstance(part, str)
    return [part]


def gradients(blocks: tuple[Block, ...]) -> list[tuple[str, list[Expr]]]:
    """(operand, entries) of each assembled gradient."""
    found = []
    for before, block in pairwise(blocks):
        together = isinstance(before, Paragraph) and str(before.words[0]).startswith("Together")
        if together and isinstance(block, Display):
            (left, _, grid) = block.parts
            assert isinstance(left, Partial)
            found.append((left.by.tensor.name, cells(grid)))
    return found


def shown(blocks: tuple[Block, ...], name: str) -> list[Expr]:
    """The entries of a tensor as the walk-through introduces them."""
    for block in blocks:
        match block:
            case Display((Access(tensor, ()), "=", grid)) if tensor.name == name:
                return cells(grid)
    raise AssertionError(name)


@pytest.mark.parametrize("name", ["product", "affine", "vector", "square", "convolution", "causal"])
def test_each_gradient_agrees_with_exact_differences_of_the_output(name: str) -> None:
    found = derived(name)
    blocks = walkthrough(found, SIZES)
    output = found.program.output.name
    forward = shown(blocks, output)
    upstream = [
        Partial(Access(type(found.program.output)("L", ()), ()), v) for v in variables(blocks, output)
    ]
    assert {operand for operand, _ in gradients(blocks)} == {tensor.name for tensor in found.wrt}
    for operand, entries in gradients(blocks):
        inputs = shown(blocks, operand)
        assert len(entries) == len(inputs)
        for x, claimed in zip(inputs, entries, strict=True):
            assert isinstance(x, Access)
            at: Variables = {}
            total = sum(
                value(g, at) * difference(f, spelt(x), at) for g, f in zip(upstream, forward, strict=True)
            )
            assert value(claimed, at) == total


def variables(blocks: tuple[Block, ...], output: str) -> list[Access]:
    """The entries of ∂L/∂Y, as variables y_{1,1}."""
    for block in blocks:
        match block:
            case Display((Partial(_, Access(tensor, ())), "=", grid)) if tensor.name == output:
                return [cell.by for cell in cells(grid) if isinstance(cell, Partial)]
    raise AssertionError(output)


def difference(f: Expr, x: str, at: Variables) -> Fraction:
    """A central difference: exact for a polynomial of degree two."""
    value(f, at)
    middle = at.setdefault(x, Fraction(1))
    return (value(f, {**at, x: middle + 1}) - value(f, {**at, x: middle - 1})) / 2


def test_note_002_reads_as_in_the_note() -> None:
    found = derived("product")
    page = text(found, REPORT, formulas(found), steps="none", sizes=SIZES)
    for line in (
        "    X = ⎡ x₁,₁  x₁,₂ ⎤\n        ⎣ x₂,₁  x₂,₂ ⎦",
        "⎡ x₁,₁ w₁,₁ + x₁,₂ w₂,₁  x₁,₁ w₁,₂ + x₁,₂ w₂,₂",
        "    ∂Y/∂x₁,₁ = ⎡ w₁,₁  w₁,₂  w₁,₃ ⎤\n               ⎣ 0     0     0    ⎦",
        "= ∂L/∂y₁,₁ w₁,₁ + ∂L/∂y₁,₂ w₁,₂ + ∂L/∂y₁,₃ w₁,₃",
        "    ∂Y/∂x₂,₂ = ⎡ 0     0     0    ⎤\n               ⎣ w₂,₁  w₂,₂  w₂,₃ ⎦",
        "which is the product of two matrices, dX = dY @ W.T:",
        "⎡ w₁,₁  w₂,₁ ⎤",
    ):
        assert line in page


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (latex, r"{\partial x_{1,1}} = \begin{pmatrix} w_{1,1} & w_{1,2} & w_{1,3} \\ 0 & 0 & 0"),
        (markdown, r"\begin{pmatrix} w_{1,1} & w_{2,1} \\ w_{1,2} & w_{2,2} \\ w_{1,3} & w_{2,3} \end"),
    ],
)  # fmt: skip
def test_matrices_in_latex_and_markdown(form: object, expected: str) -> None:
    assert callable(form)
    found = derived("product")
    assert expected in form(found, REPORT, formulas(found), sizes=SIZES)


def test_an_outer_product_is_a_column_times_a_row() -> None:
    found = derived("vector")
    page = text(found, REPORT, formulas(found), steps="none", sizes=SIZES)
    assert "[ x₁  x₂ ]" in page
    assert "⎡ ∂L/∂y₁ ⎤\n    ∂L/∂W = ⎢ ∂L/∂y₂ ⎥ [ x₁  x₂ ]" in page


def test_a_loss_needs_no_gradient_of_its_own() -> None:
    blocks = walkthrough(derived("mean_square"), SIZES)
    ((_, entries), *_) = gradients(blocks)
    assert value(entries[0], {"y(1, 1)": Fraction(5)}) == 5  # 2 y / N at N = 2


def test_an_operator_is_named_and_not_written_out() -> None:
    blocks = walkthrough(derived("softmax"), SIZES)
    sentences = ["".join(str(w) for w in b.words) for b in blocks if isinstance(b, Paragraph)]
    assert any("softmax is not written out" in sentence for sentence in sentences)
    assert isinstance(blocks[0], Heading)


def test_too_many_entries_are_refused_before_anything_is_written() -> None:
    with pytest.raises(
        LimitProblem, match=r"entries of X \(N×D\): 1,000,000,000,000,000,000 where at most 64"
    ):
        walkthrough(derived("product"), {"N": 10**9, "D": 10**9, "M": 1})
    assert "at most 64" in fits(derived("product"), {"N": 64, "D": 4096, "M": 4096})
    assert fits(derived("product"), {"N": 8, "D": 8, "M": 8}) == ""


def test_many_matrices_and_long_formulas_are_cut_short_and_said_to_be() -> None:
    found = derived("product")
    page = text(found, REPORT, formulas(found), steps="none", sizes={"N": 8, "D": 8, "M": 8})
    assert "And so on for the other 48 entries." in page
    assert page.count("∂Y/∂x") == 16
    assert "∂L/∂X would take 1,024 factors, and is not written out." in page


def test_a_size_without_a_value_is_named() -> None:
    with pytest.raises(ShapeProblem, match="size M has no value"):
        walkthrough(derived("product"), {"N": 2, "D": 2})
    found = derived("product")
    assert "M has no value" in text(found, None, formulas(found), sizes={"N": 2, "D": 2})


def test_every_fixture_is_written_out_or_explained() -> None:
    for name in ("two_layers", "tanh", "relu", "gather"):
        try:
            blocks = walkthrough(derived(name), {**SIZES, "V": 3})
        except PullbackError as problem:  # pragma: no cover
            pytest.fail(f"{name}: {problem}")
        assert len(blocks) > 1
