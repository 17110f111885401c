"""NumPy-style functions: what people write derives, agrees with finite differences, and says why where it does not."""

from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

import pullback
from pullback.capture.captured import output_of

EXAMPLES = run_path(str(Path(__file__).with_name("numpy_examples.py")))
CASES, named_params, rope = (EXAMPLES[name] for name in ("CASES", "named_params", "rope"))
two_layer_net = EXAMPLES["two_layer_net"]
SLOW = (
    "conv_naive",
    "multi_head",
    "rnn_forward",
    "char_rnn",
    "lstm_step",
    "rope",
    "group_norm",
    "total_variation",
)
QUICK = [row for row in CASES if row[0].__name__ not in SLOW]


@pytest.mark.parametrize(("f", "shapes"), QUICK, ids=lambda x: getattr(x, "__name__", ""))
def test_gradients_are_those_of_the_function(f, shapes):
    derivation = pullback.derive(f, shapes)
    captured = derivation.captured
    held = {name: captured.values[name] for name in captured.parameters}
    values = {name: x for name, x in captured.values.items() if name not in held}
    shape = output_of(derivation.program, captured.values, captured.sizes).shape
    rng = np.random.default_rng(0)
    upstream = rng.normal(size=shape)
    gradients = derivation.compile()(values, upstream if shape else None)
    for name, gradient in gradients.items():
        direction = rng.normal(size=np.shape(values[name]))
        sides = []
        for step in (1e-5, -1e-5):
            moved = {**captured.values, name: values[name] + step * direction}
            found = output_of(derivation.program, moved, captured.sizes)
            sides.append(np.sum((upstream if shape else 1.0) * found))
        slope = (sides[0] - sides[1]) / 2e-5
        assert np.sum(gradient * direction) == pytest.approx(slope, rel=1e-6, abs=1e-6), name


def test_names_and_sizes_are_those_of_the_code():
    captured = pullback.derive(two_layer_net, dict(CASES)[two_layer_net]).captured
    assert "hidden = relu(X @ W1 + b1)" in captured.program
    assert "probs" in captured.program
    assert captured.output == "loss" or captured.output
    assert captured.integers == {"y": (("N",), "C")}
    assert set(captured.sizes) == {"N", "D", "H", "C"}


def test_arguments_may_be_trees():
    derivation = pullback.derive(named_params, dict(CASES)[named_params])
    assert list(derivation.gradients) == ["p_encoder_w", "p_encoder_b", "p_decoder", "x"]


def test_a_size_that_is_divided_is_a_multiple():
    captured = pullback.derive(rope, {"x": "T D"}).captured
    assert captured.notes == ("D = 2*D2",)
    assert captured.shapes["x"] == ("T", "2*D2")


def loops(x):
    total = 0.0
    for k in range(x.shape[0]):
        total = total + x[k] ** 2
    return total


def test_a_loop_over_a_size_holds_for_that_size():
    captured = pullback.derive(loops, {"x": "N"}).captured
    assert captured.notes == ("for N = 5 alone",)
    assert captured.shapes["x"] == (5,)


def both(x):
    loss = np.sum(x**2)
    return loss, 2 * x


@pytest.mark.parametrize(("output", "name"), [(0, "loss"), ("loss", "loss"), (1, "Y")])
def test_one_of_several_outputs(output, name):
    assert pullback.derive(both, {"x": "N"}, output=output).captured.output == name


def updated(x):
    x -= x.max(axis=1, keepdims=True)
    x[x < -1] = 0
    row = x[0]
    row *= 2
    return x


def test_updates_in_place_are_followed():
    shape = pullback.derive(updated, {"x": "N D"}).program.output.shape
    assert [str(size) for size in shape] and len(shape) == 2


def branches(x):
    if x.sum() > 0:
        return x
    return -x


def rounds(x):
    return x * float(x[0])


def sorts(x):
    return np.sort(x)


def masks(x):
    return x[x > 0].sum()


def chooses(x):
    return x[np.argmax(x)]


def solves(A, b):
    return np.linalg.lstsq(A, b)[0]


def fails(x):
    return x @ undefined  # noqa: F821


@pytest.mark.parametrize(
    ("f", "shapes", "words"),
    [
        (branches, {"x": "N"}, ("branches on a value", "if x.sum() > 0", "np.where")),
        (rounds, {"x": "N"}, ("Python float", "line")),
        (sorts, {"x": "N"}, ("numpy.sort has no meaning",)),
        (masks, {"x": "N"}, ("shape that depends on values", "np.where(mask, x, 0)")),
        (chooses, {"x": "N"}, ("positions that depend on values",)),
        (solves, {"A": "N N", "b": "N"}, ("numpy.lstsq has no meaning",)),
        (fails, {"x": "N"}, ("NameError", "undefined")),
        (both, {"x": "N"}, ("returns 2 arrays", "output=0")),
        (both, {"z": "N"}, ("z is no parameter",)),
        (both, {}, ("the shape of x is not given",)),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_refusals_say_where_and_what_would_mend_it(f, shapes, words):
    with pytest.raises(pullback.PullbackError) as refused:
        pullback.derive(f, shapes)
    for word in words:
        assert word in str(refused.value)


class Float:
    """As jaxtyping's: it knows the names of the axes."""

    def __init__(self, dim_str):
        self.dim_str = dim_str


def annotated(X, W):
    return X @ W


annotated.__annotations__ = {"X": Float("N D"), "W": 'Float[Array, "D M"]'}


def test_annotations_give_the_shapes():
    derivation = pullback.derive(annotated)
    assert str(derivation.gradients["W"]) == "dW = X.T @ dY"


def test_an_example_gives_the_shapes():
    derivation = pullback.derive(annotated, (np.ones((3, 4)), np.ones((4, 2))))
    assert str(derivation.gradients["X"]) == "dX = dY @ W.T"


def test_the_users_function_is_left_as_it_is():
    before = np.zeros
    pullback.derive(annotated)
    assert annotated.__globals__["np"].zeros is before


def test_a_mean_inside_a_variance_is_the_mean_that_has_a_name():
    def layer_norm(x, g):
        mu = x.mean(axis=-1, keepdims=True)
        return g * (x - mu) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)

    derivation = pullback.derive(layer_norm, {"x": "N D", "g": "D"})
    assert derivation.captured.program.count("mean(x") == 1
    assert "mean((x - mu) ** 2" in derivation.captured.program


def test_an_axis_that_is_split_into_equal_parts_is_a_multiple():
    def glu(x):
        a, b = np.split(x, 2, axis=1)
        return a * np.tanh(b)

    captured = pullback.derive(glu, {"x": "N D"}).captured
    assert captured.notes == ("D = 2*D2",)
