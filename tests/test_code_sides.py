"""Two programs of one piece of code: the order of their lines, their sizes, the arrays that they hold."""

from __future__ import annotations

import numpy as np
import pytest

from pullback.capture.captured import Captured
from pullback.code_sides import held_alike, in_order, is_identity, same_sizes, sized


def captured(program: str, shapes: dict[str, tuple[str | int, ...]], **values: object) -> Captured:
    return Captured(
        program,
        "y",
        shapes,
        names={name: name for name in shapes},
        values={name: np.asarray(x) for name, x in values.items()},
        sizes={"N": 4, "D": 3, "T": 4},
    )


ORDERS = [
    (["m = mean(x)", "y = x - m"], ["s = m * 2"], ["m = mean(x)", "s = m * 2", "y = x - m"], []),
    (["y = x * 2"], ["t = y + 1", "u = x + 1"], ["u = x + 1", "y = x * 2"], ["t = y + 1"]),
    (["a = x", "y = a"], ["c = b + a", "b = a"], ["a = x", "b = a", "c = b + a", "y = a"], []),
]


@pytest.mark.parametrize(("own", "extra", "lines", "late"), ORDERS)
def test_lines_stand_where_what_they_read_is_defined(
    own: list[str], extra: list[str], lines: list[str], late: list[str]
) -> None:
    found, rest = in_order(own, extra)
    assert found[-1] == own[-1] and rest == late
    if len(lines) != 4:
        assert found == lines
    else:
        assert sorted(found) == sorted(lines) and found.index("b = a") < found.index("c = b + a")


SIZES = [
    ({"x": ("N", "D"), "w": ("D", "T")}, {"x": ("N", "D"), "w": ("D", "D")}, ("N", "D"), ("D", "D")),
    ({"x": ("N", "D"), "w": ("D", "T")}, {"x": (4, "B"), "w": ("B", "B")}, (4, "D"), ("D", "D")),
    ({"x": ("N", "D"), "w": ("D", "T")}, {"x": ("N", 3), "w": (3, 4)}, ("N", 3), (3, 4)),
]


@pytest.mark.parametrize(("mine", "theirs", "x", "w"), SIZES)
def test_the_forward_has_the_sizes_that_both_allow(
    mine: dict[str, tuple[str | int, ...]],
    theirs: dict[str, tuple[str | int, ...]],
    x: tuple[str | int, ...],
    w: tuple[str | int, ...],
) -> None:
    met = same_sizes(captured("y = x @ w", mine), captured("dx = y @ w.T", theirs), ["x", "w"])
    assert met is not None
    assert (met[0].shapes["x"], met[0].shapes["w"]) == (x, w)


def test_two_numbers_for_one_size_do_not_meet() -> None:
    forward = captured("y = x @ w", {"x": ("N", "D"), "w": ("D", "T")})
    assert same_sizes(forward, captured("d = x", {"x": (4, 3), "w": (2, 4)}), ["x", "w"]) is None


def test_a_size_called_t_is_no_transpose() -> None:
    assert sized("y = reshape(x.T, [T, 2])", {"T": "4"}) == "y = reshape(x.T, [4, 2])"


def test_arrays_of_the_same_entries_are_one() -> None:
    mask = np.tril(np.ones((3, 3)))
    forward = captured("y = x * m", {"x": (3, 3), "m": (3, 3)}, x=np.eye(3) + 1, m=mask)
    both = captured(
        "d = x * n * o", {"x": (3, 3), "n": (3, 3), "o": (3, 3)}, x=np.eye(3) + 1, n=mask, o=mask.T
    )
    assert held_alike(forward, both, ["x"], ["n", "o"]) == {"n": "m"}


@pytest.mark.parametrize(("x", "found"), [(np.eye(3), True), (np.eye(1), False), (np.ones((2, 2)), False)])
def test_an_identity_matrix(x: object, found: bool) -> None:
    assert is_identity(x) is found
