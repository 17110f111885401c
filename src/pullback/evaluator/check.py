"""Deciding whether two sides are equal: at random points of the exact domain, at several sizes.

Equal residues at random points mean equal functions, except with a tiny probability. Different
residues are a suspicion only, because the exact domain knows some laws and not all: real numbers
(50 digits) confirm it, or leave the question open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pullback.errors import IndexProblem, LimitProblem, PullbackError, ShapeProblem
from pullback.evaluator.degree import degree
from pullback.evaluator.derivatives import gradient_in
from pullback.evaluator.domain import BoolArray, IntArray
from pullback.evaluator.draw import random_inputs, small_integers
from pullback.evaluator.exact import HighPrecision
from pullback.evaluator.floats import Float64
from pullback.evaluator.interpret import Interpreter
from pullback.evaluator.primefield import PrimeField
from pullback.evaluator.residues import P
from pullback.evaluator.sizes import assignments, extents_in, literals_in, names_in, ones
from pullback.expression import (
    Bracket,
    Call,
    Definition,
    Element,
    Equation,
    Expr,
    Index,
    Tensor,
    free,
    tensors,
    walk,
)
from pullback.program import Program

Status = Literal["equal", "different", "undecided"]
Pair = tuple[Any, Any]
Side = Callable[[Interpreter[Any]], Pair]

TRIALS = 4
MORE_TRIALS = (64, 256)
WORLDS = 2  # assignments of distinct sizes; one of ones and one with ties come on top
ATTEMPTS = 40  # at finding sizes where the definitions have a value
DRAWS = 64  # of real numbers, where the exact domain does not decide
REAL_TOLERANCE = 1e-7
MOST = 30  # trials that count towards the error bound
KINKED_CALLS = frozenset(("relu", "abs", "sign", "maximum", "minimum", "where"))
KINKED_OPERATORS = frozenset(("max", "min"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found.

    "equal" holds except with probability `error_bound` (an estimate from the degree); with `at_tie` it
    does not hold at ties and kinks, where a convention decides. "different" is confirmed by real
    numbers at the sizes `where`. For "undecided", `numerical` says whether the sides agreed to 30 digits
    at random real points; `reason` says why the exact domain did not decide.
    """

    status: Status
    error_bound: float
    trials: int
    sizes: tuple[Mapping[str, int], ...]
    numerical: bool = False
    reason: str = ""
    where: Mapping[str, int] | None = None
    at_tie: bool = False


class Checker:
    """Checks over the same definitions and inputs: draws and forward values are shared by all of them.

    `definitions` are the definitions through which derivatives are taken; `inputs` are all tensors that
    are given at random: the program's inputs, upstream gradients, and intermediates that stand for
    themselves (a derivative by one of these is a derivative at a fixed value of the others).
    """

    def __init__(self, definitions: Sequence[Definition], inputs: Sequence[Tensor], seed: int = 0) -> None:
        self.definitions = tuple(definitions)
        self.inputs = tuple(inputs)
        self.seed = seed
        self.extents = extents_in(definitions, inputs, ())
        self.literals = literals_in(d.body for d in definitions)
        self.gradients: dict[tuple[int, str], Any] = {}
        self._worlds: list[World] | None = None

    # ---- worlds

    def worlds(self) -> list[World]:
        """Sizes with values in the exact domain: distinct sizes, all ones, and small integers with ties."""
        if self._worlds is None:
            self._worlds = self._distinct()
            lowest = ones(self.extents)
            if lowest is not None:
                self._worlds.append(self.world(lowest, "ones"))
            if self.has_kinks():
                self._worlds.append(self.world(self._worlds[0].sizes, "ties", 2 * TRIALS))
        return self._worlds

    def _distinct(self) -> list[World]:
        """Worlds of the first few sizes at which the forward definitions have a value."""
        found: list[World] = []
        failure: PullbackError = ShapeProblem("the definitions have no value there")
        for tried, sizes in enumerate(assignments(self.extents, self.literals)):
            if tried >= ATTEMPTS or len(found) == WORLDS:
                break
            world = self.world(sizes, "distinct")
            try:
                if self._has_values(world):
                    found.append(world)
            except (IndexProblem, ShapeProblem, LimitProblem) as problem:
                failure = problem
        if not found:
            raise ShapeProblem(
                "no small sizes were found at which the definitions can be evaluated: " + failure.message
            )
        return found

    def _has_values(self, world: World) -> bool:
        """Whether every defined tensor has some entry with a value."""
        domain = world.interpreter.domain
        with np.errstate(all="ignore"):
            for definition in self.definitions:
                value = world.interpreter.tensor(definition.tensor.name)
                if not definition.tensor.is_integer and not domain.difference(value, value)[1].any():
                    return False
        return True

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

    def has_kinks(self) -> bool:
        return any(is_kinked(definition.body) for definition in self.definitions)

    # ---- the two kinds of check

    def equation(self, equation: Equation) -> Outcome:
        """Whether both sides are equal for every value of the free indices."""
        over = tuple(sorted(free(equation.left) | free(equation.right), key=lambda index: index.name))
        return self.equal(equation.left, equation.right, over)

    def equal(self, left: Expr, right: Expr, over: Sequence[Index]) -> Outcome:
        """Whether two expressions are equal for every value of the indices `over`."""
        checker = self._widened([left, right, *(index.extent for index in over)])

        def both(interpreter: Interpreter[Any]) -> Pair:
            return interpreter.element_values(left, over), interpreter.element_values(right, over)

        bodies = {d.tensor.name: d.body for d in self.definitions}
        bound = max(degree(left, bodies), degree(right, bodies))
        kinked = is_kinked(left) or is_kinked(right)
        return checker._decide(both, len(over), bound, kinked)

    def gradient(
        self, x: Tensor, y: Tensor, upstream: Tensor | None, gradient_definitions: Sequence[Definition]
    ) -> Outcome:
        """Whether the last of the definitions is the gradient of Σ upstream * y by x."""
        claimed = gradient_definitions[-1].tensor.name

        def both(interpreter: Interpreter[Any]) -> Pair:
            given = None if upstream is None else interpreter.tensor(upstream.name)
            true = self._true_gradient(interpreter, x, y, given)
            beyond = Interpreter(
                interpreter.domain, interpreter.sizes, {}, gradient_definitions, interpreter.tensor
            )
            return true, beyond.tensor(claimed)

        bodies = {d.tensor.name: d.body for d in (*self.definitions, *gradient_definitions)}
        bound = 2 * degree(self.definitions[-1].body, bodies) + degree(gradient_definitions[-1].body, bodies)
        kinked = any(is_kinked(d.body) for d in gradient_definitions)
        checker = self._widened([d.body for d in gradient_definitions])
        return checker._decide(both, x.rank, bound, kinked)

    def _true_gradient(self, interpreter: Interpreter[Any], x: Tensor, y: Tensor, upstream: Any) -> Any:
        key = (id(interpreter), x.name)
        if key not in self.gradients:
            self.gradients[key] = (interpreter, gradient_in(interpreter, x, y, upstream))
        return self.gradients[key][1]

    def _widened(self, more: Sequence[Expr]) -> Checker:
        """This checker, or one that knows further sizes which stand in the expressions."""
        extents = extents_in((), (), more)
        if set(names_in(extents)) <= set(names_in(self.extents)):
            return self
        wider = Checker(self.definitions, self.inputs, self.seed)
        wider.extents = self.extents | extents
        return wider

    # ---- the decision

    def _decide(self, both: Side, rank: int, bound: int, kinked: bool) -> Outcome:
        worlds = list(self.worlds())
        if kinked and not self.has_kinks():
            worlds.append(self.world(worlds[0].sizes, "ties", 2 * TRIALS))
        tally = Tally(tuple(world.sizes for world in worlds))
        results = self._results(worlds, both, rank)
        if not any(known.all() for world, _, known in results if world.kind == "distinct"):
            results[0] = self._escalated(results[0], both, rank)
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

    def _results(self, worlds: Sequence[World], both: Side, rank: int) -> list[Result]:
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

    def _compared(self, world: World, both: Side, rank: int) -> tuple[BoolArray, IntArray]:
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
            fewer = self.world(world.sizes, world.kind, max(1, domain.batch // 4))
            return self._compared(fewer, both, rank)
        shape = (domain.batch, *differs.shape[differs.ndim - rank :])
        wide = np.broadcast_to(differs, shape)
        return wide, np.broadcast_to(known, shape).sum(axis=0)

    def _escalated(self, result: Result, both: Side, rank: int) -> Result:
        """The same sizes with more trials, until every entry has a value in one of them."""
        for trials in MORE_TRIALS:
            world, differs, known = result
            if known.all() or differs.any():
                break
            more = self.world(world.sizes, world.kind, trials)
            result = (more, *self._compared(more, both, rank))
        return result

    # ---- what real numbers say

    def _suspected(self, world: World, both: Side, tally: Tally) -> Outcome:
        """The sides differ in the exact domain: do they in real numbers?"""
        found = self._in_reals(world.sizes, both)
        if found is False:
            return Outcome("different", 0.0, tally.trials, tally.sizes, where=world.sizes)
        reason = "the sides differ in the exact domain, which does not know every law of its functions"
        return Outcome("undecided", 1.0, tally.trials, tally.sizes, numerical=found is True, reason=reason)

    def _numerical(self, worlds: Sequence[World], both: Side, tally: Tally) -> Outcome:
        """Some entries have no value in the exact domain."""
        agreed: bool | None = None
        for world in worlds:
            found = self._in_reals(world.sizes, both) if world.kind != "ties" else None
            if found is False:
                return Outcome("different", 0.0, tally.trials, tally.sizes, where=world.sizes)
            agreed = agreed or found
        reason = "some entries have no value in the exact domain"
        return Outcome("undecided", 1.0, tally.trials, tally.sizes, numerical=bool(agreed), reason=reason)

    def _in_reals(self, sizes: Mapping[str, int], both: Side) -> bool | None:
        """Whether the sides agree at random real numbers; None where no entry had a value.

        Many draws in float64 look for a difference; 50 digits decide at the most telling one.
        """
        rng = np.random.default_rng([self.seed, 5])
        known = False
        for positive in (False, True):
            floats = Float64(REAL_TOLERANCE, DRAWS)
            values = random_inputs(self.inputs, sizes, floats, rng, positive=positive)
            for telling in self._telling(sizes, values, both, floats):
                domain = HighPrecision()
                chosen = {
                    t.name: values[t.name] if t.is_integer else domain.floats(values[t.name][telling])
                    for t in self.inputs
                }
                agree = self._real(sizes, chosen, both)
                if agree is False:
                    return False
                known = known or bool(agree)
        return True if known else None

    def _telling(
        self, sizes: Mapping[str, int], values: Mapping[str, Any], both: Side, floats: Float64
    ) -> list[int]:
        """The draws where the sides seem to differ first, then some draw where they have a value."""
        interpreter: Interpreter[Any] = Interpreter(floats, sizes, values, self.definitions)
        try:
            with np.errstate(all="ignore"):
                differs, known = floats.difference(*both(interpreter))
        except (LimitProblem, np.linalg.LinAlgError):
            return [0, 1]
        rows = np.broadcast_to(differs, known.shape).reshape(known.shape[0] if known.ndim else 1, -1)
        seen = known.reshape(rows.shape)
        order = [*np.flatnonzero(rows.any(axis=1))[:2], *np.flatnonzero(seen.any(axis=1))[:1]]
        return [int(k) for k in order]

    def _confirmed_tie(self, world: World, both: Side, differs: BoolArray) -> bool:
        """Whether real numbers with the same ties differ too."""
        trials = np.flatnonzero(differs.reshape(differs.shape[0], -1).any(axis=1))[:4]
        domain = HighPrecision()
        for k in trials:
            values = {
                t.name: world.raw[t.name] if t.is_integer else domain.integers(world.raw[t.name][k])
                for t in self.inputs
            }
            if self._real(world.sizes, values, both) is False:
                return True
        return False

    def _real(self, sizes: Mapping[str, int], values: Mapping[str, Any], both: Side) -> bool | None:
        interpreter: Interpreter[Any] = Interpreter(HighPrecision(), sizes, values, self.definitions)
        differs, known = interpreter.domain.difference(*both(interpreter))
        if differs.any():
            return False
        return True if known.any() else None


@dataclass(slots=True)
class Tally:
    """What has been tried so far."""

    sizes: tuple[Mapping[str, int], ...]
    trials: int = 0


@dataclass(frozen=True, slots=True)
class World:
    """Sizes, values drawn for them, and everything evaluated from these so far."""

    sizes: Mapping[str, int]
    kind: str
    interpreter: Interpreter[Any]
    raw: Mapping[str, Any]


Result = tuple[World, BoolArray, IntArray]


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


def check_equation(
    equation: Equation, definitions: Sequence[Definition], inputs: Sequence[Tensor], seed: int = 0
) -> Outcome:
    """One line of a derivation: are both sides equal for every value of the free indices?

    Derivatives (`Partial`) are taken through the given definitions; `inputs` are drawn at random.
    """
    return Checker(definitions, inputs, seed).equation(equation)


def check_gradient(
    program: Program,
    upstream: Tensor | None,
    wrt: str,
    gradient_definitions: Sequence[Definition],
    seed: int = 0,
) -> Outcome:
    """Is the last of the definitions the true gradient of the program's output by the input `wrt`?

    The definitions may read the program's inputs and intermediates, and the upstream gradient.
    """
    inputs = program.inputs if upstream is None else (*program.inputs, upstream)
    checker = Checker(program.definitions, inputs, seed)
    return checker.gradient(program.by_name[wrt], program.output, upstream, gradient_definitions)
