"""Whatever the text, the answer is a program or a `PullbackError`."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from pullback.errors import PullbackError
from pullback.program import Program
from pullback.reading import parse_shapes, parse_sizes, read_program

WORDS = [
    "Y", "X", "W", "x", "b", "i", "j", "N", "t", "dX", "T", "=", "==", "+", "-", "*", "/", "//", "%", "**",
    "@", "<", "(", ")", "[", "]", ",", ":", ";", "\n", " ", ".T", ".", "0", "1", "2.5", "1e3", "None", "in",
    "sum", "softmax", "exp", "inv", "reshape", "concatenate", "take", "einsum", "'ij,jk'", "axis=", "where",
    "lambda", "if", "__class__", "#", "conv2d", "norm", "trace", "kron", "cumsum", "onehot", "eye", "max",
]  # fmt: skip


def outcome(text: str) -> Program | PullbackError:
    try:
        return read_program(text, shapes={"X": "N D", "x": "N"}, integers={"t": ("B", "N")})
    except PullbackError as error:
        return error


@given(st.lists(st.sampled_from(WORDS), max_size=14).map("".join))
def test_words_of_the_language_in_any_order(text: str) -> None:
    assert isinstance(outcome("Y = X\n" + text), (Program, PullbackError))


@given(
    st.lists(st.sampled_from(WORDS), max_size=12).map(lambda words: "Z = exp(X) @ (" + "".join(words) + ")")
)
def test_words_inside_an_expression(text: str) -> None:
    assert isinstance(outcome(text), (Program, PullbackError))


@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    assert isinstance(outcome(text), (Program, PullbackError))
    assert str(outcome("Y = " + text))
    for parse in (parse_shapes, parse_sizes):
        with contextlib.suppress(PullbackError):
            assert isinstance(parse(text), dict)
