"""Iterations that stand for their limit, gradients that are no derivative on purpose, and points that a check needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback import check

RNG = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape)


# ---- iterations -------------------------------------------------------------------------------


def settled(w: Any, x: Any) -> Any:
    z = np.zeros_like(x)
    for _ in range(60):
        z = np.tanh(w @ z + x)
    return z, (w, z)


def implicit(dz: Any, cache: Any, turned: bool = True) -> Any:
    w, z = cache
    slope = (1 - z**2)[:, None] * w
    u = np.linalg.solve(np.eye(len(z)) - (slope.T if turned else slope), dz) * (1 - z**2)
    return np.outer(u, z), u


CONTRACTING = [0.1 * normal(2, 2), normal(2)]


def test_the_gradient_of_a_limit_is_right_where_the_iteration_converges() -> None:
    found = check((settled, implicit), CONTRACTING)
    assert [v.ok for v in found.verdicts] == [True, True]
    assert {v.status for v in found.verdicts} == {"numerical"}
    assert "has not converged" in found.explain()


def test_a_wrong_gradient_of_a_limit_is_wrong() -> None:
    found = check((settled, lambda dz, cache: implicit(dz, cache, False)), CONTRACTING)
    assert [v.ok for v in found.verdicts] == [False, False]


def newton(a: Any, start: Any) -> Any:
    x = start
    for _ in range(9):
        x = 0.5 * (x + a / x)
    return x


@pytest.mark.parametrize(("factor", "expected"), [(2, [True, True]), (1, [False, True])])
def test_where_an_iteration_forgets_its_start_a_zero_is_right(factor: int, expected: list[bool]) -> None:
    def back(dx: Any, a: Any, start: Any) -> Any:
        return dx / (factor * newton(a, start)), np.zeros_like(start)

    found = check((newton, back), [np.array([1.5, 2.0]), np.array([1.0, 1.2])])
    assert [v.ok for v in found.verdicts] == expected


@pytest.mark.parametrize("reach", [1.0, 3.0])
def test_a_formula_that_is_wrong_only_far_from_the_example_is_wrong(reach: float) -> None:
    def back(dy: Any, x: Any) -> Any:
        return np.where(np.abs(x) <= reach, dy * np.cos(x), dy)

    assert check((lambda x: np.sin(x), back), [np.array([0.1, -0.2])]).ok is False


# ---- on purpose -------------------------------------------------------------------------------


def handed_on(x: Any) -> Any:
    return x


@pytest.mark.parametrize(
    ("forward", "back", "words"),
    [
        (lambda x: np.round(x), lambda dy, x: dy, "constant in x piece by piece"),
        (lambda x: np.sign(x), lambda dy, x: dy * (np.abs(x) <= 1), "constant in x piece by piece"),
        (lambda x: np.round(np.clip(x, -1, 1) * 7) / 7, lambda dy, x: dy, "constant in x piece by piece"),
        (handed_on, lambda dy, x: np.clip(dy, -1, 1), "hands x on as it is"),
        (handed_on, lambda dy, x: -0.5 * dy, "hands x on as it is"),
    ],
)
def test_a_gradient_that_is_no_derivative_is_said_to_be_a_choice(forward: Any, back: Any, words: str) -> None:
    found = check((forward, back), [normal(3, 2)])
    assert found.ok is False
    assert words in found.explain()


@pytest.mark.parametrize(
    "back", [lambda dy, x: dy * np.cos(x) + 1, lambda dy, x: 2 * dy * np.cos(x), lambda dy, x: 0 * dy]
)
def test_a_gradient_that_is_only_wrong_is_not(back: Any) -> None:
    assert "choice" not in check((lambda x: np.sin(x), back), [normal(3, 2)]).explain()


# ---- points -----------------------------------------------------------------------------------


def hinge(a: Any, b: Any) -> Any:
    margin = np.maximum(a - b + 1.0, 0)
    return margin.mean(), margin > 0


def hinge_back(dl: Any, on: Any) -> Any:
    """It divides by the number of those that are positive, which is all of them at most points."""
    return dl * on / on.sum(), -dl * on / on.sum()


def test_a_value_that_is_clamped_to_a_constant_is_no_tie() -> None:
    found = check((hinge, hinge_back), [normal(4), normal(4)])
    assert [(v.ok, v.kind) for v in found.verdicts] == [(False, "formula")] * 2
    assert all(v.witness is not None for v in found.verdicts)


def test_a_convention_at_ties_is_noted_once() -> None:
    def back(dy: Any, x: Any) -> Any:
        out = np.zeros_like(x)
        out[np.arange(len(x)), x.argmax(1)] = dy
        return out

    (verdict,) = check((lambda x: x.max(axis=1), back), [normal(3, 4)]).verdicts
    assert verdict.ok
    assert len([n for n in verdict.notes if "another convention" in n]) == 1


# ---- JAX --------------------------------------------------------------------------------------


def of_half_precision(scale: float) -> Any:
    import jax
    import jax.numpy as jnp

    @jax.custom_vjp
    def product(x: Any, w: Any) -> Any:
        return (x.astype(jnp.float32) @ w.astype(jnp.float32)).astype(x.dtype)

    def back(saved: Any, g: Any) -> Any:
        x, w = saved
        wide = g.astype(jnp.float32)
        dx = scale * wide @ w.astype(jnp.float32).T
        return dx.astype(x.dtype), (x.astype(jnp.float32).T @ wide).astype(w.dtype)

    product.defvjp(lambda x, w: (product(x, w), (x, w)), back)
    return product


@pytest.mark.parametrize(("scale", "expected"), [(1.0, [True, True]), (0.5, [False, True])])
def test_inputs_of_half_precision(scale: float, expected: list[bool]) -> None:
    jnp = pytest.importorskip("jax.numpy")
    inputs = [jnp.asarray(normal(3, 4), dtype=jnp.bfloat16), jnp.asarray(normal(4, 2), dtype=jnp.bfloat16)]
    assert [v.ok for v in check(of_half_precision(scale), inputs).verdicts] == expected


def test_a_flag_is_tried_as_zero_too() -> None:
    jax = pytest.importorskip("jax")

    @jax.custom_vjp
    def either(flag: Any, x: Any) -> Any:
        return jax.lax.cond(flag > 0, jax.numpy.sin, jax.numpy.square, x)

    def back(saved: Any, g: Any) -> Any:
        flag, x = saved
        return None, g * jax.lax.cond(flag > 0, jax.numpy.cos, lambda x: x, x)

    either.defvjp(lambda flag, x: (either(flag, x), (flag, x)), back)
    assert check(either, [jax.numpy.array(1), jax.numpy.array([0.5, -1.0])]).ok is False


def test_a_compiled_rule_is_the_rule() -> None:
    jax = pytest.importorskip("jax")

    @jax.jit
    @jax.custom_vjp
    def square(x: Any) -> Any:
        return x * x

    square.__wrapped__.defvjp(lambda x: (x * x, x), lambda x, g: (x * g,))
    assert check(square, [jax.numpy.array([0.5, -1.0])]).ok is False


def test_a_quotient_by_an_entry_has_no_value_where_it_is_zero() -> None:
    def back(dp: Any, x: Any) -> Any:
        return dp[:, None] * x.prod(axis=1)[:, None] / x

    (verdict,) = check((lambda x: x.prod(axis=1), back), [normal(3, 4)]).verdicts
    assert (verdict.ok, verdict.status) == (True, "exact")
    assert any("no value (NaN)" in note for note in verdict.notes)


def root(a: Any) -> Any:
    x = np.ones_like(a)
    while np.max(np.abs(x * x - a)) > 1e-8:
        x = 0.5 * (x + a / x)
    return x, x


def fixed(a: Any, b: Any) -> Any:
    z = np.zeros_like(b)
    for _ in range(60):
        z = a * np.sin(z) + b
    return z, (a, z)


def fixed_back(dz: Any, cache: Any) -> Any:
    a, z = cache
    u = dz / (1 - a * np.cos(z))
    return u * np.sin(z), u


def fixed_wrong(dz: Any, cache: Any) -> Any:
    a, z = cache
    u = dz / (1 + a * np.cos(z))
    return u * np.sin(z), u


NEAR_ONE, WEAK = np.array([1.5, 0.7, 2.0]), np.array([0.2, -0.1, 0.15])


@pytest.mark.parametrize(
    ("pair", "inputs", "right"),
    [
        ((root, lambda dx, x: dx / (2 * x)), [NEAR_ONE], True),
        ((root, lambda dx, x: dx / x), [NEAR_ONE], False),
        ((root, lambda dx, x: dx / (2 * x + 1e-3)), [NEAR_ONE], False),
        ((fixed, fixed_back), [WEAK, NEAR_ONE], True),
        ((fixed, fixed_wrong), [WEAK, NEAR_ONE], False),
    ],
)
def test_the_gradient_of_a_limit(pair: Any, inputs: Any, right: bool) -> None:
    assert {v.ok for v in check(pair, inputs).verdicts} == {right}


# ---- points that cannot be traced -------------------------------------------------------------


def test_a_counterexample_is_found_beside_points_that_cannot_be_traced() -> None:
    """At the smallest integers the pivots of the factorisation are exchanged."""

    def solved_back(dy: Any, cache: Any) -> Any:
        a, y = cache
        u = np.linalg.solve(a, dy)  # of the transpose is right
        return -np.outer(u, y), u

    def solved(a: Any, b: Any) -> Any:
        y = np.linalg.solve(a, b)
        return y, (a, y)

    found = check((solved, solved_back), [normal(3, 3) + 3 * np.eye(3), normal(3)])
    assert [v.ok for v in found.verdicts] == [False, False]
    assert all(v.witness is not None and v.paste for v in found.verdicts)


def test_a_mask_of_the_largest_entry_hides_no_counterexample() -> None:
    """The mask compares the maximum with itself, which is a tie at any values."""

    def pooled(x: Any) -> Any:
        y = x.max(axis=1, keepdims=True)
        return y, x == y

    (found,) = check((pooled, lambda dy, mask: 2 * dy * mask), [normal(3, 4)]).verdicts
    assert found.ok is False
    assert found.witness is not None
    assert found.witness.claimed == pytest.approx(2 * found.witness.true)
