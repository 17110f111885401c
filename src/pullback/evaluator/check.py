"""Deciding whether two sides are equal: at random points of the exact domain, at several sizes.

Equal residues at random points mean equal functions, except with a tiny probability. Different
residues are a suspicion only, because the exact domain knows some laws and not all: real numbers
(50 digits) confirm it, or leave the question open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from pullback.errors import IndexProblem, LimitProblem, ShapeProblem
from pullback.evaluator.degree import degree
from pullback.evaluator.derivatives import gradient_in
from pullback.evaluator.domain import BoolArray
from pullback.evaluator.draw import random_inputs, small_integers
from pullback.evaluator.exact import HighPrecision
from pullback.evaluator.interpret import Interpreter
from pullback.evaluator.primefield import PrimeField
from pullback.evaluator.residues import P
from pullback.evaluator.sizes import assignments, extents_in, names_in, ones
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
DRAWS = 4  # of real numbers, where the exact domain does not decide
KINKED_CALLS = frozenset(("relu", "abs", "sign", "maximum", "minimum", "where"))
KINKED_OPERATORS = frozenset(("max", "min"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found.

    "equal" holds except with probability `error_bound` (an estimate from the degree). "different" is
    confirmed by real numbers at the sizes `where`. For "undecided", `numerical` says whether the two
    sides agreed to 30 digits at random real points; `reason` says why the exact domain did not decide.
    """

    status: Status
    error_bound: float
    trials: int
    sizes: tuple[Mapping[str, int], ...]
    numerical: bool = False
    reason: str = ""
    where: Mapping[str, int] | None = None
    at_tie: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)


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
        self.gradients: dict[tuple[int, str], Any] = {}
        self._worlds: list[World] | None = None

    # ---- worlds

    def worlds(self) -> list[World]:
        """Sizes with values in the exact domain: distinct sizes, all ones, and small integers with ties."""
        if self._worlds is None:
            self._worlds = [self.world(sizes, "random") for sizes in self._sizes()]
            lowest = ones(self.extents)
            if lowest is not None:
                self._worlds.append(self.world(lowest, "random"))
            if self.has_kinks():
                self._worlds.append(self.world(self._worlds[0].sizes, "ties", 4 * TRIALS))
        return self._worlds

    def _sizes(self) -> list[dict[str, int]]:
        """The first few assignments at which the forward definitions can be evaluated."""
        found: list[dict[str, int]] = []
        for tried, sizes in enumerate(assignments(self.extents)):
            if tried >= 40 or len(found) == WORLDS:
                break
            try:
                world = self.world(sizes, "random", 1)
                for definition in self.definitions:
                    world.interpreter.tensor(definition.tensor.name)
            except (IndexProblem, ShapeProblem, LimitProblem) as problem:
                failure = problem
                continue
            found.append(sizes)
        if not found:
            raise ShapeProblem(
                "no small sizes were found at which the definitions can be evaluated: " + failure.message
            )
        return found

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
            worlds.append(self.world(worlds[0].sizes, "ties", 4 * TRIALS))
        sizes = tuple(world.sizes for world in worlds)
        fewest = 10**9
        total = 0
        for world in worlds:
            differs, known = self._compared(world, both, rank)
            if world.kind == "random" and not known.all():
                world, differs, known = self._escalated(world, both, rank, differs, known)
            total += world.interpreter.domain.batch
            if differs.any():
                return self._confirmed(world, both, rank, differs, sizes, total)
            if world.kind == "random":
                fewest = min(fewest, int(known.min(initial=10**9)))
        if fewest == 0:
            return self._numerical(both, rank, sizes, total, "some entries have no value in the exact domain")
        error = float((max(1, bound) / P) ** min(fewest, 30))
        return Outcome("equal", min(1.0, error), total, sizes)

    def _compared(self, world: World, both: Side, rank: int) -> tuple[BoolArray, BoolArray]:
        """(where the sides differ in any trial, in how many trials each entry is known)."""
        domain = world.interpreter.domain
        with np.errstate(all="ignore"):
            left, right = both(world.interpreter)
            differs, known = domain.difference(left, right)
        shape = differs.shape[differs.ndim - rank :]
        full = np.broadcast_to(known, (domain.batch, *shape)) if known.ndim == rank else known
        wide = np.broadcast_to(differs, (domain.batch, *shape)) if differs.ndim == rank else differs
        return wide, full.sum(axis=0)

    def _escalated(
        self, world: World, both: Side, rank: int, differs: BoolArray, known: BoolArray
    ) -> tuple[World, BoolArray, Any]:
        """The same sizes with more trials, until every entry has a value in one of them."""
        for trials in MORE_TRIALS:
            if known.all() or differs.any():
                break
            try:
                more = self.world(world.sizes, "random", trials)
                differs, known = self._compared(more, both, rank)
                world = more
            except LimitProblem:
                break
        return world, differs, known

    def _confirmed(
        self, world: World, both: Side, rank: int, differs: BoolArray, sizes: Any, total: int
    ) -> Outcome:
        """A suspicion looked at with real numbers."""
        at_tie = world.kind == "ties"
        rng = np.random.default_rng([self.seed, 5])
        if at_tie:
            trials = np.flatnonzero(differs.reshape(differs.shape[0], -1).any(axis=1))[:DRAWS]
            domain = HighPrecision()
            draws = [
                {
                    t.name: world.raw[t.name] if t.is_integer else domain.integers(world.raw[t.name][k])
                    for t in self.inputs
                }
                for k in trials
            ]
            if any(self._real(world.sizes, values, both) is False for values in draws):
                return Outcome("different", 0.0, total, sizes, where=world.sizes, at_tie=True)
            return self._numerical(both, rank, sizes, total, "the sides differ at a tie of the exact domain")
        found = self._reals(world.sizes, both, rng)
        if found is False:
            return Outcome("different", 0.0, total, sizes, where=world.sizes)
        reason = "the sides differ in the exact domain and agree in real numbers"
        if found is None:
            reason = "the sides differ in the exact domain and have no value at the real numbers that were tried"
        return Outcome("undecided", 1.0, total, sizes, numerical=found is True, reason=reason)

    def _numerical(self, both: Side, rank: int, sizes: Any, total: int, reason: str) -> Outcome:
        rng = np.random.default_rng([self.seed, 6])
        agreed = True
        for assignment in {tuple(sorted(s.items())): s for s in sizes}.values():
            found = self._reals(assignment, both, rng)
            if found is False:
                return Outcome("different", 0.0, total, sizes, where=assignment)
            agreed = agreed and found is True
        return Outcome("undecided", 1.0, total, sizes, numerical=agreed, reason=reason)

    def _reals(self, sizes: Mapping[str, int], both: Side, rng: np.random.Generator) -> bool | None:
        """Whether the sides agree at random real numbers; None where no entry had a value."""
        found: bool | None = None
        for draw in range(DRAWS):
            domain = HighPrecision()
            values = random_inputs(self.inputs, sizes, domain, rng, positive=draw % 2 == 1)
            agree = self._real(sizes, values, both)
            if agree is False:
                return False
            if agree:
                found = True
                if draw:
                    break
        return found

    def _real(self, sizes: Mapping[str, int], values: Mapping[str, Any], both: Side) -> bool | None:
        interpreter: Interpreter[Any] = Interpreter(HighPrecision(), sizes, values, self.definitions)
        with np.errstate(all="ignore"):
            left, right = both(interpreter)
            differs, known = interpreter.domain.difference(left, right)
        if differs.any():
            return False
        return True if known.any() else None


@dataclass(frozen=True, slots=True)
class World:
    """Sizes, values drawn for them, and everything evaluated from these so far."""

    sizes: Mapping[str, int]
    kind: str
    interpreter: Interpreter[Any]
    raw: Mapping[str, Any]


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
