"""The derivations in examples/: which line is wrong, and why; and the statements of the four notes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pullback import proofread

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "examples" / "derivations"
STATEMENTS = json.loads((REPOSITORY / "tests" / "data" / "bank" / "notes_statements.json").read_text("utf-8"))

# file -> the wrong statements, as (the text begins with, a word of the reason)
WRONG: dict[str, list[tuple[str, str]]] = {
    "batch_mean.md": [("∂L/∂W = 1/B Xᵀ", "right only if B = 1"), ("1/B Xᵀ ∂L/∂Y has", "F×D, not B×D")],
    "columns.md": [],
    "flash_attention_2.md": [("dK = Q dSᵀ", "d meets N")],
    "minibatch.md": [("∂L/∂X[1,1]", "do not meet")],
    "outer_product.md": [],
    "row_vector.md": [
        ("y_1 has the shape (F, F)", "1×F, not F×F"),
        ("y_1ᵀ ∂L/∂y_2 has the shape (1, G)", "F×G, not 1×G"),
        ("∂L/∂x has the shape (F, G)", "1×D, not F×G"),
    ],
    "unbound_index.md": [("= Σ_k ∂L/∂y_k [k = j] x_r", "index r"), ("= ∂L/∂y_k x_r", "differ")],
}


def test_every_example_is_listed() -> None:
    assert sorted(path.name for path in FOLDER.glob("*.md")) == sorted(WRONG)


@pytest.mark.parametrize("name", sorted(WRONG))
def test_the_wrong_lines_are_found_and_no_others(name: str) -> None:
    report = proofread(FOLDER / name)
    wrong = [line for line in report.lines if line.ok is False]
    assert report.unreadable == ()
    assert report.ok is (not WRONG[name])
    for line, (begins, reason) in zip(wrong, WRONG[name], strict=True):
        assert line.text.startswith(begins)
        assert reason in line.reason


def test_the_mend_of_the_printed_formula() -> None:
    line = proofread(FOLDER / "flash_attention_2.md").first_wrong
    assert line is not None
    assert line.verdict is not None
    assert line.verdict.mend is not None
    assert (line.verdict.mend.before, line.verdict.mend.after) == ("Q @ dS.T", "dS.T @ Q")


def shape_statements() -> list[dict[str, Any]]:
    return [entry for entry in STATEMENTS if entry["kind"] == "shape"]


@pytest.mark.parametrize("entry", shape_statements(), ids=lambda e: f"{e['note']}-{e['where']}")
def test_the_shapes_that_the_notes_print(entry: dict[str, Any]) -> None:
    declared = "\n".join(f"{word}: [{', '.join(shape)}]" for word, shape in entry["shapes"].items())
    shape = f"^{{{'×'.join(entry['printed'])}}}" if entry["printed"] else ""
    text = f"```\n{declared}\n{entry['program']}\n{entry['expr']} ∈ ℝ{shape}\n```"
    assert proofread(text).ok is entry["ok"]


def test_a_sum_that_ends_at_another_size() -> None:
    text = (
        "X: [N, D]\nW: [D, M]\nY = X W\n∂L/∂W_ij = Σ_{n=1}^{M} dY_nj X_ni\n∂L/∂W_ij = Σ_{n=1}^{N} dY_nj X_ni"
    )
    wrong, right = proofread(f"```\n{text}\n```").lines[1:]
    assert (wrong.ok, right.ok) == (False, True)
    assert wrong.reason == "range: the sum over n is written up to M, and n counts N"
