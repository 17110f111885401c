"""Numbers that are the entries of one value of their domain go together again as they stand; floats near numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.evaluator.dual import DualValue
from pullback.evaluator.primefield import Residues
from pullback.tracing.numbers import Number, World, is_infinite


class Whole:
    """A value with the entries of an array along its last axes, which are worked out one by one when asked for."""

    __slots__ = ("_entries", "shape", "value", "world")

    def __init__(self, world: World, value: Any, shape: tuple[int, ...]) -> None:
        self.world = world
        self.value = value
        self.shape = shape
        self._entries: list[Any] | None = None

    def entry(self, at: int) -> Any:
        if self._entries is None:
            self._entries = self.world.domain.slices(self.value, len(self.shape))
        return self._entries[at]

    def numbers(self) -> Any:
        """The array of its entries."""
        found = np.empty(math.prod(self.shape), dtype=object)
        found[:] = [Entry(self, k) for k in range(found.size)]
        return found.reshape(self.shape)

    def picked(self, places: Sequence[int], shape: tuple[int, ...]) -> Any:
        """Some of its entries, in row-major order, as one value with other last axes."""
        rank, count = len(self.shape), math.prod(self.shape)
        if list(places) == list(range(count)):
            if shape == self.shape:
                return self.value
            return self.world.domain.restructure(
                self.value, lambda x: x.reshape(x.shape[: x.ndim - rank] + shape)
            )
        chosen = np.array(places).reshape(shape)
        return self.world.domain.restructure(
            self.value, lambda x: x.reshape((*x.shape[: x.ndim - rank], count))[..., chosen]
        )


class Entry(Number):
    """A number that is an entry of a whole, and knows its place there: entries of one whole go together at once."""

    __slots__ = ("at", "whole")

    def __init__(self, whole: Whole, at: int) -> None:
        self.world = whole.world
        self.whole = whole
        self.at = at

    @property
    def value(self) -> Any:
        return self.whole.entry(self.at)


def gathered(world: World, array: Any) -> Any:
    """The entries as one value; None where a sum of logarithms would be lost."""
    entries = list(array.flat)
    whole = getattr(entries[0], "whole", None)
    if whole is not None and all(getattr(x, "whole", None) is whole for x in entries):
        if keeps_logarithm(whole.value):
            return None
        return whole.picked([x.at for x in entries], array.shape)
    values = [world.number(x).value for x in entries]
    return None if any(keeps_logarithm(v) for v in values) else world.domain.stack(values, array.shape)


def keeps_logarithm(value: Any) -> bool:
    """A sum of logarithms is one itself, which only sums of single numbers can tell."""
    if isinstance(value, DualValue):
        return keeps_logarithm(value.value)
    return isinstance(value, Residues) and value.exp_of is not None


def floats_of(x: Any) -> Any:
    """Floats near the values of an array of numbers; residues, which have no size, become generic ones."""
    found = np.linspace(0.3, 0.7, x.size)
    for k, v in enumerate(x.flat):
        value = v.plain() if isinstance(v, Number) else v
        if is_infinite(value):
            found[k] = value
        elif isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 0:
            found[k] = float(value[()])
    return found.reshape(x.shape)
