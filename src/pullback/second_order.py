"""Jacobians, tangents, Hessians and Hessian-vector products in the user's hand.

A `Differential` is printed as a program of the language, knows its checked steps, and runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

from numpy.typing import ArrayLike, NDArray

from pullback import render
from pullback.backward import Backward
from pullback.derivation import Report
from pullback.emit.plain_source import lines_source
from pullback.emit.running_forms import for_running
from pullback.errors import DomainProblem, NameProblem
from pullback.expression import Expr, Tensor
from pullback.forward_mode import (
    derive_hessian,
    derive_hvp,
    derive_jacobian,
    derive_jvp,
)
from pullback.forwarded import Forwarded, Kind, result_program
from pullback.program import Program
from pullback.render.names import ascii_text
from pullback.render.terminal import PAGE_WIDTH
from pullback.rewriting import Step
from pullback.structure import kronecker
from pullback.verify.flattened import is_flattened
from pullback.verify.second_order import CheckedForward, check_forwarded

Shape = tuple[Expr, ...]
Steps = Literal["all", "short", "none"]


class Differential:
    """A Jacobian, a JVP, a Hessian or a Hessian-vector product of one program.

    `str()` is a program whose last line is `J = …`, `H = …`, `tY = …` (the tangent of Y) or, for a
    Hessian-vector product, `tdX = …` (the tangent of the gradient dX), one for each input with a direction.
    Called with the inputs (a dict of arrays) it gives the array: a Jacobian has the output's axes first, a
    Hessian those of the first input; a Hessian-vector product gives a dict, input -> array.
    """

    def __init__(self, unchecked: Forwarded) -> None:
        self._unchecked = unchecked

    @cached_property
    def _checked(self) -> CheckedForward:
        return check_forwarded(self._unchecked)

    @property
    def kind(self) -> Kind:
        return self._unchecked.kind

    @property
    def program(self) -> Program:
        return self._unchecked.derived.program

    @property
    def forwarded(self) -> Forwarded:
        """The finished derivation as data, each step with its status."""
        return self._checked.forwarded

    @property
    def report(self) -> Report:
        """What the checks found."""
        return self._checked.report

    @property
    def notes(self) -> tuple[str, ...]:
        """Conventions that the result follows, and the kinks that take part."""
        return self._unchecked.notes

    @property
    def steps(self) -> list[Step]:
        """Every recorded step, in the order of the definitions."""
        return [step for section in self.forwarded.derived.sections for step in section.steps]

    @cached_property
    def lines(self) -> tuple[str, ...]:
        return tuple(str(line) for line in result_program(self.forwarded))

    @cached_property
    def formulas(self) -> dict[str, str]:
        """Each result by itself: input (of a Hessian "x,x2", of a JVP the output) -> program text."""
        return {key: "\n".join(lines) for key, lines in self._pages().items()}

    @property
    def shape(self) -> Shape:
        """The axes of the (first) result."""
        return self._unchecked.results[0].tensor.shape

    @cached_property
    def dense(self) -> str:
        """The same in matrix notation, with every zero computed, where that exists; else as it is."""
        return "\n".join(str(line) for line in result_program(self.forwarded, dense=True))

    @cached_property
    def kronecker(self) -> str | None:
        """A matrix by a matrix as one matrix over flattened entries: `kron(A.T @ A, eye(M))`.

        Both are flattened row by row, as `reshape` does. None where the result is no Kronecker product.
        """
        (result, *_) = self._unchecked.results
        derived = self.forwarded.derived
        made = next(d for d in derived.backward if d.tensor.name == result.tensor.name)
        text = kronecker(made, result.outputs)
        return text if text is not None and is_flattened(derived, made, text) else None

    def __str__(self) -> str:
        return "\n".join([*(f"# {note}" for note in self.notes), *self.lines])

    def __repr__(self) -> str:
        return "; ".join(self.lines)

    def _pages(self, *, dense: bool = False) -> dict[str, tuple[str, ...]]:
        return {
            result.key: tuple(
                str(line) for line in result_program(self.forwarded, [result.tensor.name], dense=dense)
            )
            for result in self._unchecked.results
        }

    def text(
        self, *, steps: Steps = "all", ascii: bool = False, dense: bool = False, width: int = PAGE_WIDTH
    ) -> str:
        """The derivation for a terminal: the result, every step with its status, what the checks found."""
        pages = self._pages(dense=dense)
        page = render.text(self.forwarded.derived, self.report, pages, steps=steps, ascii=ascii, width=width)
        below = "".join(f"\n{remark}\n" for remark in self._remarks())
        return page + (ascii_text(below) if ascii else below)

    def latex(self, *, steps: Steps = "all", dense: bool = False) -> str:
        return render.latex(self.forwarded.derived, self.report, self._pages(dense=dense), steps=steps)

    def markdown(self, *, steps: Steps = "all", dense: bool = False) -> str:
        page = render.markdown(self.forwarded.derived, self.report, self._pages(dense=dense), steps=steps)
        return page + "".join(f"\n{remark}\n" for remark in self._remarks())

    def json(self, *, dense: bool = False) -> str:
        """The derivation as JSON text: `kind`, `results` and, where there is one, the Kronecker product."""
        data = render.forwarded_data(self.forwarded, self.report, self._pages(dense=dense))
        return json.dumps({**data, "kronecker": self.kronecker}, indent=2, ensure_ascii=False)

    def _remarks(self) -> list[str]:
        """The conventions, and the Kronecker product, in words."""
        flat = [] if self.kronecker is None else [f"Flattened row by row: {self.kronecker}"]
        return [*self.notes, *flat]

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def emit(self, target: str = "numpy") -> str:
        """Source code of a function that computes it."""
        return self.compile(target).source

    def compile(self, backend: str = "numpy", *, sizes: Mapping[str, int] | None = None) -> Compiled:
        """A function of the inputs. `sizes` gives sizes that no input shows."""
        if backend != "numpy":
            raise NameProblem(f"there is no backend {backend}", hint="the backends are: numpy")
        return Compiled(self.forwarded, sizes)

    @cached_property
    def _function(self) -> Compiled:
        return self.compile()

    def __call__(self, inputs: Mapping[str, ArrayLike]) -> NDArray[Any] | dict[str, NDArray[Any]]:
        return self._function(inputs)


class Compiled:
    """`compiled(inputs)` gives the array, of a Hessian-vector product a dict; `source` is the code that runs.

    Raises `NameProblem`, `ShapeProblem`, `DomainProblem` or `LimitProblem` for inputs that do not fit.
    """

    def __init__(self, forwarded: Forwarded, sizes: Mapping[str, int] | None = None) -> None:
        self._many = forwarded.kind == "hvp"
        results: dict[str, Tensor] = {result.key: result.tensor for result in forwarded.results}
        if not forwarded.derived.program.inputs:
            raise DomainProblem("the program has no input, so there is nothing to differentiate by")
        running = replace(forwarded, derived=for_running(forwarded.derived)[0])
        lines = result_program(running, with_forward=True, dense=True)
        source = lines_source(running.derived, lines, results, _summary(forwarded), forwarded.kind)
        self._run = Backward(forwarded.derived, sizes, source=source, results=results)

    @property
    def source(self) -> str:
        """The module's text."""
        return self._run.source

    def __call__(self, inputs: Mapping[str, ArrayLike]) -> NDArray[Any] | dict[str, NDArray[Any]]:
        found = self._run(inputs)
        return found if self._many else next(iter(found.values()))


def _summary(forwarded: Forwarded) -> str:
    output = forwarded.derived.program.output.name
    keys = [result.key for result in forwarded.results]
    along = ", ".join(f"{x} along {v}" for x, v in forwarded.directions.items())
    match forwarded.kind:
        case "jacobian":
            return f"The Jacobian of {output} by {keys[0]}."
        case "hessian":
            return f"The Hessian of {output} by {' and '.join(keys[0].split(','))}."
        case "jvp":
            return f"The derivative of {output}: {along}."
        case "hvp":
            return f"Hessian-vector products of {output}: {along}."


def jacobian(program: Program, x: str, y: str | None = None) -> Differential:
    """∂y/∂x, the axes of y (default: the output) first."""
    return Differential(derive_jacobian(program, x, y))


def hessian(program: Program, x: str, x2: str | None = None) -> Differential:
    """∂²L/∂x∂x2 of a scalar output, the axes of x first; x2 defaults to x."""
    return Differential(derive_hessian(program, x, x2))


def jvp(program: Program, directions: Mapping[str, str]) -> Differential:
    """The derivative of the output along a direction: `{"x": "v"}`, where the input v holds it."""
    return Differential(derive_jvp(program, directions))


def hvp(program: Program, directions: Mapping[str, str]) -> Differential:
    """Products of the Hessian of a scalar output with a direction, `{"x": "v"}`: the input v holds it."""
    return Differential(derive_hvp(program, directions))
