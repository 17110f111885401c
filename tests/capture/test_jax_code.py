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
    "angles", "student_nll", "survival",
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


def newton_root(a):
    def step(state):
        k, x = state
        return k + 1, 0.5 * (x + a / x)

    return jax.lax.while_loop(lambda state: state[0] < 2, step, (0, a))[1]


def newton_steps(a):
    x = 0.5 * (a + a / a)
    return 0.5 * (x + a / x)


def test_a_loop_that_counts_is_written_out():
    looped, written = (pullback.derive(f, {"a": "N"}) for f in (newton_root, newton_steps))
    a = np.array([0.5, 2.0, 3.0])
    assert np.allclose(
        looped.compile()({"a": a}, np.ones(3))["a"], written.compile()({"a": a}, np.ones(3))["a"], rtol=1e-12
    )


def conditions(x):
    return jax.lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x)


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
        (loops, ("condition depends on values", "lax.scan")),
        (conditions, ("branches on a value", "jnp.where")),
        (uses_own_rule, ("derivative that is not the one of its forward", "custom_vjp")),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_refusals_say_why(f, words):
    with pytest.raises(pullback.PullbackError) as refused:
        pullback.derive(f, {"x": "N"})
    for word in words:
        assert word in str(refused.value)


# ---- what is computed without a gradient


def temporal_difference(q, qn, a, r):
    target = jax.lax.stop_gradient(r + 0.9 * qn.max(axis=1))
    return jnp.mean((q[jnp.arange(q.shape[0]), a] - target) ** 2)


def vector_quantised(x, e):
    best = jnp.argmin(((x[:, None, :] - e[None]) ** 2).sum(-1), axis=1)
    z = e[best]
    hold = jax.lax.stop_gradient
    return ((hold(x) - z) ** 2).mean() + 0.25 * ((x - hold(z)) ** 2).mean()


def in_order(x):
    return jnp.sum(jnp.sort(x, axis=1) * jnp.arange(1.0, x.shape[1] + 1))


def by_rank(x):
    return jnp.sum(x[jnp.argsort(x)] ** 3 * jnp.arange(x.shape[0]))


def two_largest(x):
    values, _ = jax.lax.top_k(x, 2)
    return (values**2).sum()


def to_the_nearest(x):
    return ((x - jnp.round(3 * x) / 3) ** 2).sum()


def straight(x):
    return (x + jax.lax.stop_gradient(jnp.floor(x) - x)) ** 2


def held_steps(xs):
    def step(c, x):
        c = 0.9 * jax.lax.stop_gradient(c) + x
        return c, c**2

    return jax.lax.scan(step, jnp.zeros(()), xs)[1].sum()


def jitted_inside(x):
    return jnp.sum(jax.jit(lambda y: y * jax.lax.stop_gradient(jnp.exp(y)))(x))


@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        (temporal_difference, {"q": (4, 3), "qn": (4, 3), "a": (4,), "r": (4,)}),
        (vector_quantised, {"x": (5, 3), "e": (4, 3)}),
        (in_order, {"x": (3, 4)}),
        (by_rank, {"x": (5,)}),
        (two_largest, {"x": (3, 5)}),
        (to_the_nearest, {"x": (3, 5)}),
        (straight, {"x": (4,)}),
        (held_steps, {"xs": (5,)}),
        (jitted_inside, {"x": (4,)}),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_what_has_no_gradient_is_data(f, shapes):
    rng = np.random.default_rng(0)
    draw = {n: rng.integers(0, 3, s) if n == "a" else 3 * rng.normal(size=s) for n, s in shapes.items()}
    derivation = pullback.derive(f, draw)
    backward = derivation.compile()
    with jax.enable_x64(True):
        for scale in (1, -0.7):  # computed at each call
            values = {n: x if n == "a" else scale * x for n, x in draw.items()}
            real = {n: jnp.asarray(x) for n, x in values.items() if n != "a"}
            true = jax.grad(lambda r, v=values: jnp.sum(f(**{**v, **r})))(real)
            up = np.ones(np.shape(f(**{n: jnp.asarray(x) for n, x in values.items()})))
            found = backward(values, up) if up.shape else backward(values)
            assert found
            for name, gradient in found.items():
                np.testing.assert_allclose(gradient, true[name], rtol=1e-10, atol=1e-12)
    assert any("no gradient flows through it" in note for note in derivation.captured.notes)


def test_positions_and_what_is_held_are_read_as_a_person_would():
    rng = np.random.default_rng(0)
    found = pullback.derive(vector_quantised, {"x": rng.normal(size=(5, 3)), "e": rng.normal(size=(4, 3))})
    assert str(found.gradients["x"]) == "dx = 0.5 / (N * D) * (x - held1)"
    assert str(found.gradients["e"]) == "de = 2 / (N * D) * onehot(best, M).T @ (z - held)"


def test_a_shift_that_is_held_leaves_the_derivative_as_it_is():
    def log_sum(x):
        m = jax.lax.stop_gradient(x.max(axis=1, keepdims=True))
        return jnp.log(jnp.exp(x - m).sum(axis=1)) + m[:, 0]

    found = pullback.derive(log_sum, {"x": np.ones((3, 4))})
    assert list(found.captured.notes) == []
