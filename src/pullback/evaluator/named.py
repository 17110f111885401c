"""Arrays whose last axes have names: the names of the free indices of an expression."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import numpy as np

from pullback.evaluator.domain import Array, BoolArray, IntArray

V = TypeVar("V")
A = TypeVar("A", bound=np.ndarray[Any, Any])
Axes = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Named(Generic[V]):
    """`data` has one last axis for each name; `outside` marks entries that read outside a tensor."""

    axes: Axes
    data: V
    outside: Plain[BoolArray] | None = None


@dataclass(frozen=True, slots=True)
class Plain(Generic[A]):
    """A plain array (indices or a mask) with one last axis for each name."""

    axes: Axes
    data: A

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the named axes."""
        whole: tuple[int, ...] = self.data.shape
        return whole[len(whole) - len(self.axes) :]


def union(parts: Iterable[Axes]) -> Axes:
    """Every name once, in the order of first appearance."""
    return tuple(dict.fromkeys(name for axes in parts for name in axes))


@lru_cache(maxsize=4096)
def arranger(source: Axes, target: Axes) -> Callable[[Array], Array] | None:
    """The map that brings last axes `source` into the order `target`, with size 1 for missing ones.

    None stands for the identity.
    """
    if source == target:
        return None
    order = [source.index(name) for name in target if name in source]
    new = tuple(slice(None) if name in source else None for name in target)
    straight = order == sorted(order)
    n = len(source)

    def arrange(x: Array) -> Array:
        lead = x.ndim - n
        if not straight:
            x = x.transpose(*range(lead), *(lead + k for k in order))
        return x[(..., *new)] if new else x

    return arrange


def aligned(part: Plain[Array], target: Axes) -> Array:
    """A plain array with its axes in the order of `target`."""
    arrange = arranger(part.axes, target)
    return part.data if arrange is None else arrange(part.data)


def either(parts: Sequence[Plain[BoolArray] | None]) -> Plain[BoolArray] | None:
    """The union of marks, None where there are none."""
    present = [part for part in parts if part is not None]
    if len(present) < 2:
        return present[0] if present else None
    axes = union(part.axes for part in present)
    marks = aligned(present[0], axes)
    for part in present[1:]:
        marks = marks | aligned(part, axes)
    return Plain(axes, marks)


def without(marks: Plain[BoolArray] | None, guard: Plain[BoolArray]) -> Plain[BoolArray] | None:
    """The marks that are left where the guard holds; leading axes of the guard are all regarded."""
    if marks is None:
        return None
    axes = union((marks.axes, guard.axes))
    left = np.asarray(aligned(marks, axes) & aligned(guard, axes))
    return Plain(axes, left) if left.any() else None


def collapsed(marks: Plain[BoolArray] | None, gone: Iterable[str]) -> Plain[BoolArray] | None:
    """The marks after some axes have been summed over."""
    if marks is None:
        return None
    names = set(gone)
    keep = tuple(name for name in marks.axes if name not in names)
    n = len(marks.axes)
    axes = tuple(k - n for k, name in enumerate(marks.axes) if name in names)
    return Plain(keep, np.asarray(marks.data.any(axis=axes))) if axes else marks


def ranged(name: str, size: int) -> Plain[IntArray]:
    return Plain((name,), np.arange(size, dtype=np.int64))
