"""Where a check is made: sizes, with values drawn at random for them in the exact domain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from pullback.errors import IndexProblem, LimitProblem, PullbackError, ShapeProblem
from pullback.evaluator.draw import random_inputs, small_integers
from pullback.evaluator.interpret import Interpreter
from pullback.evaluator.primefield import PrimeField
from pullback.evaluator.selection import selected, with_value
from pullback.evaluator.sizes import assignments, extents_in, literals_in, names_in, ones
from pullback.expression import Bracket, Call, Definition, Element, Expr, Tensor, tensors, walk

TRIALS = 4
BRANCHED = 16  # trials where comparisons or masks choose between branches, each of which should be met
DISTINCT = 2  # assignments of distinct sizes; one of ones and one with ties come on top
WITHOUT_VALUE = 8  # sizes without a value in the exact domain, after which real numbers decide
ATTEMPTS = 40  # at finding sizes where the definitions have a value
KINKED_CALLS = frozenset(("relu", "abs", "sign", "maximum", "minimum", "where"))
KINKED_OPERATORS = frozenset(("max", "min"))


@dataclass(frozen=True, slots=True)
class World:
    """Sizes, values drawn for them, and everything evaluated from these so far."""

    sizes: Mapping[str, int]
    kind: str
    interpreter: Interpreter[Any]
    raw: Mapping[str, Any]


class Worlds:
    """Sizes with values for the inputs: some distinct sizes, all ones, and small integers with ties."""

    def __init__(self, definitions: Sequence[Definition], inputs: Sequence[Tensor], seed: int) -> None:
        self.definitions = tuple(definitions)
        self.inputs = tuple(inputs)
        self.seed = seed
        self.extents = extents_in(definitions, inputs, ())
        self.literals = literals_in(d.body for d in definitions)
        self.kinked = any(is_kinked(definition.body) for definition in definitions)
        self._all: list[World] | None = None
        self._further = self._generate()
        self._without_value: list[World] = []
        self._failure = "they have no value there"
        self._wider: dict[tuple[frozenset[str], bool], Worlds] = {}

    def widened(self, more: Sequence[Expr]) -> Worlds:
        """The same, or other worlds where the expressions have further sizes, or the first kinks."""
        extents = extents_in((), (), more)
        kinked = self.kinked or any(is_kinked(e) for e in more)
        names = set(names_in(extents)) - set(names_in(self.extents))
        if not names and kinked == self.kinked:
            return self
        key = (frozenset(names), kinked)
        if key not in self._wider:
            wider = Worlds(self.definitions, self.inputs, self.seed)
            wider.extents = self.extents | extents if names else self.extents
            wider.kinked = kinked
            self._wider[key] = wider
        return self._wider[key]

    def all(self) -> list[World]:
        """Every world that a check visits; one with ties only where a kink takes part."""
        if self._all is None:
            self._all = self._distinct()
            lowest = ones(self.extents)
            if lowest is not None:
                world = self.world(lowest, "ones", self._trials())
                if not isinstance(self._attempt(world), PullbackError):
                    self._all.append(world)
            if self.kinked:
                self._all.append(self.world(self._all[0].sizes, "ties", 2 * TRIALS))
        return self._all

    def _trials(self) -> int:
        masked = any("binary" in tensor.facts for tensor in self.inputs)
        return BRANCHED if self.kinked or masked else TRIALS

    def _distinct(self) -> list[World]:
        """Worlds of the first few sizes at which the forward definitions have a value in the exact domain.

        Where they have none, as with a mean of many square roots, real numbers decide at those sizes.
        """
        found = list(islice(self._further, DISTINCT)) or self._without_value[:DISTINCT]
        if not found:
            what = "no small sizes were found at which the definitions can be evaluated"
            raise ShapeProblem(f"{what}: {self._failure}")
        return found

    def another(self) -> World | None:
        """A world of further distinct sizes."""
        return next(self._further, None)

    def _generate(self) -> Iterator[World]:
        found = looked = False
        for sizes in islice(assignments(self.extents, self.literals), ATTEMPTS):
            world = self.world(sizes, "distinct", self._trials())
            outcome = self._attempt(world)
            if isinstance(outcome, PullbackError):
                self._failure = outcome.message
                continue
            if not looked and not self._is_whole(world):
                yield from (few := list(islice(self._selected(), DISTINCT)))
                found = bool(few)
            looked = True
            if outcome:
                found = True
                yield world
            else:
                self._without_value.append(world)
                if not found and len(self._without_value) == WITHOUT_VALUE:
                    return

    def _selected(self) -> Iterator[World]:
        """Worlds of the smallest sizes, which have the fewest roots, at points where all of these exist."""
        for sizes in islice(assignments(self.extents, crowded=True), ATTEMPTS):
            key = self.seed * 7919 + 17
            interpreter = selected(self.definitions, self.inputs, sizes, key, self._trials())
            if interpreter is not None:
                yield World(dict(sizes), "distinct", interpreter, {})

    def _attempt(self, world: World) -> bool | PullbackError:
        """Whether every definition has some value there; the reason, where it is not legal there."""
        try:
            return self._has_values(world)
        except (IndexProblem, ShapeProblem, LimitProblem) as problem:
            return problem

    def _has_values(self, world: World) -> bool:
        """Whether every defined tensor has some entry with a value."""
        domain = world.interpreter.domain
        with np.errstate(all="ignore"):
            for definition in self.definitions:
                value = world.interpreter.tensor(definition.tensor.name)
                if not definition.tensor.is_integer and not domain.difference(value, value)[1].any():
                    return False
        return True

    def _is_whole(self, world: World) -> bool:
        """Whether there is a draw at which every entry of every definition has a value."""
        domain = world.interpreter.domain
        whole = np.ones(domain.batch, dtype=bool)
        with np.errstate(all="ignore"):
            for tensor in (d.tensor for d in self.definitions if not d.tensor.is_integer):
                whole &= with_value(domain, world.interpreter.tensor(tensor.name), tensor.rank)
        return bool(whole.any())

    def world(self, sizes: Mapping[str, int], kind: str, trials: int = TRIALS) -> World:
        rng = np.random.default_rng([self.seed, trials, len(sizes)])
        domain = PrimeField(trials, key=self.seed * 7919 + 17)
        if kind == "ties":
            raw = small_integers(self.inputs, sizes, rng, trials)
            values: dict[str, Any] = {
                t.name: raw[t.name] if t.is_integer else domain.integers(raw[t.name]) for t in self.inputs
            }
        else:
            raw = {}
            values = random_inputs(self.inputs, sizes, domain, rng)
        return World(dict(sizes), kind, Interpreter(domain, sizes, values, self.definitions), raw)


def is_kinked(e: Expr) -> bool:
    """Whether a convention at a kink or a tie takes part, or a comparison of values."""
    for node in walk(e):
        match node:
            case Call(function, _) if function in KINKED_CALLS:
                return True
            case Element(operator=operator) if operator in KINKED_OPERATORS:
                return True
            case Bracket(_, left, right) if any(not t.is_integer for x in (left, right) for t in tensors(x)):
                return True
    return False
