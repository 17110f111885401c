"""The writer: what it writes into a line, what it names, and that no wrong program passes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pullback.capture import phrases
from pullback.capture.captured import verify
from pullback.capture.names import legible
from pullback.capture.writing import Value, Writer, number_text
from pullback.errors import DomainProblem, InternalProblem, ShapeProblem

Build = Callable[[Writer, Value], Value]


def written(build: Build) -> str:
    w = Writer()
    return w.finish(build(w, w.input("x", ("N", "D")))).program


@pytest.mark.parametrize(
    ("build", "program"),
    [
        (lambda w, x: w.elementwise("relu({0})", x), "Y = relu(x)"),
        (lambda w, x: phrases.transpose(w, x), "Y = x.T"),
        (lambda w, x: x, "Y = x + 0"),
        (lambda w, x: phrases.matmul(w, x, phrases.transpose(w, x)), "Y = x @ x.T"),
        (lambda w, x: phrases.reduce(w, "mean", x, -1, True), "Y = mean(x, axis=1, keepdims=True)"),
        (lambda w, x: phrases.reduce(w, "sum", x), "L = sum(x)"),
        (lambda w, x: phrases.along(w, "softmax", x), "Y = softmax(x)"),
        (lambda w, x: phrases.new_axis(w, x, 1), "Y = x[:, None]"),
        (lambda w, x: phrases.part(w, x, 1, 1), "Y = x[:, 1:]"),
        (lambda w, x: phrases.entry(w, x, 1, 0), "Y = x[:, 0]"),
        (lambda w, x: phrases.reshape(w, x, ["N*D"]), "Y = reshape(x, [D * N])"),
        (lambda w, x: phrases.stack(w, [x, x]), "Y = concatenate([x[None], x[None]], axis=0)"),
        (lambda w, x: phrases.times(w, x, w.filled(1, ("N", "D"))), "Y = x + 0"),
        (lambda w, x: w.elementwise("{0} * {1}", x, w.filled(3, ("N", "D"))), "Y = x * 3"),
        (lambda w, x: phrases.einsum(w, "nd,nd", [x, x]), "L = einsum('nd,nd->', x, x)"),
    ],
)
def test_one_operation_is_one_expression(build: Build, program: str) -> None:
    assert written(build) == program


def test_a_value_that_is_read_once_is_written_into_its_reader() -> None:
    def build(w: Writer, x: Value) -> Value:
        return w.elementwise("exp({0})", w.elementwise("-{0}", x))

    assert written(build) == "Y = exp(-x)"


def test_a_value_that_is_read_twice_has_a_line_and_a_dead_one_has_none() -> None:
    def build(w: Writer, x: Value) -> Value:
        h = w.elementwise("exp({0})", x, hint="h")
        w.elementwise("sin({0})", h)
        return w.elementwise("{0} * {1}", h, w.elementwise("1 + {0}", h))

    assert written(build) == "h = exp(x)\nY = h * (1 + h)"


def test_an_operator_has_a_line_of_its_own() -> None:
    def build(w: Writer, x: Value) -> Value:
        return phrases.matmul(w, phrases.along(w, "softmax", x, hint="P"), phrases.transpose(w, x))

    assert written(build) == "P = softmax(x)\nY = P @ x.T"


def test_a_gather_along_rows_is_a_line_in_index_notation() -> None:
    w = Writer()
    x, t = w.input("x", ("N", "D")), w.input("t", ("N", 1), kind="int")
    captured = w.finish(phrases.take_along(w, x, t, 1))
    assert captured.program == "Y[b,i] = x[b, t[b, i]]"
    assert captured.integers == {"t": (("N", 1), "D")}
    assert captured.read().output.rank == 2


def test_an_index_takes_no_letter_that_is_a_name() -> None:
    w = Writer()
    b, t = w.input("b", ("N", "D")), w.input("t", ("N", 1), kind="int")
    captured = w.finish(phrases.take_along(w, b, t, 1))
    assert captured.program == "Y[j,i] = b[j, t[j, i]]"
    assert captured.read().output.rank == 2


def test_an_index_into_axes_of_two_sizes_is_refused() -> None:
    w = Writer()
    t = w.input("t", ("N",), kind="int")
    w.ranges_over(t, "V")
    with pytest.raises(DomainProblem, match="t is an index into axes of size V and of size D"):
        w.ranges_over(t, "D")


@pytest.mark.parametrize(
    ("path", "name"),
    [("self_attn.in_proj_weight", "self_attn_in_proj_weight"), ("net.0.weight", "net0_weight"), ("0.b", "layer0_b"),
     ("__x__", "x"), ("x1", "x1"), ("é", "")],
)  # fmt: skip
def test_names_are_legible(path: str, name: str) -> None:
    assert legible(path) == name


def test_no_name_is_one_of_the_language_or_reads_as_a_gradient() -> None:
    w = Writer()
    x, dx, total = w.input("x", ("N",)), w.input("dx", ("N",)), w.input("sum", ("N",))
    captured = w.finish(w.elementwise("{0} * {1} * {2}", x, dx, total, hint="lambda"))
    assert captured.program == "lambda1 = x * dx1 * sum1"
    assert captured.names == {"x": "x", "dx": "dx1", "sum": "sum1"}


@pytest.mark.parametrize(
    ("number", "text"),
    [(2.0, "2"), (True, "1"), (1 / 3, "1 / 3"), (3**-0.5, "1 / sqrt(3)"), (1e-5, "1e-05"), (-0.5, "-0.5"),
     ((2 / np.pi) ** 0.5, "sqrt(2 / pi)"), (0.044715, "0.044715"), (8**0.5, "sqrt(8)")],
)  # fmt: skip
def test_a_number_is_written_as_it_was_meant(number: float, text: str) -> None:
    assert number_text(number) == text


def test_an_infinite_constant_is_refused() -> None:
    with pytest.raises(DomainProblem, match="the constant -inf has no meaning in the language"):
        number_text(float("-inf"))


def test_a_constant_array_is_an_input_without_a_gradient() -> None:
    w = Writer()
    x, c = w.input("x", ("N",)), w.constant(np.array([1.0, 2.0]), "c")
    captured = w.finish(w.elementwise("{0} * {1}", phrases.reduce(w, "sum", x), c))
    assert captured.wrt == ("x",)
    assert captured.parameters == ("c",)


def test_a_reshape_that_does_not_come_out_is_refused() -> None:
    with pytest.raises(ShapeProblem, match=r"the size of -1 in 2×1 does not come out"):
        written(lambda w, x: phrases.reshape(w, x, [2, -1]))


def test_a_program_that_differs_from_its_code_is_never_used() -> None:
    w = Writer()
    x = w.input("x", (3,), values=np.arange(3.0))
    captured = w.finish(w.elementwise("2 * {0}", x))
    assert verify(captured, lambda v: 2 * v["x"]).output.name == "Y"
    with pytest.raises(InternalProblem, match=r"differs from the code by 2, so that it is not used"):
        verify(captured, lambda v: 3 * v["x"])
    with pytest.raises(InternalProblem, match=r"gives the shape \[3\], where the code gives \[1\]"):
        verify(captured, lambda v: v["x"][:1])


def test_sizes_are_read_off_other_values() -> None:
    w = Writer()
    w.sizes["N"] = 2
    x = w.input("x", ("N",), values=np.ones(2))
    captured = w.finish(w.elementwise("{0} / {1}", x, w.size("N")))
    others = [{"x": np.ones(5)}]
    assert verify(captured, lambda v: v["x"] / len(v["x"]), others).sizes == ("N",)
    with pytest.raises(InternalProblem, match="differs from the code"):
        verify(captured, lambda v: v["x"] / 2, others)
