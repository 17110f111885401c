"""The decision whether two sides are equal, from random points of the exact domain and from real numbers.

Equal residues at random points mean equal functions, except with a tiny probability. Different
residues are a suspicion only, because the exact domain knows some laws and not all: real numbers
(50 digits) confirm it, or leave the question open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pullback.errors import LimitProblem
from pullback.evaluator.domain import BoolArray, IntArray
from pullback.evaluator.draw import random_inputs
from pullback.evaluator.exact import HighPrecision
from pullback.evaluator.floats import Float64
from pullback.evaluator.interpret import Interpreter
from pullback.evaluator.residues import P
from pullback.evaluator.worlds import World, Worlds

Status = Literal["equal", "different", "undecided"]
Sides = Callable[[Interpreter[Any]], tuple[Any, Any]]
Result = tuple[World, BoolArray, IntArray]

MORE_TRIALS = (64, 256)
ENOUGH = 3  # trials in which every entry should have a value
OTHER_SIZES = 4  # that are tried where an entry has no value at the first ones
DRAWS = 64  # of real numbers, where the exact domain does not decide
REAL_TOLERANCE = 1e-7  # a difference that 50 digits look at
PLAIN_TOLERANCE = 1e-3  # a difference that no rounding explains
MOST = 30  # trials that count towards the error bound


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found.

    "equal" holds, for the branches of comparisons that the draws met, except with probability
    `error_bound` (an estimate from the degree); with `at_tie` it does not hold at ties and kinks, where a
    convention decides. "different" is confirmed by real numbers at the sizes `where`. For "undecided",
    `numerical` says whether the sides agreed to 30 digits at random real points; `reason` says why the
    exact domain did not decide.
    """

    status: Status
    error_bound: float
    trials: int
    sizes: tuple[Mapping[str, int], ...]
    numerical: bool = False
    reason: str = ""
    where: Mapping[str, int] | None = None
    at_tie: bool = False


class Decision:
    """Decides about two sides, given as a function that evaluates both in the world of an interpreter."""

    def __init__(self, worlds: Worlds) -> None:
        self.worlds = worlds

    def decide(self, both: Sides, rank: int, bound: int) -> Outcome:
        """Evaluate both sides everywhere; `bound` estimates their degree, `rank` is that of the values."""
        worlds = self.worlds.all()
        tally = Tally(tuple(world.sizes for world in worlds))
        results = self._results(worlds, both, rank)
        if not _is_covered(results):
            results[0] = self._escalated(results[0], both, rank)
        for _ in range(OTHER_SIZES):
            other = None if _is_covered(results) else self.worlds.another()
            if other is not None:
                results += self._results([other], both, rank)
        at_tie: World | None = None
        for world, differs, _ in results:
            tally.trials += differs.shape[0]
            if not differs.any():
                continue
            if world.kind == "ties":
                at_tie = world if self._confirmed_tie(world, both, differs) else None
                continue
            return self._suspected(world, both, tally)
        fewest = max(int(known.min(initial=MOST)) for world, _, known in results if world.kind == "distinct")
        if fewest == 0:
            return self._numerical(worlds, both, tally)
        error = min(1.0, float((max(1, bound) / P) ** min(fewest, MOST)))
        where = None if at_tie is None else at_tie.sizes
        return Outcome("equal", error, tally.trials, tally.sizes, where=where, at_tie=at_tie is not None)

    def _results(self, worlds: Sequence[World], both: Sides, rank: int) -> list[Result]:
        """What each world says; one whose arrays are too large even for one trial is left out."""
        results: list[Result] = []
        failure: LimitProblem | None = None
        for world in worlds:
            try:
                results.append((world, *self._compared(world, both, rank)))
            except LimitProblem as problem:
                failure = problem
        if failure is not None and not any(world.kind == "distinct" for world, _, _ in results):
            raise failure
        return results

    def _compared(self, world: World, both: Sides, rank: int) -> tuple[BoolArray, IntArray]:
        """(where the sides differ in any trial, in how many trials each entry is known).

        Where the arrays would grow too large, fewer trials are made.
        """
        domain = world.interpreter.domain
        try:
            with np.errstate(all="ignore"):
                left, right = both(world.interpreter)
                differs, known = domain.difference(left, right)
        except LimitProblem:
            if domain.batch == 1:
                raise
            fewer = self.worlds.world(world.sizes, world.kind, max(1, domain.batch // 4))
            return self._compared(fewer, both, rank)
        shape = (domain.batch, *differs.shape[differs.ndim - rank :])
        wide = np.broadcast_to(differs, shape)
        return wide, np.broadcast_to(known, shape).sum(axis=0)

    def _escalated(self, result: Result, both: Sides, rank: int) -> Result:
        """The same sizes with more trials, until every entry has a value in one of them."""
        for trials in MORE_TRIALS:
            world, differs, known = result
            if _is_enough(differs, known) or differs.any():
                break
            more = self.worlds.world(world.sizes, world.kind, trials)
            result = (more, *self._compared(more, both, rank))
        return result

    # ---- what real numbers say

    def _suspected(self, world: World, both: Sides, tally: Tally) -> Outcome:
        """The sides differ in the exact domain: do they in real numbers?"""
        found = self._in_reals(world.sizes, both, suspected=True)
        if found is False:
            return Outcome("different", 0.0, tally.trials, tally.sizes, where=world.sizes)
        reason = "the sides differ in the exact domain, which does not know every law of its functions"
        return Outcome("undecided", 1.0, tally.trials, tally.sizes, numerical=found is True, reason=reason)

    def _numerical(self, worlds: Sequence[World], both: Sides, tally: Tally) -> Outcome:
        """Some entries have no value in the exact domain."""
        agreed: bool | None = None
        wanted = {tuple(world.sizes.items()): world.sizes for world in worlds if world.kind != "ties"}
        for sizes in sorted(wanted.values(), key=lambda s: math.prod(s.values())):
            # 50 digits are slow: once they agree, at the smallest sizes, they are asked where float64 is in doubt.
            found = self._in_reals(sizes, both, brief=bool(agreed))
            if found is False:
                return Outcome("different", 0.0, tally.trials, tally.sizes, where=sizes)
            agreed = agreed or found
        reason = "some entries have no value in the exact domain"
        return Outcome("undecided", 1.0, tally.trials, tally.sizes, numerical=bool(agreed), reason=reason)

    def _in_reals(
        self, sizes: Mapping[str, int], both: Sides, suspected: bool = False, brief: bool = False
    ) -> bool | None:
        """Whether the sides agree at random real numbers; None where no entry had a value.

        Many draws in float64 look for a difference. A large one confirms a suspicion of the exact domain;
        otherwise 50 digits decide at the most telling draw, and in `brief` where float64 sees any difference.
        """
        rng = np.random.default_rng([self.worlds.seed, 5])
        known = False
        for positive in (False, True):
            values = random_inputs(self.worlds.inputs, sizes, Float64(draws=DRAWS), rng, positive=positive)
            plain, differs, seen = self._in_floats(sizes, values, both)
            if suspected and plain.any():
                return False
            domain = HighPrecision()
            calm = () if brief or (known and not suspected) else np.flatnonzero(seen)[:1]
            for k in (*np.flatnonzero(differs)[:2], *calm):
                chosen = {
                    t.name: values[t.name] if t.is_integer else domain.floats(values[t.name][k])
                    for t in self.worlds.inputs
                }
                agree = self._real(sizes, chosen, both)
                if agree is False:
                    return False
                known = known or bool(agree)
        return True if known else None

    def _in_floats(
        self, sizes: Mapping[str, int], values: Mapping[str, Any], both: Sides
    ) -> tuple[BoolArray, BoolArray, BoolArray]:
        """For each draw: do the sides differ plainly, do they differ at all, and have they a value?"""
        floats = Float64(REAL_TOLERANCE, DRAWS)
        interpreter: Interpreter[Any] = Interpreter(floats, sizes, values, self.worlds.definitions)
        try:
            with np.errstate(all="ignore"):
                left, right = both(interpreter)
        except LimitProblem:
            # Too large for all draws at once: two of them go on to the slow domain.
            no = np.zeros(2, dtype=bool)
            return no, np.array([True, False]), ~no
        plain, _ = Float64(PLAIN_TOLERANCE, DRAWS).difference(left, right)
        differs, known = floats.difference(left, right)
        rows = DRAWS if differs.size % DRAWS == 0 else 1
        plain, differs, known = (np.asarray(x.reshape(rows, -1).any(axis=1)) for x in (plain, differs, known))
        return plain, differs, known

    def _confirmed_tie(self, world: World, both: Sides, differs: BoolArray) -> bool:
        """Whether real numbers with the same ties differ too."""
        trials = np.flatnonzero(differs.reshape(differs.shape[0], -1).any(axis=1))[:4]
        floats = Float64(REAL_TOLERANCE)
        for k in trials:
            values = {
                t.name: world.raw[t.name] if t.is_integer else floats.integers(world.raw[t.name][k])
                for t in self.worlds.inputs
            }
            interpreter: Interpreter[Any] = Interpreter(floats, world.sizes, values, self.worlds.definitions)
            with np.errstate(all="ignore"):
                if floats.difference(*both(interpreter))[0].any():
                    return True
        return False

    def _real(self, sizes: Mapping[str, int], values: Mapping[str, Any], both: Sides) -> bool | None:
        interpreter: Interpreter[Any] = Interpreter(HighPrecision(), sizes, values, self.worlds.definitions)
        differs, known = interpreter.domain.difference(*both(interpreter))
        if differs.any():
            return False
        return True if known.any() else None


def _is_covered(results: Sequence[Result]) -> bool:
    """Whether every entry has a value at some distinct sizes."""
    return any(_is_enough(differs, known) for world, differs, known in results if world.kind == "distinct")


def _is_enough(differs: BoolArray, known: IntArray) -> bool:
    """Whether each entry has a value in a few trials, or in all of them where these are fewer."""
    return bool((known >= min(ENOUGH, differs.shape[0])).all())


@dataclass(slots=True)
class Tally:
    """What has been tried so far."""

    sizes: tuple[Mapping[str, int], ...]
    trials: int = 0
