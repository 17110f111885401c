"""Where backwards are looked at: sizes and numbers that the example hides, and which outputs have a gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pullback.checking import check

SQUARE = np.arange(16.0).reshape(4, 4) / 10


def softmax(s: Any) -> Any:
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(q: Any, k: Any, v: Any) -> Any:
    return softmax(q @ k.T / math.sqrt(q.shape[1])) @ v


def attention_back(length: Any) -> Any:
    def backward(do: Any, q: Any, k: Any, v: Any) -> Any:
        p = softmax(q @ k.T / math.sqrt(q.shape[1]))
        dp = do @ v.T
        ds = p * (dp - (p * dp).sum(-1, keepdims=True)) / math.sqrt(length(q, k))
        return ds @ k, ds.T @ q, p.T @ do

    return backward


@pytest.mark.parametrize(
    ("length", "ok"),
    [
        (lambda q, k: q.shape[1], True),
        (lambda q, k: q.shape[0], False),
        (lambda q, k: k.shape[0], False),
    ],
)
def test_sizes_that_are_equal_by_chance_are_told_apart(length: Any, ok: bool) -> None:
    found = check((attention, attention_back(length)), [SQUARE, SQUARE + 1, SQUARE - 1])
    assert found.ok is ok


def picked(x: Any, t: Any) -> Any:
    return x[np.arange(len(t)), t].mean()


def picked_back(dl: Any, x: Any, t: Any) -> Any:
    dx = np.zeros_like(x)
    dx[np.arange(len(t)), t] = dl / len(x)
    return dx


def test_an_array_that_may_be_longer_than_its_indices_is_not_taken_apart_from_them() -> None:
    """The forward runs on more rows than targets; it is not meant to."""
    assert check((picked, picked_back), [SQUARE, np.array([0, 1, 3, 2])], wrt=["x"]).ok is True


def matched(q: Any, k: Any) -> Any:
    logp = q @ k.T - np.log(np.exp(q @ k.T).sum(1, keepdims=True))
    return -np.diagonal(logp).mean()


def matched_back(dl: Any, q: Any, k: Any) -> Any:
    dz = (softmax(q @ k.T) - np.eye(len(q))) / len(q) * dl
    return dz @ k, dz.T @ q


def test_code_that_only_its_backward_says_to_be_square() -> None:
    """The diagonal of a matrix that is not square is no error."""
    rng = np.random.default_rng(0)
    assert check((matched, matched_back), [rng.normal(size=(4, 3)), rng.normal(size=(4, 3))]).ok is True


def in_pieces(x: Any, w: Any, t: Any) -> Any:
    """A loss that reads logits and labels piece by piece: with more labels than rows it reads the first of them."""
    pieces = [(x[k : k + 2] @ w.T, t[k : k + 2]) for k in range(0, len(x), 2)]
    return sum((np.log(np.exp(z).sum(1)).sum() - z[np.arange(len(s)), s].sum()) / len(x) for z, s in pieces)


def in_pieces_back(dl: Any, x: Any, w: Any, t: Any) -> Any:
    p = softmax(x @ w.T)
    p[np.arange(len(t)), t] -= 1
    return dl * p @ w / len(x), dl * p.T @ x / len(x)


def test_arrays_that_are_read_along_with_indices_keep_their_length() -> None:
    given = [np.eye(5, 3), np.arange(12.0).reshape(4, 3) / 9, np.array([0, 1, 3, 2, 1])]
    assert check((in_pieces, in_pieces_back), given, wrt=["x", "w"]).ok is True


def halves(x: Any) -> Any:
    return np.concatenate([-x[..., x.shape[-1] // 2 :], x[..., : x.shape[-1] // 2]], -1)


def rotated(x: Any, cos: Any, sin: Any) -> Any:
    return x * cos + halves(x) * sin


@pytest.mark.parametrize(
    ("backward", "ok"),
    [
        (lambda g, x, cos, sin: g * cos - halves(g * sin), True),
        (lambda g, x, cos, sin: g * cos + halves(g * sin), False),
    ],
)
def test_halves_of_an_odd_length_say_nothing(backward: Any, ok: bool) -> None:
    """The forward runs at odd lengths, and is no rotation there."""
    rng = np.random.default_rng(0)
    verdict = check((rotated, backward), [rng.normal(size=s) for s in ((2, 3, 4), (3, 4), (3, 4))], wrt=["x"])
    assert verdict.ok is ok
    assert ("for even" in verdict.explain()) is ok


def test_a_fault_at_size_one_alone_is_a_fault() -> None:
    def spread(x: Any) -> Any:
        return x - x.mean(-1, keepdims=True)

    def backward(g: Any, x: Any) -> Any:
        return g - (g.mean(-1, keepdims=True) if x.shape[-1] > 1 else 0 * g)

    assert check((spread, backward), [np.eye(2, 4)]).ok is False


def grouped(x: Any, groups: int) -> Any:
    parts = x.reshape(len(x), groups, -1)
    return (parts - parts.mean(-1, keepdims=True)).reshape(x.shape)


def grouped_back(count: Any) -> Any:
    def backward(g: Any, x: Any, groups: int) -> Any:
        parts = g.reshape(len(x), groups, -1)
        return (parts - parts.sum(-1, keepdims=True) / count(x, groups)).reshape(x.shape)

    return backward


@pytest.mark.parametrize(
    ("count", "ok"), [(lambda x, g: x[0].size // g, True), (lambda x, g: x.shape[2], False)]
)
def test_a_quotient_of_sizes_is_not_always_one(count: Any, ok: bool) -> None:
    """With as many groups as channels, the channels of a group are forgotten unseen."""
    x = np.random.default_rng(0).normal(size=(2, 6, 3))
    assert check((grouped, grouped_back(count)), [x, 3]).ok is ok


def scaled(x: Any, w: Any, scale: float, offset: float = 0.0) -> Any:
    return x * (w + offset) * scale


@pytest.mark.parametrize(
    ("backward", "ok", "said"),
    [
        (lambda g, x, w, s, o: (g * (w + o) * s, g * x * s), True, ""),
        (lambda g, x, w, s, o: (g * (w + o), g * x * s), False, "scale = 1.0"),
        (lambda g, x, w, s, o: (g * w * s, g * x * s), False, "offset = 0.0"),
    ],
)
def test_the_numbers_among_the_arguments_are_an_example(backward: Any, ok: bool, said: str) -> None:
    verdict = check((scaled, backward), [SQUARE[:2], SQUARE[2:], 1.0, 0.0])
    assert verdict.ok is ok and said in verdict.explain()


def loss(x: Any, t: Any) -> Any:
    keep = t != -100
    safe = np.where(keep, t, 0)
    logp = x - np.log(np.exp(x).sum(1, keepdims=True))
    return -(logp[np.arange(len(t)), safe] * keep).sum() / keep.sum()


def loss_back(factor: Any) -> Any:
    def backward(dl: Any, x: Any, t: Any) -> Any:
        keep = t != -100
        p = softmax(x)
        p[np.arange(len(t)), np.where(keep, t, 0)] -= 1
        return p * keep[:, None] * factor(dl, keep)

    return backward


@pytest.mark.parametrize(
    ("factor", "mend"),
    [
        (lambda dl, keep: dl / len(keep), None),  # right for one ignored label: times N / (N - 1)
        (lambda dl, keep: 1 / keep.sum(), "dx * upstream"),
        (lambda dl, keep: 2 * dl / keep.sum(), "dx / 2"),
    ],
)
def test_a_mend_holds_at_every_point_or_is_not_said(factor: Any, mend: str | None) -> None:
    t = np.array([1, -100, 0, 3, 2])
    (verdict,) = check((loss, loss_back(factor)), [np.eye(5, 4), t], wrt=["x"]).verdicts
    assert verdict.ok is False
    assert (verdict.mend.after if verdict.mend else None) == mend


def part_of_words(x: Any, t: Any, start: int, end: int) -> Any:
    """One of several parts of a vocabulary; words of the other parts count 0."""
    outside = (t < start) | (t >= end)
    local = np.where(outside, 0, t - start)
    picked = np.where(outside, 0, x[np.arange(len(t)), local])
    return np.log(np.exp(x).sum(1)) - picked


@pytest.mark.parametrize(("inside", "ok"), [(lambda outside: 1 - outside, True), (np.ones_like, False)])
def test_the_labels_of_the_example_are_looked_at(inside: Any, ok: bool) -> None:
    """A label outside of the part is drawn nowhere else."""

    def backward(g: Any, x: Any, t: Any, start: int, end: int) -> Any:
        outside = (t < start) | (t >= end)
        dx = softmax(x)
        dx[np.arange(len(t)), np.where(outside, 0, t - start)] -= inside(outside.astype(float))
        return dx * g[:, None]

    x = np.random.default_rng(0).normal(size=(4, 5))
    assert check((part_of_words, backward), [x, np.array([0, 7, 2, 4]), 0, 5], wrt=["x"]).ok is ok


def turned(x: Any) -> Any:
    """(a, b) → (-b, a) of the two halves of the last axis."""
    half = x.shape[-1] // 2
    return np.concatenate([-x[..., half:], x[..., :half]], axis=-1)


def turned_pairs(x: Any) -> Any:
    """(a, b) → (-b, a) of the neighbours along the last axis."""
    return np.stack([-x[..., 1::2], x[..., ::2]], axis=-1).reshape(x.shape)


HALF_ANGLES = np.random.default_rng(4).normal(size=(3, 2))
HALVES, NEIGHBOURS = np.concatenate([HALF_ANGLES, HALF_ANGLES], -1), np.repeat(HALF_ANGLES, 2, -1)


@pytest.mark.parametrize(
    ("turn", "sign", "angles", "ok"),
    [
        (turned, -1, HALVES, True),
        (turned, 1, HALVES, False),
        (turned, -1, NEIGHBOURS, False),  # the turned sine is not the sine itself
        (turned_pairs, -1, NEIGHBOURS, True),
        (turned_pairs, 1, NEIGHBOURS, False),
        (turned_pairs, -1, HALVES, False),
    ],
)
def test_angles_of_a_rotation_keep_their_repetition(turn: Any, sign: int, angles: Any, ok: bool) -> None:
    def rotated(x: Any, cos: Any, sin: Any) -> Any:
        return x * cos + turn(x) * sin

    def back(dy: Any, x: Any, cos: Any, sin: Any) -> Any:
        return dy * cos + sign * turn(dy) * sin

    x = np.random.default_rng(5).normal(size=(2, 3, 4))
    verdict = check((rotated, back), [x, np.cos(angles), np.sin(angles)], wrt=["x"])
    assert verdict.ok is ok
    assert "one half repeats the other" in " ".join(verdict.verdicts[0].notes)


def overlap(a: Any, b: Any) -> Any:
    """The area that two boxes (left, low, right, high) have in common."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    return np.maximum(sides, 0).prod(1)


@pytest.mark.parametrize(("factor", "ok"), [(1.0, True), (2.0, False)])
def test_the_example_is_a_point_too(factor: float, ok: bool) -> None:
    """Boxes that are drawn at random hardly ever overlap on every axis."""

    def back(dy: Any, a: Any, b: Any) -> Any:
        sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
        g = factor * dy[:, None] * (sides > 0).all(1)[:, None] * sides[:, ::-1]
        return np.concatenate([-g * (a[:, :2] > b[:, :2]), g * (a[:, 2:] < b[:, 2:])], 1)

    a, b = np.array([[0.1, 0.2, 1.4, 1.7]]), np.array([[0.3, 0.1, 1.5, 1.6]])
    assert check((overlap, back), [a, b], wrt=["a"]).ok is ok
