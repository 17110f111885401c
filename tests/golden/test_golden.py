"""The derivations of the four notes as a reader gets them: the whole page, and each line of the notes.

After a change that was meant, write the pages anew and read the difference:

    PULLBACK_WRITE_GOLDEN=1 python -m pytest tests/golden
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from pullback.api import derive

HERE = Path(__file__).parent
LAYERS = "y1 = x @ W1\ny2 = y1 @ W2\n"
WEIGHTS = {"W1": "D F", "W2": "F G"}

# page -> program, shapes, sizes of the walk-through
PAGES: dict[str, tuple[str, Mapping[str, str] | None, Mapping[str, int] | None]] = {
    "minibatch": ("Y = X @ W", None, None),
    "minibatch_walkthrough": ("Y = X @ W", None, {"N": 2, "D": 2, "M": 3}),
    "vector": ("y = W @ x", {"W": "m n", "x": "n"}, None),
    "rows": (LAYERS + "L = sum(y2)", {"x": "D", **WEIGHTS}, None),
    "batch": (LAYERS, {"x": "B D", **WEIGHTS}, None),
    "batch_sum": (LAYERS + "L = sum(y2)", {"x": "B D", **WEIGHTS}, None),
    "batch_mean": (LAYERS + "L = sum(y2) / B", {"x": "B D", **WEIGHTS}, None),
    "columns": ("Y = W @ X", {"W": "M N", "X": "N K"}, None),
}


def page(name: str) -> str:
    program, shapes, sizes = PAGES[name]
    return derive(program, shapes).text(sizes=sizes)


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_as_agreed(name: str) -> None:
    path = HERE / f"{name}.txt"
    if os.environ.get("PULLBACK_WRITE_GOLDEN"):
        path.write_text(page(name), encoding="utf-8")
    assert page(name) == path.read_text(encoding="utf-8")


# What each note says, line by line, in its order. Each entry stands on the page below the one before it.
NOTES = {
    "minibatch": [
        "dX = dY @ W.T",
        "dW = X.T @ dY",
        "Y[n,m] = Σ_d X[n,d] W[d,m]",
        "dX[i,j] = Σ_n Σ_m dY[n,m] ∂Y[n,m]/∂X[i,j]",
        "[n = i] [d = j]",
        "zero unless d = j",
        "zero unless n = i",
        "dX = dY @ W.T",
        "(N×M)(M×D) = N×D",
        "dW[i,j] = Σ_n Σ_m dY[n,m] ∂Y[n,m]/∂W[i,j]",
        "zero unless m = j",
        "dW = X.T @ dY",
        "(D×N)(N×M) = D×M",
    ],
    "vector": [
        "dW = outer(dy, x)",
        "∂y[i]/∂W[k,l]",
        "[i = k] [j = l]",
        "[i = k] x[l]",
        "zero unless j = l",
        "dy[k] x[l]",
        "zero unless i = k",
        "outer(dy, x)",
        "(m×1)(1×n) = m×n",
        "m×m×n",
    ],
    "rows": [
        "dW2[i,j] = Σ_g dy2[g] ∂y2[g]/∂W2[i,j]",
        "zero unless f = i",
        "dW2[i,j] = Σ_g dy2[g] y1[i] [g = j]",
        "zero unless g = j",
        "dW2 = outer(y1, ",
        "F×G, the shape of dW2",
    ],
    "batch": [
        "dW2 = y1.T @ dy2",
        "dW2[i,j] = Σ_b Σ_g dy2[b,g] ∂y2[b,g]/∂W2[i,j]",
        "y1[b,i] [g = j]",
        "zero unless f = i",
        "Σ_b dy2[b,j] y1[b,i]",
        "zero unless g = j",
        "dW2 = y1.T @ dy2",
        "(F×B)(B×G) = F×G",
        "Contracted: b",
    ],
    "batch_sum": ["dW2[i,j] = Σ_b Σ_g dy2[b,g]", "zero unless g = j", "dW2 = y1.T @ dy2", "(F×B)(B×G) = F×G"],
    "batch_mean": [
        "dW2[i,j] = Σ_b Σ_g dy2[b,g]",
        "zero unless g = j",
        "dW2 = y1.T @ dy2",
        "(F×B)(B×G) = F×G",
    ],
    "columns": [
        "dW = dY @ X.T",
        "dX = W.T @ dY",
        "zero unless",
        "(M×K)(K×N) = M×N",
        "(N×M)(M×K) = N×K",
    ],
}


@pytest.mark.parametrize("name", NOTES)
def test_a_reader_of_the_note_finds_its_lines_in_order(name: str) -> None:
    text, at = page(name), 0
    for line in NOTES[name]:
        found = text.find(line, at)
        assert found >= 0, f"{line!r} does not stand below the lines before it:\n{text}"
        at = found + len(line)


@pytest.mark.parametrize("name", PAGES)
def test_every_line_is_exact(name: str) -> None:
    program, shapes, _ = PAGES[name]
    derivation = derive(program, shapes)
    assert {step.status for step in derivation.steps} == {"exact"}
    assert derivation.report.error_bound < 1e-15


def test_the_jacobian_that_is_never_formed() -> None:
    """Note 002: N = 64, D = M = 4096 would take 256 GiB in float32."""
    text = derive("Y = X @ W").text(sizes={"N": 64, "D": 4096, "M": 4096}, steps="short")
    assert "256 GiB" in text
    assert "never formed" in text


def test_the_three_indices_of_note_000() -> None:
    derivation = derive("y = W @ x", {"W": "m n", "x": "n"})
    jacobian = next(j for j in derivation.derived.jacobians if j.operand.name == "W")
    assert len(jacobian.shape) == 3
    assert "m×m×n" in page("vector")


def test_the_slips_of_note_001_are_not_printed() -> None:
    """The gradient of W2 has the shape of W2, F×G; a sum has no 1/B, and a mean has it once."""
    assert "dW2 = y1.T @ dy2" in page("batch")
    by_sum, by_mean = (derive(*PAGES[name][:2]).gradients for name in ("batch_sum", "batch_mean"))
    assert all("/ B" not in str(formula) and "mean" not in str(formula) for formula in by_sum.values())
    for formula in by_mean.values():
        assert (str(formula).count("/ B") + str(formula).count("mean")) == 1, str(formula)
