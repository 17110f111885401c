"""Arguments of a JAX function as a flat list of leaves, and back: dictionaries of parameters are usual there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any


class Spelt(str):
    """Source code that prints as it is."""

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Arguments:
    """Names of the arguments, and for each the tree of its leaves (None for one that is no container)."""

    names: tuple[str, ...]
    trees: tuple[Any, ...]

    def _starts(self) -> list[int]:
        counts = [1 if tree is None else tree.num_leaves for tree in self.trees]
        return list(accumulate(counts, initial=0))

    def packed(self, leaves: Sequence[Any]) -> list[Any]:
        """The arguments as the function takes them."""
        starts = self._starts()
        return [
            leaves[start] if tree is None else tree.unflatten(leaves[start:end])
            for tree, start, end in zip(self.trees, starts, starts[1:], strict=False)
        ]

    def leaves(self, whole: Sequence[Any]) -> list[Any]:
        """One entry a leaf, of gradients too: None for an argument stands for all of its leaves.

        Raises `ValueError` where a gradient has another structure than its argument.
        """
        found: list[Any] = []
        for tree, part in zip(self.trees, whole, strict=True):
            if tree is None:
                found.append(part)
            else:
                found += [None] * tree.num_leaves if part is None else tree.flatten_up_to(part)
        return found

    def positions(self, argument: int) -> range:
        """The leaves of an argument."""
        starts = self._starts()
        return range(starts[argument], starts[argument + 1])

    def holds(self, wrt: Sequence[int]) -> list[bool]:
        """For each argument: whether one of these leaves is its."""
        return [any(p in self.positions(k) for p in wrt) for k in range(len(self.names))]


def flattened(names: Sequence[str], given: Sequence[Any]) -> tuple[Arguments, tuple[str, ...], list[Any]]:
    """The arguments, names of their leaves (`p_w` of `p["w"]`), and the leaves."""
    import jax

    trees: list[Any] = []
    labels: list[str] = []
    found: list[Any] = []
    for name, value in zip(names, given, strict=True):
        if not isinstance(value, dict | list | tuple):
            trees.append(None)
            labels.append(name)
            found.append(value)
            continue
        pairs, tree = jax.tree_util.tree_flatten_with_path(value)
        trees.append(tree)
        for path, leaf in pairs:
            keys = [str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path]
            labels.append("_".join([name, *keys]))
            found.append(leaf)
    return Arguments(tuple(names), tuple(trees)), tuple(labels), found
