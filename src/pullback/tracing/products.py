"""Sums of products of two arrays of numbers: one operation of their domain instead of one for each product."""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from pullback.evaluator.domain import Domain
from pullback.tracing.numbers import Number, World, is_infinite
from pullback.tracing.wholes import Whole, gathered

FEW: Final = 16  # products: fewer are not worth putting together
MOST: Final = 1_000_000  # products: more of them at once would fill the memory
LETTERS: Final = string.ascii_letters


def contracted(subscripts: str, a: Any, b: Any, otherwise: Callable[[], Any]) -> Any:
    """`einsum(subscripts, a, b)` of plain arrays, no letter twice in one operand; `otherwise` where it has no use."""
    operands, out = subscripts.split("->")
    one, two = operands.split(",")
    summed = "".join(c for c in dict.fromkeys(one + two) if c not in out)
    sizes = dict(zip(one, a.shape, strict=True)) | dict(zip(two, b.shape, strict=True))
    count = math.prod(sizes.values())
    deep = math.prod(sizes[c] for c in summed)
    world = world_of((a, b))
    if world is None or deep < 2 or not FEW <= count <= MOST or not _sizes_agree((one, a), (two, b), sizes):
        return otherwise()
    values = [gathered(world, array) for array in (a, b)]
    if any(v is None for v in values):
        return otherwise()
    order = out + summed
    left, right = (
        _spread(world.domain, value, letters, array.shape, order)
        for value, letters, array in zip(values, (one, two), (a, b), strict=True)
    )
    product = world.domain.product_total(left, right, len(summed))
    return Whole(world, product, tuple(sizes[c] for c in out)).numbers()[()]


def world_of(arrays: Sequence[Any]) -> World | None:
    """The world of the entries; None where there is none, or an entry is infinite."""
    world = None
    for array in arrays:
        for x in array.flat:
            if isinstance(x, Number):
                world = x.world
            elif is_infinite(x):
                return None
    return world


def _sizes_agree(*operands: Any) -> bool:
    """Whether a letter has one size: sizes 1 are not stretched here."""
    (*pairs, sizes) = operands
    return all(sizes[c] == n for letters, array in pairs for c, n in zip(letters, array.shape, strict=True))


def _spread(domain: Domain[Any], value: Any, letters: str, shape: tuple[int, ...], order: str) -> Any:
    """The entries along last axes in `order`; letters that they lack have size 1."""
    held = [c for c in order if c in letters]
    turned = [letters.index(c) for c in held]
    widths = [shape[letters.index(c)] if c in letters else 1 for c in order]

    def arranged(x: Any) -> Any:
        lead = x.ndim - len(letters)
        moved = x.transpose([*range(lead), *(lead + axis for axis in turned)])
        return moved.reshape([*x.shape[:lead], *widths])

    return domain.restructure(value, arranged)


# ---- NumPy's products -----------------------------------------------------------------------


def matmul(a: Any, b: Any) -> Any:
    """a @ b of plain arrays, in batches too."""
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        return np.matmul(a, b)
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    one, two = (x if x.ndim == 1 else np.broadcast_to(x, lead + x.shape[-2:]) for x in (a, b))
    batch = LETTERS[3 : 3 + len(lead)]
    left, right = "k" if a.ndim == 1 else f"{batch}ak", "k" if b.ndim == 1 else f"{batch}kb"
    out = batch + ("a" if a.ndim > 1 else "") + ("b" if b.ndim > 1 else "")
    return contracted(f"{left},{right}->{out}", one, two, lambda: np.matmul(a, b))


def dot(a: Any, b: Any) -> Any:
    a, b = _plain(a), _plain(b)
    if a.ndim > 2 or b.ndim > 2 or not a.ndim or not b.ndim:
        return np.dot(a, b)
    return matmul(a, b)


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    a, b = _plain(a), _plain(b)
    if isinstance(axes, int):
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    mine, other = (
        [int(x) % n for x in _listed(axis)] for axis, n in zip(axes, (a.ndim, b.ndim), strict=True)
    )
    one, two = list(LETTERS[: a.ndim]), list(LETTERS[a.ndim : a.ndim + b.ndim])
    for x, y in zip(mine, other, strict=True):
        two[y] = one[x]
    out = [c for c in one + two if not (c in one and c in two)]
    text = f"{''.join(one)},{''.join(two)}->{''.join(out)}"
    return np.asarray(contracted(text, a, b, lambda: np.tensordot(a, b, axes)), dtype=object)


def einsum(subscripts: Any, *operands: Any, **options: Any) -> Any:
    plain = [_plain(x) for x in operands]
    if not isinstance(subscripts, str) or len(plain) != 2 or "." in subscripts:
        return np.einsum(subscripts, *plain, **options)
    text = subscripts.replace(" ", "")
    inputs, arrow, out = text.partition("->")
    one, two = inputs.split(",")
    if not arrow:
        out = "".join(sorted(c for c in one + two if (one + two).count(c) == 1))
    if len(set(one)) < len(one) or len(set(two)) < len(two) or not set(out) <= set(one + two):
        return np.einsum(text, *plain)
    a, b = plain
    return contracted(f"{one},{two}->{out}", a, b, lambda: np.einsum(text, a, b))


def _plain(x: Any) -> Any:
    return np.asarray(x).view(np.ndarray)


def _listed(axes: Any) -> list[int]:
    return [axes] if isinstance(axes, int) else list(axes)
