"""Values at which code is checked: they keep the character of the example, so that a right backward stays right.

A one-hot row, a distribution, a symmetric matrix or a mask of -inf says what the code may rely on: every value that is
drawn keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

GRID: Final = 2**20  # generic values are multiples of its inverse, so floats hold them exactly
PARTS: Final = 2**12  # entries of a distribution are multiples of its inverse: they add up to 1 exactly
LARGEST: Final = 200  # of a matrix whose eigenvalues are looked at
MATRICES: Final = ("definite", "symmetric", "lower", "upper")
CLOSE: Final = 1e-6
FAR: Final = 1e4  # a larger number stands for infinity, in a mask
MAGNITUDES: Final = {"large": 16.0, "tiny": 1 / 64}
POSITIVE: Final = ("unit", "positive")
PLAIN: Final = ("", *POSITIVE)  # nothing but a range of values
FIXED: Final = ("infinite", "one-hot", "one-hot channels", "signs", "marks", "lower marks")


# ---- what the example is like ------------------------------------------------------------------


def character(x: Any) -> str:
    """What the entries of an example have in common, where code may rely on it."""
    if not isinstance(x, np.ndarray) or not x.size:
        return ""
    if x.dtype.kind == "b":
        return "lower" if _is_lower(x) else "upper" if _is_lower(np.swapaxes(x, -1, -2), -1) else ""
    if x.dtype.kind in "iu":
        return _character_of_integers(x)
    return _character_of_floats(x) if x.dtype.kind == "f" else ""


def _is_lower(x: Any, k: int = 0) -> bool:
    return x.ndim >= 2 and min(x.shape[-2:]) > 1 and bool(np.any(x)) and bool((x == np.tril(x, k)).all())


def _character_of_integers(x: Any) -> str:
    flat = x.reshape(-1)
    if x.ndim == 1 and bool((flat == np.arange(x.size)).all()):
        return ""  # it may stand for any indices
    if x.ndim == 1 and x.size > 1 and bool((np.sort(flat) == np.arange(x.size)).all()):
        return "permutation"
    if x.ndim == 1 and x.size > 1 and flat[0] == 0 and bool((np.diff(flat) > 0).all()):
        return "boundaries"
    return "ascending" if x.ndim == 1 and x.size > 2 and bool((np.diff(flat) >= 0).all()) else ""


def _character_of_floats(x: Any) -> str:
    if np.isinf(x).any():
        return "infinite"
    found = set(np.unique(x).tolist()) if x.size <= 10**6 else set()
    if found == {0.0, 1.0}:
        return _character_of_marks(x)
    if found == {-1.0, 1.0}:
        return "signs"
    if x.ndim and x.shape[-1] > 1 and bool((x >= 0).all() and np.allclose(x.sum(-1), 1, atol=CLOSE)):
        return "distribution"
    if x.ndim >= 2 and x.shape[-1] == x.shape[-2] and 1 < x.shape[-1] <= LARGEST:
        return _character_of_matrix(x)
    if x.ndim == 1 and x.size > 2 and bool((np.diff(x) > 0).all()):
        return "ascending"
    return "unit" if _within(x) else "positive" if bool((x > 0).all()) else ""


def _within(x: Any) -> bool:
    return bool((x > 0).all() and (x < 1).all())


def _character_of_marks(x: Any) -> str:
    if x.ndim >= 2 and bool((x.sum(-1) == 1).all()):
        return "one-hot"
    if x.ndim >= 3 and bool((x.sum(1) == 1).all()):
        return "one-hot channels"
    return "lower marks" if _is_lower(x) else "marks"


def _character_of_matrix(x: Any) -> str:
    if bool((x == x.flat[0]).all()):
        return "positive" if x.flat[0] > 0 else ""
    if np.allclose(x, np.swapaxes(x, -1, -2), rtol=1e-7, atol=1e-12):
        return "definite" if bool((np.linalg.eigvalsh(x) > 0).all()) else "symmetric"
    if _is_lower(x):
        return "lower"
    if _is_lower(np.swapaxes(x, -1, -2)):
        return "upper"
    return "unit" if _within(x) else "positive" if bool((x > 0).all()) else ""


def repetition(x: Any) -> str:
    """How the entries along the last axis repeat, as angles of a rotation do: "halves", "pairs", or not at all."""
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or character(x) not in PLAIN:
        return ""
    width = x.shape[-1] if x.ndim else 0
    if width < 2 or width % 2 or bool((x == x.flat[0]).all()):
        return ""
    return next((how for how in ("halves", "pairs") if np.array_equal(x, repeated(x, how))), "")


def repeated(x: Any, how: str) -> Any:
    """An array whose last axis, of even size, repeats itself in this way; half of its entries stay."""
    if how == "pairs":
        return np.repeat(x[..., ::2], 2, axis=-1)
    half = x[..., : x.shape[-1] // 2]
    return np.concatenate([half, half], axis=-1)


# ---- values of that character -------------------------------------------------------------------


def floats(
    example: Any,
    kind_of: str,
    shape: tuple[int, ...],
    kind: str,
    rng: np.random.Generator,
    thresholds: Sequence[float],
) -> Any:
    """An array of floats of this shape; `kind` says which points are wanted, `kind_of` the character that stays."""
    if kind_of in ("marks", "lower marks", "one-hot", "one-hot channels", "signs", "infinite"):
        return marks(example, kind_of, shape, rng)
    square = len(shape) >= 2 and shape[-1] == shape[-2]
    if kind_of in ("distribution", "ascending") or (square and kind_of in MATRICES):
        return _structured(kind_of, example, shape, kind, rng)
    positive = kind_of in POSITIVE
    tie = tied(shape, kind, rng, thresholds)
    if tie is not None:
        if kind_of == "unit":
            return np.where(tie == 0, 0.25, 0.5)
        return np.abs(tie) + (tie == 0) if positive else tie
    values = rng.uniform(0.1, 0.9, shape) if kind_of == "unit" else rng.normal(size=shape)
    if kind_of == "positive":
        values = 0.25 + np.abs(values)
    if kind_of != "unit":
        values = values * MAGNITUDES.get(kind, 1.0)
    return np.asarray(np.round(values * GRID) / GRID + 0.0)


def marks(example: Any, kind_of: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """Arrays of two values, and masks that hold infinite ones."""
    match kind_of:
        case "signs":
            return rng.choice(np.array([-1.0, 1.0]), size=shape)
        case "one-hot":
            return np.eye(shape[-1])[rng.integers(0, shape[-1], size=shape[:-1])]
        case "one-hot channels":
            rest = (shape[0], *shape[2:])
            return np.moveaxis(np.eye(shape[1])[rng.integers(0, shape[1], size=rest)], -1, 1)
        case "lower marks":
            return np.tril(np.ones(shape))
        case "infinite":
            return _with_infinite(example, shape, rng)
    return rng.integers(0, 2, size=shape).astype(float)


def _with_infinite(example: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """Infinite above the diagonal where the example is, else here and there, in no row everywhere."""
    seen = np.isinf(example)
    value = float(example[seen].flat[0])
    rest = np.where(seen, 0.0, example)
    fill = np.zeros(shape) if not rest.any() else np.round(rng.normal(size=shape) * GRID) / GRID
    if len(shape) >= 2 and bool((seen == np.triu(seen, 1)).all()):
        return np.where(np.triu(np.ones(shape, dtype=bool), 1), value, fill)
    hidden = rng.random(shape) < 0.4
    if shape:
        hidden[..., 0] = False
    return np.where(hidden, value, fill)


def _structured(
    kind_of: str, example: Any, shape: tuple[int, ...], kind: str, rng: np.random.Generator
) -> Any:
    if kind_of == "distribution":
        parts = rng.multinomial(PARTS - shape[-1], np.ones(shape[-1]) / shape[-1], size=shape[:-1]) + 1
        return parts / PARTS
    scale = MAGNITUDES.get(kind, 1.0)
    values = np.round(rng.normal(size=shape) * 2**10) / 2**10 * scale
    if kind_of == "ascending":
        return np.cumsum(0.25 + np.abs(values)) + (0.0 if (example > 0).all() else -1.0)
    mirrored = np.swapaxes(values, -1, -2)
    match kind_of:
        case "symmetric":
            return values + mirrored
        case "definite":
            return values @ mirrored + shape[-1] * scale**2 * np.eye(shape[-1])
        case "lower":
            return np.tril(values) + 2 * scale * np.eye(shape[-1])
    return np.triu(values) + 2 * scale * np.eye(shape[-1])


def tied(shape: tuple[int, ...], kind: str, rng: np.random.Generator, thresholds: Sequence[float]) -> Any:
    """Points with ties, zeros and the constants of comparisons; None for a generic kind."""
    match kind:
        case "ones":
            return np.ones(shape)
        case "twos":
            return rng.integers(1, 3, size=shape).astype(float)
        case "zeros":
            return np.zeros(shape)
        case "binary":
            return rng.integers(0, 2, size=shape).astype(float)
        case "signs":
            return rng.integers(-1, 2, size=shape).astype(float)
        case "integers":
            return rng.integers(-3, 4, size=shape).astype(float)
        case "counting":
            return rng.integers(1, 4, size=shape).astype(float)
        case "thresholds" if thresholds:
            return rng.choice(np.array([*thresholds, *(-t for t in thresholds)]), size=shape)
    return None


def integers(
    example: Any, kind_of: str, shape: tuple[int, ...], rng: np.random.Generator, bound: int, total: int
) -> Any:
    """Within the range of the example and of the smallest axis; negative ones, such as -100, stay possible."""
    if kind_of == "permutation":
        return rng.permutation(shape[0]).astype(example.dtype)
    if kind_of == "boundaries" and shape[0] > 1:
        inner = np.sort(rng.integers(0, total + 1, size=shape[0] - 2))
        return np.array([0, *inner, total], dtype=example.dtype)
    flag = example.ndim == 0 and example == 1  # it may choose a branch
    low = 1 if example.size and example.min() >= 1 and not flag else 0
    top = max(low + 1, min(int(example.max(initial=0)) + 1, bound + low))
    found = np.asarray(rng.integers(low, top, size=shape))
    unseen = np.unique(example[example < 0])
    if unseen.size and found.size > 1:  # some, but not all, and not always as many
        count = rng.integers(1, max(2, found.size // 2 + 1))
        found.flat[rng.permutation(found.size)[:count]] = unseen[0]
    return (np.sort(found) if kind_of == "ascending" else found).astype(example.dtype)


def another_number(x: float) -> float:
    """A number near an argument that is one: between 0 and 1 where it is, for it may be a probability."""
    if not np.isfinite(x) or abs(x) > FAR:
        return x
    return 0.125 if x == 0 else x * (0.75 if 0 < x < 1 else 1.25)


def booleans(example: Any, kind_of: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    if kind_of == "lower":
        return np.tril(np.ones(shape, dtype=bool))
    if kind_of == "upper":
        return np.triu(np.ones(shape, dtype=bool), 1)
    return np.asarray(rng.random(shape) < max(0.5, float(example.mean() if example.size else 0.5)))


def equalise(args: list[Any], characters: Sequence[str]) -> None:
    """Float arrays of one shape become equal, which is where differences are zero."""
    first: dict[tuple[int, ...], Any] = {}
    for position, value in enumerate(args):
        plain = characters[position] in PLAIN
        if plain and isinstance(value, np.ndarray) and value.dtype.kind == "f":
            args[position] = first.setdefault(value.shape, value).copy()
