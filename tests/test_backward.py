"""A compiled backward pass: what it accepts, what it gives back, and what it says to the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback import limits
from pullback.api import derive
from pullback.errors import DomainProblem, LimitProblem, NameProblem, PullbackError, ShapeProblem

RNG = np.random.default_rng(0)
X, W, G = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 5)), RNG.normal(size=(4, 5))
LINEAR = derive("Y = X @ W").compile()
LOSS = derive("L = sum(tanh(X)**2) / N", {"X": "N D"}).compile()
ROWS = derive("Y = take(E, t)", {"E": "V D"}, integers={"t": ("B", "V")})


def test_the_gradients_of_a_product() -> None:
    found = LINEAR({"X": X, "W": W}, G)
    assert list(found) == ["X", "W"]
    np.testing.assert_allclose(found["X"], G @ W.T, rtol=1e-14)
    np.testing.assert_allclose(found["W"], X.T @ G, rtol=1e-14)
    assert "def backward(" in LINEAR.source


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_type_of_a_gradient_is_that_of_its_input(dtype: Any) -> None:
    found = LINEAR({"X": X.astype(dtype), "W": W.astype(dtype)}, G.astype(dtype))
    assert {array.dtype for array in found.values()} == {np.dtype(dtype)}
    np.testing.assert_allclose(found["W"], X.T @ G, rtol=1e-5 if dtype is np.float32 else 1e-14, atol=1e-6)
    assert LOSS({"X": X.astype(dtype)})["X"].dtype == dtype


def test_integers_count_as_float64() -> None:
    assert LINEAR({"X": np.arange(12).reshape(4, 3), "W": W.tolist()}, G)["W"].dtype == np.float64


@pytest.mark.parametrize(
    "view",
    [
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=0)[::2],
        lambda a: a[::-1][::-1],
        lambda a: a.T.copy().T,
    ],
)
def test_inputs_need_not_be_contiguous(view: Any) -> None:
    found = LINEAR({"X": view(X), "W": view(W)}, view(G))
    np.testing.assert_allclose(found["X"], G @ W.T, rtol=1e-14)


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("d", [0, 1, 3])
def test_sizes_0_and_1(n: int, d: int) -> None:
    x, w, g = np.ones((n, d)), np.ones((d, 2)), np.ones((n, 2))
    found = LINEAR({"X": x, "W": w}, g)
    assert (found["X"].shape, found["W"].shape) == ((n, d), (d, 2))
    np.testing.assert_array_equal(found["W"], np.full((d, 2), float(n)))


def test_inputs_are_left_as_they_were() -> None:
    before = [a.copy() for a in (X, W, G)]
    LINEAR({"X": X, "W": W}, G)
    assert all(np.array_equal(a, b) for a, b in zip((X, W, G), before, strict=True))


def test_a_number_scales_the_gradients_of_a_loss() -> None:
    np.testing.assert_allclose(LOSS({"X": X}, 3.0)["X"], 3 * LOSS({"X": X})["X"], rtol=1e-14)


def test_gradients_add_up_where_an_integer_stands_twice() -> None:
    backward = ROWS.compile()
    found = backward({"E": np.zeros((4, 2)), "t": np.array([1, 1, 3])}, np.ones((3, 2)))["E"]
    np.testing.assert_array_equal(found, [[0, 0], [2, 2], [0, 0], [1, 1]])


def test_a_gradient_has_the_shape_of_its_input_even_where_it_is_zero() -> None:
    backward = derive("L = sum(X * 0 + 1)", {"X": "N D"}).compile()
    np.testing.assert_array_equal(backward({"X": X})["X"], np.zeros((4, 3)))


def test_a_size_that_no_input_shows() -> None:
    derivation = derive("Y[i,j] = a * b", {"a": "", "b": "", "Y": "N D"})
    inputs = {"a": np.array(2.0), "b": np.array(3.0)}
    sized = derivation.compile(sizes={"N": 2, "D": 3})
    assert sized(inputs, np.ones((2, 3)))["a"] == 18.0
    with pytest.raises(NameProblem, match="Q is not a size of the program"):
        derivation.compile(sizes={"Q": 2})


Bad = tuple[dict[str, Any], Any, type[PullbackError], str]
REFUSED: list[Bad] = [
    ({"X": X}, G, NameProblem, "the input W is missing"),
    ({"X": X, "W": W}, None, NameProblem, "the output Y is not a scalar"),
    ({"X": X[0], "W": W}, G, ShapeProblem, "X has 1 axes"),
    ({"X": X, "W": W.T}, G, ShapeProblem, "axis 0 of W has size 5"),
    ({"X": X, "W": W}, G.T, ShapeProblem, r"dY has shape \(5, 4\)"),
    ({"X": X, "W": W}, G[:, :1], ShapeProblem, "dY has shape"),
    ({"X": X.astype(complex), "W": W}, G, DomainProblem, "X holds complex128"),
    ({"X": X > 0, "W": W}, G, DomainProblem, "X holds bool"),
    ({"X": np.array([["a"]]), "W": W}, G, DomainProblem, "X holds <U1"),
]


@pytest.mark.parametrize(
    ("inputs", "upstream", "kind", "message"), REFUSED, ids=lambda x: getattr(x, "__name__", None)
)
def test_what_does_not_fit_is_refused(
    inputs: dict[str, Any], upstream: Any, kind: type[PullbackError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        LINEAR(inputs, upstream)


@pytest.mark.parametrize("upstream", [np.ones(4), np.ones((3, 1)), np.ones((3, 4))])
def test_the_gradient_of_a_scalar_is_one_number(upstream: Any) -> None:
    backward = derive("L = sum(X * X)", {"X": "N D"}).compile()
    with pytest.raises(ShapeProblem, match="the output L is a scalar, and its gradient has shape"):
        backward({"X": np.ones((3, 4))}, upstream)
    assert np.all(backward({"X": np.ones((3, 4))}, np.full(1, 3.0))["X"] == 6)


@pytest.mark.parametrize("t", [[0, 4], [-1, 0], [99, 2]])
def test_integers_outside_their_range_are_refused(t: list[int]) -> None:
    with pytest.raises(DomainProblem, match=r"where 0\.\.3 is expected"):
        ROWS.compile()({"E": np.zeros((4, 2)), "t": np.array(t)}, np.ones((2, 2)))


def test_an_integer_tensor_takes_no_floats() -> None:
    with pytest.raises(DomainProblem, match="where integers is expected"):
        ROWS.compile()({"E": np.zeros((4, 2)), "t": np.array([0.0, 1.0])}, np.ones((2, 2)))


def test_too_large_is_said_before_anything_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ELEMENTS", 10)
    with pytest.raises(LimitProblem, match="would hold 20 numbers"):
        LINEAR({"X": X, "W": W}, G)


@pytest.mark.parametrize(
    ("program", "shapes"),
    [
        ("Y = solve(A, B)", {"A": "P N N", "B": "P N M"}),
        ("Y = solve(A, B)", {"A": "N N", "B": "P N M"}),
        ("Y = solve(A, B)", {"A": "P N N", "B": "N"}),
        ("Y = solve(A, B)", {"A": "K P N N", "B": "P N M"}),
        ("Z = solve(A + eye(N), B); L = sum(Z * tanh(Z))", {"A": "P N N", "B": "P N M"}),
    ],
)
def test_systems_in_batches(program: str, shapes: dict[str, str]) -> None:
    sizes = {"K": 2, "P": 3, "N": 4, "M": 5}
    rng = np.random.default_rng(0)
    inputs = {n: rng.standard_normal([sizes[s] for s in shape.split()]) for n, shape in shapes.items()}
    derivation = derive(program, shapes)
    assert {step.status for step in derivation.steps} == {"exact"}

    def loss(values: dict[str, Any]) -> Any:
        if program.startswith("Y"):
            return np.sum(np.linalg.solve(values["A"], values["B"]) * upstream)
        z = np.linalg.solve(values["A"] + np.eye(4), values["B"])
        return np.sum(z * np.tanh(z))

    upstream = None
    if program.startswith("Y"):
        upstream = rng.standard_normal(np.linalg.solve(inputs["A"], inputs["B"]).shape)
    found = derivation.compile()(inputs, upstream)
    for name, value in inputs.items():
        along, h = rng.standard_normal(value.shape), 1e-6
        up, down = ({**inputs, name: value + s * h * along} for s in (1, -1))
        expected = (loss(up) - loss(down)) / (2 * h)
        assert np.sum(found[name] * along) == pytest.approx(expected, rel=1e-5)


def test_a_batch_of_vectors_is_written_as_matrices() -> None:
    with pytest.raises(ShapeProblem, match="a batch of matrices"):
        derive("Y = solve(A, B)", {"A": "P N N", "B": "P N"})
