"""Axes that have one size in the example by chance: each gets a symbol of its own where the forward allows it.

On square arrays a wrong axis, a transpose and a wrong count all look right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Final

import numpy as np

from pullback.tracing.passes import CodeProblem, Pass
from pullback.verify.code_compare import upstreams
from pullback.verify.points import LETTERS, Template, draw
from pullback.verify.values import MATRICES

SIZES: Final = (3, 4, 5, 6, 7, 8, 9, 12)  # of an axis that is tried; size 1 would be stretched
LARGEST_GROUP: Final = 3  # axes that change together; more are what the others leave
MOST_TRIALS: Final = 150
MOST_ENTRIES: Final = 10**5

Place = tuple[int, int]  # an argument and one of its axes


def separated(code: Pass, made: Template) -> Template:
    """The template with a symbol for each group of axes that can change alone, to smaller and to larger sizes.

    Both ways, for a forward that reads a part of an array runs where that is larger than it is meant to be.
    """
    for symbol in list(made.sizes):
        places = [(p, k) for p, axes in enumerate(made.axes) for k, a in enumerate(axes or ()) if a == symbol]
        if len(places) < 2 or (not code.checks_bounds and _indexed(made, places)):
            continue
        trial = _Trial(code, made, symbol, _indexed(made, places))
        if trial.sizes is not None:
            for group in _groups(trial, places)[1:]:
                made = _renamed(made, group, _free(made), made.sizes[symbol])
    return made


def _indexed(made: Template, places: Sequence[Place]) -> bool:
    """Whether an array of integers has one of the axes: then the leading axes may be read along with it."""
    return any(np.asarray(made.args[p]).dtype.kind in "iub" for p, _ in places)


def _groups(trial: _Trial, places: Sequence[Place]) -> list[list[Place]]:
    """The axes in groups that change together; the group of the first axis first."""
    found: list[list[Place]] = []
    rest = list(places)
    for count in range(1, LARGEST_GROUP + 1):
        for chosen in list(combinations(rest, count)):
            whole = len(chosen) == len(rest)
            if not whole and all(place in rest for place in chosen) and trial.runs(chosen):
                found.append(list(chosen))
                rest = [place for place in rest if place not in chosen]
    if rest:
        found.append(rest)
    return sorted(found, key=lambda group: places.index(group[0]))


class _Trial:
    """Runs of the forward in which some axes of one symbol have another size than the rest."""

    def __init__(self, code: Pass, made: Template, symbol: str, indexed: bool) -> None:
        self.code, self.made, self.symbol, self.indexed = code, made, symbol, indexed
        self.count = 0
        self.pairs = _pairs(made)
        self.sizes = self._sizes()

    def _sizes(self) -> tuple[int, int, int] | None:
        """A size of the symbol at which the forward runs, with a smaller and a larger one."""
        taken = {n for name, n in self.made.sizes.items() if name != self.symbol}
        options = [n for n in SIZES if self._call(self.made, {self.symbol: n})]
        apart = [n for n in options if n not in taken]
        for legal in (apart, options):
            if len(legal) >= 3:
                return legal[0], legal[1], legal[-1]
        return None

    def runs(self, places: Sequence[Place]) -> bool:
        assert self.sizes is not None
        small, middle, large = self.sizes
        if self.indexed and any(k == 0 for _, k in places):
            return False
        if self.count > MOST_TRIALS or any(
            (pair[0] in places) is not (pair[1] in places) for pair in self.pairs
        ):
            return False
        own = _free(self.made)
        made = _renamed(self.made, places, own, middle)
        pairs = [{self.symbol: middle, own: n} for n in (small, large)]
        return all(self._call(made, sizes) for sizes in pairs) and all(self._back(made, s) for s in pairs)

    def _call(self, made: Template, changed: dict[str, int]) -> bool:
        self.count += 1
        sizes = {**made.sizes, **changed}
        shapes = [made.shape(p, sizes) for p, axes in enumerate(made.axes) if axes is not None]
        if sum(int(np.prod(s)) for s in shapes) > MOST_ENTRIES:
            return False
        try:
            self.code.outputs(draw(made, sizes, "generic", np.random.default_rng(0)))
        except CodeProblem:
            return False
        return True

    def _back(self, made: Template, changed: dict[str, int]) -> bool:
        """Whether the backward runs there and its gradients fit: code that is made for equal sizes may say so there."""
        rng = np.random.default_rng(0)
        args = draw(made, {**made.sizes, **changed}, "generic", rng)
        try:
            run = self.code.run(args, lambda shapes: upstreams(shapes, rng), light=True)
        except CodeProblem:
            return False
        given = zip(self.code.wrt, run.grads, strict=False)
        return all(g is None or np.shape(g) == np.shape(args[p]) for p, g in given)


def _pairs(made: Template) -> list[tuple[Place, Place]]:
    """Rows and columns of matrices that are square by their character: symmetric, triangular, …"""
    return [
        ((p, len(axes) - 2), (p, len(axes) - 1))
        for p, (axes, kind) in enumerate(zip(made.axes, made.characters, strict=True))
        if axes is not None and kind in MATRICES
    ]


def _renamed(made: Template, places: Sequence[Place], name: str, size: int) -> Template:
    axes = tuple(
        entry if entry is None else tuple(name if (p, k) in places else a for k, a in enumerate(entry))
        for p, entry in enumerate(made.axes)
    )
    return replace(made, axes=axes, sizes={**made.sizes, name: size})


def _free(made: Template) -> str:
    return next(_letters(made))


def _letters(made: Template) -> Iterator[str]:
    yield from (letter for letter in LETTERS if letter not in made.sizes)
    count = len(made.sizes)
    while True:
        yield f"n{count}"
        count += 1
