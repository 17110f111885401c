"""Views: a chain is written as the one view that it amounts to, and means the same numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pullback.capture import phrases
from pullback.capture.captured import verify
from pullback.capture.writing import Value, Writer

Build = Callable[[Writer, Value], Value]
ROWS: list[tuple[Build, str, Callable[[np.ndarray], np.ndarray]]] = [
    (
        lambda w, x: phrases.swapaxes(w, phrases.swapaxes(w, x, 0, 1), 0, 1),
        "Y = x + 0",
        lambda a: a,
    ),
    (
        lambda w, x: phrases.reshape(w, phrases.reshape(w, x, ["6*B", 4]), ["B", 3, 8]),
        "Y = reshape(x, [B, 3, 8])",
        lambda a: a.reshape(-1, 3, 8),
    ),
    (
        lambda w, x: phrases.transpose(w, phrases.reshape(w, x, ["B", 6, 2, 2]), [0, 2, 1, 3]),
        "Y = transpose(reshape(x, [B, 6, 2, 2]), [0, 2, 1, 3])",
        lambda a: a.reshape(-1, 6, 2, 2).transpose(0, 2, 1, 3),
    ),
    (
        lambda w, x: phrases.entry(w, phrases.reshape(w, x, ["B", 6, 2, 2]), 2, 1),
        "Y = x[:, :, 2:]",
        lambda a: a[:, :, 2:],
    ),
    (
        lambda w, x: phrases.part(w, phrases.part(w, x, 1, 1), 1, 2, 4),
        "Y = x[:, 3:5]",
        lambda a: a[:, 3:5],
    ),
    (
        lambda w, x: phrases.entry(w, phrases.entry(w, x, 1, -1), 1, 0),
        "Y = x[:, 5, 0]",
        lambda a: a[:, 5, 0],
    ),
    (
        lambda w, x: phrases.squeeze(w, phrases.new_axis(w, phrases.new_axis(w, x, 1), 0), 0),
        "Y = x[:, None]",
        lambda a: a[:, None],
    ),
    (
        lambda w, x: phrases.reshape(w, phrases.swapaxes(w, x, 0, 1), ["6*B", 4]),
        "Y = reshape(transpose(x, [1, 0, 2]), [6 * B, 4])",
        lambda a: a.transpose(1, 0, 2).reshape(-1, 4),
    ),
    (
        lambda w, x: phrases.part(w, phrases.swapaxes(w, x, 1, 2), 2, 1, 3),
        "Y = transpose(x[:, 1:3], [0, 2, 1])",
        lambda a: a.transpose(0, 2, 1)[:, :, 1:3],
    ),
]


@pytest.mark.parametrize(("build", "program", "meaning"), ROWS)
def test_a_chain_of_views_is_one_view(
    build: Build, program: str, meaning: Callable[[np.ndarray], np.ndarray]
) -> None:
    w = Writer()
    w.sizes["B"] = 2
    x = w.input("x", ("B", 6, 4), values=np.arange(48.0).reshape(2, 6, 4))
    captured = w.finish(build(w, x))
    assert captured.program == program
    verify(captured, lambda v: meaning(v["x"]), [{"x": np.arange(72.0).reshape(3, 6, 4)}])


def test_a_view_that_is_no_regrouping_keeps_its_own_line() -> None:
    w = Writer()
    x = w.input("x", (4, 6), values=np.arange(24.0).reshape(4, 6))
    captured = w.finish(phrases.reshape(w, phrases.transpose(w, x), [3, 8]))
    assert captured.program == "Y = reshape(x.T, [3, 8])"
    verify(captured, lambda v: v["x"].T.reshape(3, 8))
