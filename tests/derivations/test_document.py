"""Which parts of a text are mathematics."""

from __future__ import annotations

import pytest

from pullback.derivations.document import passages
from pullback.derivations.parts import parts, sides_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hence dW = X^T dY, as we knew.", ["dW = X^T dY"]),
        ("So, by the chain rule, the gradient is `dW = X.T @ dY`.", ["dW = X.T @ dY"]),
        ("Here $dX = dY W^T$ and $dW$ follows.", ["dX = dY W^T"]),
        ("- dW = X^T dY\n2. dX = dY W^T", ["dW = X^T dY", "dX = dY W^T"]),
        ("**dW = X^T dY**", ["dW = X^T dY"]),
        ("    dW = X^T dY   # the weight", ["dW = X^T dY"]),
        ("```\ndW = (X^T\n      dY)\n```", ["dW = (X^T dY)"]),
        ("```bash\nX=3\n```", []),
        ("```python\nimport numpy as np\nreturn x = 3\n```", []),
        ("$$\ndW &= X^T dY \\\\\n$$", ["dW = X^T dY"]),
        ("| dX | dX = dY W^T |", ["dX = dY W^T"]),
        ("If k != j, dX = 0 there.", ["if k != j, dX = 0"]),
        ("Nothing here is mathematics.", []),
        ("dW = X^T dY (25)", ["dW = X^T dY"]),
        ("⇒ dW = X^T dY", ["dW = X^T dY"]),
    ],
)
def test_passages(text: str, found: list[str]) -> None:
    assert [passage.text for passage in passages(text)] == found


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("```\nX: [N, D]\n```", [("shape", ("X",), ("N", "D"))]),
        ("```\nX: N D, W: D M\n```", [("shape", ("X",), ("N", "D")), ("shape", ("W",), ("D", "M"))]),
        ("Let Q, K ∈ ℝ^{N×d}.", [("shape", ("Q",), ("N", "d")), ("shape", ("K",), ("N", "d"))]),
        ("`shape(dW) = (D, M)`", [("shape", ("dW",), ("D", "M"))]),
        ("`t: [B] in V`", [("shape", ("t",), ("B",))]),
        ("Here x: [D], g: [D].", [("shape", ("x",), ("D",)), ("shape", ("g",), ("D",))]),
        ("    symmetric(A)", [("fact", ("A",), ())]),
        ("y = W x, x ∈ R^n", [("chain", (), ()), ("shape", ("x",), ("n",))]),
    ],
)
def test_kinds(text: str, kinds: list[tuple[str, tuple[str, ...], tuple[str, ...]]]) -> None:
    assert [(part.kind, part.names, part.shape) for part in parts(list(passages(text)))] == kinds


def test_a_chain_goes_on_in_the_next_line() -> None:
    (part,) = parts(list(passages("    dW = X^T dY\n       = (dY^T X)^T")))
    assert part.sides == [(1, "dW"), (1, "X^T dY"), (2, "(dY^T X)^T")]


def test_a_condition_behind_or_before() -> None:
    behind, before = parts(list(passages("    dX = 0 if k ≠ j\n\nIf k ≠ j, dX = 0.")))
    assert (behind.condition, before.condition) == ("k ≠ j", "k ≠ j")


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        ("a = b = c", ["a", "b", "c"]),
        ("a := b", ["a", "b"]),
        ("a = b * (i == j)", ["a", "b * (i == j)"]),
        ("a = sum(b, axis=0)", ["a", "sum(b, axis=0)"]),
        ("a <= b", ["a <= b"]),
    ],
)
def test_sides(text: str, sides: list[str]) -> None:
    assert sides_of(text) == sides
