"""JAX functions: what people write derives, agrees with jax.grad to 1e-10, and says why where it does not."""

from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

import pullback
from pullback.capture.captured import output_of

pytestmark = pytest.mark.jax
jax = pytest.importorskip("jax")
jnp = jax.numpy
EXAMPLES = run_path(str(Path(__file__).with_name("jax_examples.py")))
QUICK = (
    "predict", "one_hot_loss", "taken_loss", "relu_net", "attention", "rms_norm", "gelu_mlp", "rope", "mean_pool",
    "batched", "embedding", "segments", "neighbours", "updates", "bce", "compiled", "remat", "cumulative",
)  # fmt: skip
CASES = [row for row in EXAMPLES["CASES"] if row[0].__name__ in QUICK]


def named(tree, name, values, names):
    """The arguments in the structure that the shapes give."""
    if isinstance(tree, dict):
        return {k: named(part, f"{name}.{k}" if name else k, values, names) for k, part in tree.items()}
    if isinstance(tree, list) or (isinstance(tree, tuple) and name):
        return type(tree)(named(part, f"{name}.{k}", values, names) for k, part in enumerate(tree))
    return jnp.asarray(values[names[name]])


@pytest.mark.parametrize(("f", "shapes"), CASES, ids=lambda x: getattr(x, "__name__", ""))
def test_gradients_are_those_of_jax(f, shapes):
    derivation = pullback.derive(f, shapes)
    captured = derivation.captured
    values = {name: x for name, x in captured.values.items() if name not in captured.parameters}
    shape = output_of(derivation.program, captured.values, captured.sizes).shape
    upstream = np.random.default_rng(0).normal(size=shape)
    gradients = derivation.compile()(values, upstream if shape else None)
    with jax.enable_x64(True):

        def loss(given):
            arguments = named(shapes, "", {**values, **given}, captured.names)
            return jnp.sum(f(**arguments) * (upstream if shape else 1.0))

        expected = jax.grad(loss)({name: jnp.asarray(values[name]) for name in gradients})
        for name, gradient in gradients.items():
            np.testing.assert_allclose(gradient, expected[name], rtol=1e-10, atol=1e-10, err_msg=name)


def test_names_and_lines_are_those_of_the_code():
    captured = pullback.derive(EXAMPLES["attention"], {"q": "T D", "k": "T D", "v": "T M"}).captured
    assert "weights = softmax(scores1)" in captured.program
    file, line = captured.lines["weights"]
    assert Path(file).name == "jax_examples.py"
    assert line > 0
    assert captured.notes == ()


def test_integers_are_found_or_said():
    captured = pullback.derive(
        EXAMPLES["cross_entropy"], {"W": "D C", "b": "C", "X": "N D"}, integers={"y": ("N", "C")}
    ).captured
    assert captured.integers == {"y": (("N",), "C")}


def padded(x, w):
    return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def masked(x, mask):
    return jnp.sum(jnp.where(mask, x, 0.0)) / jnp.sum(mask)


def test_sizes_that_have_to_be_numbers_become_those_of_the_example_and_masks_are_0_or_1():
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(1, 4, 4, 2)), rng.normal(size=(3, 3, 2, 5))
    captured = pullback.derive(padded, (image, kernel)).captured
    assert "conv2d" in captured.program
    assert "alone" in captured.notes[0]
    captured = pullback.derive(masked, (rng.normal(size=(2, 3)), rng.random((2, 3)) > 0.5)).captured
    assert captured.integers["mask"][1] == 2


def branches(x):
    if jnp.sum(x) > 0:
        return x
    return -x


def loops(x):
    return jax.lax.while_loop(lambda x: jnp.sum(x) > 1, lambda x: x / 2, x)


def conditions(x):
    return jax.lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x)


def sorts(x):
    return jnp.sort(x)


def holds_back(x):
    return jnp.sum(x * jax.lax.stop_gradient(x))


@jax.custom_vjp
def straight_through(x):
    return jnp.sign(x) * x


straight_through.defvjp(lambda x: (straight_through(x), None), lambda _, g: (2 * g,))


def uses_own_rule(x):
    return jnp.sum(straight_through(x))


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (branches, ("cannot be traced", "jnp.where", "if jnp.sum(x) > 0")),
        (loops, ("while", "lax.scan")),
        (conditions, ("branches on a value", "jnp.where")),
        (sorts, ("the order of values",)),
        (holds_back, ("derivative that is not the one of its forward", "stop_gradient")),
        (uses_own_rule, ("derivative that is not the one of its forward", "custom_vjp")),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_refusals_say_why(f, words):
    with pytest.raises(pullback.PullbackError) as refused:
        pullback.derive(f, {"x": "N"})
    for word in words:
        assert word in str(refused.value)
