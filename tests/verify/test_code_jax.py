"""Hand-written `jax.custom_vjp` rules: right ones are never called wrong, wrong ones are, and told why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from pullback.checking import check

jax = pytest.importorskip("jax")
jnp = jax.numpy
pytestmark = pytest.mark.jax
RNG = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape)


def made(fun: Callable[..., Any], fwd: Callable[..., Any], bwd: Callable[..., Any], fixed: Any = ()) -> Any:
    found = jax.custom_vjp(fun, nondiff_argnums=fixed)
    found.defvjp(fwd, bwd)
    return found


def rows(x: Any) -> Any:
    return x.mean(-1, keepdims=True)


def linear(x: Any, w: Any, b: Any) -> Any:
    return x @ w + b


def linear_fwd(x: Any, w: Any, b: Any) -> Any:
    return linear(x, w, b), (x, w)


def linear_bwd(saved: Any, dy: Any) -> Any:
    x, w = saved
    return dy @ w.T, x.T @ dy, dy.sum(0)


def norm(eps: float, x: Any, g: Any) -> Any:
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + eps) * g


def norm_fwd(eps: float, x: Any, g: Any) -> Any:
    r = jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + eps)
    return x * r * g, (x, r, g)


def norm_bwd(eps: float, saved: Any, dy: Any) -> Any:
    x, r, g = saved
    return r * (dy * g - x * r * r * rows(dy * g * x)), (dy * x * r).sum(0)


def norm_outside(eps: float, saved: Any, dy: Any) -> Any:
    x, _, g = saved
    r = 1 / (jnp.sqrt(jnp.mean(x * x, -1, keepdims=True)) + eps)
    return r * (dy * g - x * r * r * rows(dy * g * x)), (dy * x * r).sum(0)


def soft(x: Any) -> Any:
    return jax.nn.softmax(x, axis=-1)


def soft_fwd(x: Any) -> Any:
    p = soft(x)
    return p, p


def soft_bwd(p: Any, dp: Any) -> Any:
    return (p * (dp - (dp * p).sum(-1, keepdims=True)),)


def entropy(x: Any, t: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(x), t[:, None], axis=1).mean()


def entropy_fwd(x: Any, t: Any) -> Any:
    return entropy(x, t), (x, t)


def entropy_bwd(saved: Any, dl: Any) -> Any:
    x, t = saved
    return dl * (jax.nn.softmax(x) - jax.nn.one_hot(t, x.shape[1])) / len(t), None


def relu(x: Any) -> Any:
    return jnp.maximum(x, 0)


def pieces(x: Any) -> Any:
    """Two outputs, a loop and a slice."""
    total = jax.lax.fori_loop(0, 3, lambda _, s: s * jnp.sin(x), jnp.ones_like(x))
    return total, x[1:] * x[:-1]


def pieces_bwd(x: Any, d: Any) -> Any:
    da, db = d
    dx = da * 3 * jnp.sin(x) ** 2 * jnp.cos(x)
    return (dx.at[1:].add(db * x[:-1]).at[:-1].add(db * x[1:]),)


def distance(p: Any, q: Any) -> Any:
    return 0.5 * jnp.abs(p - q).sum()


def looked_up(table: Any, t: Any) -> Any:
    return table[t]


def saved_args(fun: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: (fun(*args), args)


LINEAR = (normal(4, 3), normal(3, 5), normal(5))
NORM = (1e-5, normal(4, 6), normal(6))
TARGETS = (normal(4, 3), np.array([0, 2, 1, 1]))
TWO = (normal(2, 3), normal(2, 3))


def dense(p: Any, x: Any) -> Any:
    return jnp.tanh(x @ p["w"] + p["b"])


def dense_bwd(saved: Any, dy: Any) -> Any:
    p, x = saved
    g = dy * (1 - dense(p, x) ** 2)
    return {"w": x.T @ g, "b": g.sum(0)}, g @ p["w"].T


def cubed(x: Any) -> Any:
    start = (0, jnp.ones_like(x))
    return jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * x), start)[1]


def steep(x: Any) -> Any:
    return jax.lax.cond(x.sum() > 0, lambda v: v * 2, lambda v: v * 3, x)


def convolved(x: Any, w: Any) -> Any:
    return jax.lax.conv_general_dilated(x, w, (2,), "VALID", dimension_numbers=("NCH", "OIH", "NCH"))


PARAMETERS = ({"w": normal(3, 4), "b": normal(4)}, normal(2, 3))

RIGHT = [
    ("parameters in a dictionary", made(dense, saved_args(dense), dense_bwd), PARAMETERS),
    ("while", made(cubed, saved_args(cubed), lambda s, d: (3 * d * s[0] ** 2,)), (normal(2),)),
    ("cond", made(steep, saved_args(steep), lambda s, d: (d * jnp.where(s[0].sum() > 0, 2.0, 3.0),)), (normal(2),)),
    ("sort", made(jnp.sort, saved_args(jnp.sort), lambda s, d: (
        jnp.zeros_like(d).at[jnp.argsort(s[0])].set(d),)), (normal(4),)),
    ("convolution", made(convolved, saved_args(convolved), lambda s, d: jax.vjp(convolved, *s)[1](d)),
     (normal(1, 2, 5), normal(2, 2, 2))),
    ("inverse", made(jnp.linalg.inv, lambda a: (jnp.linalg.inv(a),) * 2, lambda y, d: (-y.T @ d @ y.T,)),
     (normal(2, 2) + 3 * np.eye(2),)),
    ("linear", made(linear, linear_fwd, linear_bwd), LINEAR),
    ("rms norm, nondiff_argnums", made(norm, norm_fwd, norm_bwd, (0,)), NORM),
    ("softmax", made(soft, soft_fwd, soft_bwd), (normal(3, 4),)),
    ("cross entropy", made(entropy, entropy_fwd, entropy_bwd), TARGETS),
    ("relu", made(relu, saved_args(relu), lambda s, d: (d * (s[0] > 0),)), (normal(3, 4),)),
    ("jitted", made(jax.jit(relu), saved_args(jax.jit(relu)), lambda s, d: (d * (s[0] > 0),)), (normal(3, 4),)),
    ("two outputs", made(pieces, lambda x: (pieces(x), x), pieces_bwd), (normal(5),)),
    ("distance", made(distance, saved_args(distance), lambda s, d: (
        d * 0.5 * jnp.sign(s[0] - s[1]), -d * 0.5 * jnp.sign(s[0] - s[1]))), TWO),
    ("look-up", made(looked_up, saved_args(looked_up), lambda s, d: (
        jnp.zeros_like(s[0]).at[s[1]].add(d), None)), (normal(3, 5), np.array([0, 2, 1, 1]))),
]  # fmt: skip

WRONG = [
    ("a leaf of the parameters", made(dense, saved_args(dense), lambda s, d: (
        {**dense_bwd(s, d)[0], "b": d.sum(0)}, dense_bwd(s, d)[1])), PARAMETERS, "p_b", "formula"),
    ("while", made(cubed, saved_args(cubed), lambda s, d: (2 * d * s[0] ** 2,)), (normal(2),), "x", "formula"),
    ("dW × (1+1e-9)", made(linear, linear_fwd, lambda s, d: (
        linear_bwd(s, d)[0], linear_bwd(s, d)[1] * (1 + 1e-9), d.sum(0))), LINEAR, "w", "formula"),
    ("no batch sum", made(linear, linear_fwd, lambda s, d: (*linear_bwd(s, d)[:2], d)), LINEAR, "b", "shape"),
    ("ε outside the root", made(norm, norm_fwd, norm_outside, (0,)), NORM, "x", "formula"),
    ("softmax without its sum", made(soft, soft_fwd, lambda p, d: (p * d,)), (normal(3, 4),), "x", "formula"),
    ("no 1/N", made(entropy, entropy_fwd, lambda s, d: (entropy_bwd(s, d)[0] * len(s[1]), None)), TARGETS, "x",
     "formula"),
    ("overlap forgotten", made(pieces, lambda x: (pieces(x), x), lambda x, d: (
        pieces_bwd(x, (d[0], 0 * d[1]))[0].at[1:].add(d[1] * x[:-1]),)), (normal(5),), "x", "formula"),
    ("sign at ties", made(distance, saved_args(distance), lambda s, d: (
        d * jnp.where(s[0] > s[1], 0.5, -0.5), -d * jnp.where(s[0] > s[1], 0.5, -0.5))), TWO, "p", "ties"),
    ("too few", made(linear, linear_fwd, lambda s, d: linear_bwd(s, d)[:2]), LINEAR, "x", "count"),
    ("None", made(linear, linear_fwd, lambda s, d: (*linear_bwd(s, d)[:2], None)), LINEAR, "b", "none"),
    ("another forward", made(linear, lambda x, w, b: (x @ w, (x, w)), linear_bwd), LINEAR, "x", "forward"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "inputs"), [row[1:] for row in RIGHT], ids=[row[0] for row in RIGHT])
def test_right_rules_are_right(function: Any, inputs: tuple[Any, ...]) -> None:
    verdict = check(function, inputs)
    assert verdict.ok is True, verdict.explain()


@pytest.mark.parametrize(
    ("function", "inputs", "name", "kind"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_wrong_rules_are_wrong(function: Any, inputs: tuple[Any, ...], name: str, kind: str) -> None:
    verdict = check(function, inputs)
    assert verdict.ok is False, verdict.explain()
    found = {v.wrt: v for v in verdict.verdicts}
    assert (found[name].ok, found[name].kind) == (False, kind), verdict.explain()  # type: ignore[attr-defined]


def test_a_wrong_rule_comes_with_the_derived_formula() -> None:
    rules = made(linear, linear_fwd, lambda s, d: (linear_bwd(s, d)[0], 2 * linear_bwd(s, d)[1], d.sum(0)))
    wrong = check(rules, LINEAR).verdicts[1]  # type: ignore[attr-defined]
    assert wrong.right[-1].startswith("dw = x.T @ d"), wrong.right
    assert (wrong.mend.before, wrong.mend.after) == ("2 * (x.T @ d)", "x.T @ d")


class Moments(NamedTuple):
    mean: Any
    square: Any


def moments(act: Any, x: Any) -> Any:
    return Moments(act(x).mean(), (x * x).mean())


def moments_bwd(_act: Any, x: Any, g: Any) -> Any:
    return ((g.mean * jax.numpy.cos(x) + g.square * x) / x.size,)


def test_the_counterexample_has_the_structure_of_the_output_and_names_functions() -> None:
    function = made(moments, lambda act, x: (moments(act, x), x), moments_bwd, (0,))
    (found,) = check(function, [jax.numpy.sin, normal(3)]).verdicts
    assert found.ok is False
    shown: list[Any] = []
    exec(found.paste, {"print": shown.append, "moments": function})
    assert found.witness is not None
    assert shown[0][0][found.witness.entry] == pytest.approx(found.witness.claimed)


def chosen(x: Any, t: Any) -> Any:
    return jax.lax.cond(t > 0, lambda x: 2 * x, lambda x: x * x, x)


@pytest.mark.parametrize(
    ("slope", "ok"),
    [(lambda x, t: 2.0 + 0 * x, False), (lambda x, t: jnp.where(t > 0, 2.0, 2 * x), True)],
)
def test_a_positive_number_that_the_code_asks_for_its_sign(slope: Callable[..., Any], ok: bool) -> None:
    rule = made(
        chosen, lambda x, t: (chosen(x, t), (x, t)), lambda s, g: (g * slope(*s), jnp.zeros_like(s[1]))
    )
    assert check(rule, [jnp.array([0.3, 0.5, 0.7]), jnp.asarray(0.5)]).ok is ok
