"""Positions of the largest and smallest entries, and sorted orders, of arrays of numbers.

NumPy's own loops over objects go on after a comparison has failed, and hide why it did; these stop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from typing import Any

import numpy as np


def _along(x: Any, axis: Any, f: Callable[[list[Any]], Any]) -> Any:
    """`f` of the entries along one axis: whole numbers."""
    plain = np.asarray(x).view(np.ndarray)
    turned = plain.reshape(1, -1) if axis is None else np.moveaxis(plain, axis, -1)
    rows = turned.reshape(-1, turned.shape[-1])
    found = np.array([f(list(row)) for row in rows], dtype=np.int64)
    return found.reshape(turned.shape[:-1] + found.shape[1:])


def _first(entries: list[Any], largest: bool) -> int:
    best = 0
    for k in range(1, len(entries)):
        if (entries[k] > entries[best]) if largest else (entries[k] < entries[best]):
            best = k
    return best


def _position(largest: bool) -> Callable[..., Any]:
    def position(x: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
        if np.asarray(x).dtype != object:
            return (np.argmax if largest else np.argmin)(x, axis, keepdims=keepdims is True)
        found = _along(x, axis, lambda entries: _first(entries, largest))
        if axis is None:
            return found.reshape((1,) * np.ndim(x)) if keepdims is True else found[0]
        return np.expand_dims(found, axis) if keepdims is True else found[()]

    return position


argmax, argmin = _position(True), _position(False)


def _sorted(entries: list[Any], descending: bool) -> list[int]:
    def before(a: int, b: int) -> int:
        if entries[a] == entries[b]:
            return 0
        return -1 if bool(entries[a] < entries[b]) != descending else 1

    return sorted(range(len(entries)), key=cmp_to_key(before))


def argsort(x: Any, axis: Any = -1, descending: bool = False, **_: Any) -> Any:
    """A stable order."""
    if np.asarray(x).dtype != object:
        return np.argsort(-x if descending else x, axis=axis, kind="stable")
    found = _along(x, axis, lambda entries: _sorted(entries, descending))
    return found[0] if axis is None else np.moveaxis(found, -1, axis)
