"""Names: of indices, readable and never taken; of hidden definitions; of new sizes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import count
from typing import Final

from pullback.expression import Expr, Index, Size

INDEX_LETTERS: Final = "ijklpqrsmnabcdefghotuvwxyz"
SIZE_NAMES: Final = ("N", "D", "M", "K", "F", "G", "H", "P", "Q", "R", "S", "U", "V", "A", "B", "C")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STEMS: Final = {
    "softmax": ("P", "Q", "R"),
    "log_softmax": ("R", "S", "U"),
    "logsumexp": ("z", "s", "u"),
    "inv": ("V", "U", "R"),
    "cholesky": ("C", "U", "R"),
    "det": ("q", "r", "s"),
    "logdet": ("q", "r", "s"),
}


def words(text: str) -> set[str]:
    """Every identifier in a text, whatever it stands for."""
    return set(_WORD.findall(text))


def _candidates(stems: Iterable[str]) -> Iterator[str]:
    stems = tuple(stems)
    yield from stems
    for k in count(2):
        yield from (f"{stem}{k}" for stem in stems)


class IndexNames:
    """The names of indices within one definition."""

    def __init__(self, taken: Collection[str]) -> None:
        self.taken = taken
        self.used: dict[str, Index] = {}

    def free(self, name: str) -> bool:
        return name not in self.taken and name not in self.used

    def index(self, extent: Expr, wish: str = "") -> Index:
        """A fresh index: the wished name, or the size's letter in lower case, or the next free letter."""
        first = [wish] if wish else []
        if isinstance(extent, Size) and len(extent.name) == 1:
            first.append(extent.name.lower())
        for name in (*first, *INDEX_LETTERS):
            if self.free(name):
                break
        else:
            name = next(n for n in _candidates(INDEX_LETTERS[:8]) if self.free(n))
        self.used[name] = Index(name, extent)
        return self.used[name]

    def indices(self, shape: Iterable[Expr], wishes: tuple[str, ...] = ()) -> tuple[Index, ...]:
        extents = tuple(shape)
        wishes = wishes if len(wishes) == len(extents) else ("",) * len(extents)
        return tuple(self.index(extent, wish) for extent, wish in zip(extents, wishes, strict=True))


class CanonicalNames(IndexNames):
    """Names that depend on nothing but the expression: two readings of one expression give one object."""

    def __init__(self) -> None:
        super().__init__(())

    def index(self, extent: Expr, wish: str = "") -> Index:
        index = Index(f"_{len(self.used)}", extent)
        self.used[index.name] = index
        return index


def hidden_name(operator: str, rank: int, taken: Collection[str]) -> str:
    """A name for a subexpression: its operator's letter, else Z or z, numbered when taken."""
    stems = _STEMS.get(operator, ("Z", "S", "U", "V", "R") if rank > 1 else ("z", "s", "u", "v", "r"))
    return next(
        name
        for name in _candidates(stems)
        if name not in taken and f"d{name}" not in taken and not (name[0] == "d" and name[1:] in taken)
    )


def size_names(taken: Collection[str]) -> Iterator[str]:
    """Names for sizes that nobody named."""
    return (name for name in _candidates(SIZE_NAMES) if name not in taken)
