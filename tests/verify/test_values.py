"""Values for code checks keep the character of the example, at other sizes too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pullback.verify.points import draw, template
from pullback.verify.values import character

EYE = np.eye(4)
SPD = np.array([[4.0, 1.0], [1.0, 3.0]])
SOFT = np.array([[0.25, 0.75], [0.5, 0.5], [0.1, 0.9]])
HIDDEN = np.where(np.triu(np.ones((3, 3), dtype=bool), 1), -np.inf, 0.0)


def sums_to_one(x: Any) -> bool:
    return bool((x.sum(-1) == 1).all())


def is_symmetric(x: Any) -> bool:
    return bool((x == np.swapaxes(x, -1, -2)).all())


ROWS: list[tuple[str, Any, Callable[[Any], bool]]] = [
    ("one-hot", EYE[[0, 2, 1]], lambda x: set(x.flat) <= {0.0, 1.0} and sums_to_one(x)),
    ("marks", np.array([0.0, 1.0, 1.0, 0.0, 1.0]), lambda x: set(x.flat) <= {0.0, 1.0}),
    ("signs", np.array([1.0, -1.0, 1.0]), lambda x: set(x.flat) <= {-1.0, 1.0}),
    ("distribution", SOFT, lambda x: sums_to_one(x) and bool((x > 0).all())),
    ("definite", SPD, lambda x: is_symmetric(x) and bool((np.linalg.eigvalsh(x) > 0).all())),
    ("symmetric", SPD - 5, is_symmetric),
    ("lower", np.tril(SPD), lambda x: bool((x == np.tril(x)).all())),
    ("infinite", HIDDEN, lambda x: bool((np.isinf(x) == np.triu(np.ones(x.shape), 1)).all())),
    ("positive", np.array([1.5, 0.5, 2.5]), lambda x: bool((x > 0).all())),
    ("ascending", np.array([0.5, 1.5, 3.5]), lambda x: bool((np.diff(x) > 0).all())),
    ("permutation", np.array([2, 0, 1]), lambda x: sorted(x) == list(range(len(x)))),
    ("ascending", np.array([0, 0, 1, 2]), lambda x: bool((np.diff(x) >= 0).all())),
    ("lower", np.tril(np.ones((3, 3), dtype=bool)), lambda x: bool((x == np.tril(x)).all())),
    ("", np.ones((3, 3)) * -1.0, lambda x: True),
    ("", np.arange(4), lambda x: bool((x >= 0).all())),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "example", "keeps"), ROWS, ids=[f"{k}: {row[0]}" for k, row in enumerate(ROWS)]
)
def test_values_keep_the_character_of_the_example(
    name: str, example: Any, keeps: Callable[[Any], bool]
) -> None:
    assert character(example) == name
    made = template(["x"], [example], None)
    rng = np.random.default_rng(0)
    for kind in ("generic", "large", "tiny", "counting", "equal"):
        for size in (2, 3, 5):
            sizes = {symbol: size + k for k, symbol in enumerate(made.sizes)}
            (drawn,) = draw(made, sizes, kind, rng)
            assert drawn.dtype == example.dtype
            assert drawn.shape == made.shape(0, sizes)
            assert keeps(drawn), (kind, sizes, drawn)


def test_boundaries_end_where_their_axis_does() -> None:
    rows, boundaries = np.ones((7, 2)), np.array([0, 3, 4, 7])
    made = template(["x", "b"], [rows, boundaries], None)
    sizes = {name: 9 if size == 7 else size for name, size in made.sizes.items()}
    _, drawn = draw(made, sizes, "generic", np.random.default_rng(0))
    assert (drawn[0], drawn[-1]) == (0, 9)
    assert bool((np.diff(drawn) >= 0).all())


def test_constants_of_the_example_do_not_fix_values() -> None:
    """Weights of ones are positive numbers, not marks."""
    assert character(np.ones(4)) == "positive"
    assert character(np.zeros(4)) == ""
