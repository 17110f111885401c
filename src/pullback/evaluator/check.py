"""Checks of one line of a derivation, and of a gradient against the forward definitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from pullback.errors import ShapeProblem
from pullback.evaluator.decision import Decision, Outcome, Sides
from pullback.evaluator.degree import degree, degrees
from pullback.evaluator.derivatives import gradient_in
from pullback.evaluator.draw import entries
from pullback.evaluator.dual import Dual, DualValue
from pullback.evaluator.interpret import Interpreter
from pullback.evaluator.worlds import World, Worlds
from pullback.expression import Definition, Equation, Expr, Index, Tensor, free
from pullback.program import Program


class Checker:
    """Checks over the same definitions and inputs: draws and forward values are shared by all of them.

    `definitions` are the definitions through which derivatives are taken; `inputs` are all tensors that
    are given at random: the program's inputs, upstream gradients, and intermediates that stand for
    themselves (a derivative by one of these is a derivative at a fixed value of the others).
    """

    def __init__(self, definitions: Sequence[Definition], inputs: Sequence[Tensor], seed: int = 0) -> None:
        self.definitions = tuple(definitions)
        self.seed = seed
        self._worlds = Worlds(definitions, inputs, seed)
        self._degrees = degrees(definitions)
        self._gradients: dict[tuple[Interpreter[Any], str, str], Any] = {}

    def worlds(self) -> list[World]:
        """The sizes that the checks visit, with the values drawn for them; distinct sizes come first."""
        return self._worlds.all()

    def equation(self, equation: Equation) -> Outcome:
        """Whether both sides are equal for every value of the free indices."""
        named = {index.name: index for index in free(equation.left) | free(equation.right)}
        return self.equal(equation.left, equation.right, [named[name] for name in sorted(named)])

    def equal(self, left: Expr, right: Expr, over: Sequence[Index]) -> Outcome:
        """Whether two expressions are equal for every value of the indices `over`."""

        def both(interpreter: Interpreter[Any]) -> tuple[Any, Any]:
            return interpreter.element_values(left, over), interpreter.element_values(right, over)

        worlds = self._worlds.widened([left, right, *(index.extent for index in over)])
        bound = max(degree(left, self._degrees), degree(right, self._degrees))
        return Decision(worlds).decide(both, len(over), bound)

    def gradient(
        self, x: Tensor, y: Tensor, upstream: Tensor | None, gradient_definitions: Sequence[Definition]
    ) -> Outcome:
        """Whether the last of the definitions is the gradient of Σ upstream * y by x."""
        claimed = gradient_definitions[-1].tensor

        def both(interpreter: Interpreter[Any]) -> tuple[Any, Any]:
            found = _beyond(interpreter, gradient_definitions).tensor(claimed.name)
            _same_shape(interpreter, claimed, x)
            return self._true_gradient(interpreter, x, y, upstream), found

        return self._decide_gradient(both, x.rank, gradient_definitions)

    def gradients(
        self,
        names: Mapping[str, Tensor],
        y: Tensor,
        upstream: Tensor | None,
        gradient_definitions: Sequence[Definition],
    ) -> Outcome:
        """Whether all gradients are right at once: `names` maps the name of each to its input.

        Both sides are taken along one random direction of all inputs together, so that the cost does
        not grow with the number of their entries. One wrong gradient makes the sides differ.
        """

        def both(interpreter: Interpreter[Any]) -> tuple[Any, Any]:
            inner = _beyond(interpreter, gradient_definitions)
            directions = self._directions(interpreter, names.values())
            true = _along(interpreter, directions, y, upstream)
            claimed = interpreter.domain.number(Fraction(0))
            by_name = {d.tensor.name: d.tensor for d in gradient_definitions}
            for name, x in names.items():
                _same_shape(interpreter, by_name[name], x)
                product = interpreter.domain.mul(inner.tensor(name), directions[x.name])
                claimed = interpreter.domain.add(claimed, interpreter.domain.total(product, x.rank))
            return true, claimed

        return self._decide_gradient(both, 0, gradient_definitions)

    def _decide_gradient(self, both: Sides, rank: int, gradient_definitions: Sequence[Definition]) -> Outcome:
        every = degrees((*self.definitions, *gradient_definitions))
        bound = 2 * every[self.definitions[-1].tensor.name] + max(
            every[d.tensor.name] for d in gradient_definitions
        )
        worlds = self._worlds.widened([d.body for d in gradient_definitions])
        return Decision(worlds).decide(both, rank, bound)

    def _true_gradient(
        self, interpreter: Interpreter[Any], x: Tensor, y: Tensor, upstream: Tensor | None
    ) -> Any:
        key = (interpreter, x.name, y.name)
        if key not in self._gradients:
            given = None if upstream is None else interpreter.tensor(upstream.name)
            self._gradients[key] = gradient_in(interpreter, x, y, given)
        return self._gradients[key]

    def _directions(self, interpreter: Interpreter[Any], inputs: Iterable[Tensor]) -> dict[str, Any]:
        """A random direction for each input, the same at every call."""
        rng = np.random.default_rng([self.seed, 11])
        shapes = {x.name: tuple(interpreter.size(extent) for extent in x.shape) for x in inputs}
        return {name: entries(shape, interpreter.domain, rng, False) for name, shape in shapes.items()}


def _beyond(interpreter: Interpreter[Any], definitions: Sequence[Definition]) -> Interpreter[Any]:
    """Further definitions on top of everything that an interpreter knows."""
    return Interpreter(interpreter.domain, interpreter.sizes, {}, definitions, interpreter.tensor)


def _same_shape(interpreter: Interpreter[Any], claimed: Tensor, x: Tensor) -> None:
    shape, wanted = (tuple(interpreter.size(extent) for extent in t.shape) for t in (claimed, x))
    if shape != wanted:
        raise ShapeProblem(f"the gradient of {x.name} has the shape {shape} where {x.name} has {wanted}")


def _along(
    interpreter: Interpreter[Any], directions: Mapping[str, Any], y: Tensor, upstream: Tensor | None
) -> Any:
    """The derivative of Σ upstream * y along the directions."""
    domain = interpreter.domain
    dual: Dual[Any] = Dual(domain, 1)
    seeds = {
        name: DualValue(interpreter.tensor(name), domain.restructure(direction, lambda x: x[None]))
        for name, direction in directions.items()
    }
    tangent = dual.tangent(interpreter.beside(dual, seeds).tensor(y.name))
    if upstream is not None:
        tangent = domain.mul(tangent, interpreter.tensor(upstream.name))
    return domain.restructure(domain.total(tangent, y.rank), lambda x: x[0])


def check_equation(
    equation: Equation, definitions: Sequence[Definition], inputs: Sequence[Tensor], seed: int = 0
) -> Outcome:
    """One line of a derivation: are both sides equal for every value of the free indices?

    Derivatives (`Partial`) are taken through the given definitions; `inputs` are drawn at random. Raises
    `ShapeProblem` where no sizes are found at which the definitions can be evaluated.

    >>> from pullback.expression import Access, Index, Partial, Size, Tensor, bracket, mul, num
    >>> i, j = Index("i", Size("N")), Index("j", Size("N"))
    >>> x, y = Tensor("x", (Size("N"),)), Tensor("y", (Size("N"),))
    >>> double = Definition(y, (i,), mul(num(2), Access(x, (i,))))
    >>> line = Equation(Partial(Access(y, (i,)), Access(x, (j,))), mul(num(2), bracket("==", i, j)))
    >>> check_equation(line, [double], [x]).status
    'equal'
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

    The definitions may read the program's inputs and intermediates, and the upstream gradient, which is
    None for a scalar output. Raises `ShapeProblem` where the claimed gradient has not the shape of the input.

    >>> from pullback.expression import Access, Index, Size, Tensor, mul, num, total
    >>> i = Index("i", Size("N"))
    >>> x, L, dx = Tensor("x", (Size("N"),)), Tensor("L", ()), Tensor("dx", (Size("N"),))
    >>> loss = Definition(L, (), total((i,), mul(Access(x, (i,)), Access(x, (i,)))))
    >>> gradient = Definition(dx, (i,), mul(num(2), Access(x, (i,))))
    >>> check_gradient(Program((x,), (loss,)), None, "x", [gradient]).status
    'equal'
    """
    inputs = program.inputs if upstream is None else (*program.inputs, upstream)
    checker = Checker(program.definitions, inputs, seed)
    return checker.gradient(program.by_name[wrt], program.output, upstream, gradient_definitions)


def check_gradients(
    program: Program,
    upstream: Tensor | None,
    names: Mapping[str, str],
    gradient_definitions: Sequence[Definition],
    seed: int = 0,
) -> Outcome:
    """Are all gradients right at once? `names` maps the name of each defined gradient to its input.

    One random direction through the whole program: the cost is linear in its length.
    """
    inputs = program.inputs if upstream is None else (*program.inputs, upstream)
    known = program.by_name
    checker = Checker(program.definitions, inputs, seed)
    chosen = {gradient: known[name] for gradient, name in names.items()}
    return checker.gradients(chosen, program.output, upstream, gradient_definitions)
