"""The objects in the user's hand: `derive`, `Derivation`, `Formula`, and what they can be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pullback import render
from pullback.derivation import Derived, Report, derive_program
from pullback.expression import Tensor
from pullback.formula import backward_program, gradient_program
from pullback.later import Later
from pullback.program import Program
from pullback.reading import read_program
from pullback.rewriting import Step
from pullback.verify.results import check_derived

if TYPE_CHECKING:
    from pullback import backward, capturing, emit, second_order
    from pullback.backward import Backward
    from pullback.capture.captured import Captured
    from pullback.second_order import Differential
else:
    second_order = Later("pullback.second_order")
    backward = Later("pullback.backward")
    emit = Later("pullback.emit")
    capturing = Later("pullback.capturing")

Steps = Literal["all", "short", "none"]
Shapes = Mapping[str, str | Sequence[str | int]] | str


class Formula:
    """The gradient with respect to one input: a program of the language whose last line is `dX = …`.

    `str(formula)` may use the inputs, sizes, the forward program's intermediates and the upstream gradient.
    """

    def __init__(self, derived: Derived, wrt: Tensor) -> None:
        self._derived = derived
        self.wrt = wrt

    @cached_property
    def lines(self) -> tuple[str, ...]:
        return tuple(str(line) for line in gradient_program(self._derived, [self.wrt.name]))

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def __repr__(self) -> str:
        return "; ".join(self.lines)


class Derivation:
    """A program's backward pass, with its steps. Results are checked before the first of them is shown."""

    def __init__(self, unchecked: Derived, captured: Captured | None = None) -> None:
        self._unchecked = unchecked
        self.captured = captured
        """Where the program stands for code: its names and parameters in that code."""

    @cached_property
    def _checked(self) -> tuple[Derived, Report]:
        return check_derived(self._unchecked)

    @property
    def program(self) -> Program:
        return self._unchecked.program

    @property
    def derived(self) -> Derived:
        """The finished derivation as data, each step with its status."""
        return self._checked[0]

    @property
    def report(self) -> Report:
        """What the checks found."""
        return self._checked[1]

    @cached_property
    def gradients(self) -> dict[str, Formula]:
        """Input -> formula of its gradient, in the order of the inputs."""
        return {tensor.name: Formula(self.derived, tensor) for tensor in self.derived.wrt}

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The whole backward pass as one program: what several gradients read is a line of its own.

        >>> shapes = {"X": "N D", "W": "D F", "V": "F M"}
        >>> derive("H = tanh(X @ W); Y = H @ V", shapes).lines
        ('dZ = dY @ V.T * (1 - H ** 2)', 'dX = dZ @ W.T', 'dW = X.T @ dZ', 'dV = H.T @ dY')
        """
        return tuple(str(line) for line in backward_program(self.derived))

    @property
    def steps(self) -> list[Step]:
        """Every recorded step: forward lines in stable form, then the order of the backward pass."""
        inside = [step for section in self.derived.sections for step in section.steps]
        return [*self.derived.rewrites, *inside]

    @property
    def conditions(self) -> str:
        """The sizes for which the result of captured code holds, as a line; empty where it holds for all."""
        notes = () if self.captured is None else self.captured.notes
        return f"Sizes: {'; '.join(notes)}.\n" if notes else ""

    def text(
        self, *, steps: Steps = "all", ascii: bool = False, sizes: Mapping[str, int] | None = None
    ) -> str:
        """The derivation for a terminal; with `sizes`, also the walk-through entry by entry."""
        shown = render.text(self.derived, self.report, steps=steps, ascii=ascii, sizes=sizes)
        return shown + self.conditions

    def latex(self, *, steps: Steps = "all", sizes: Mapping[str, int] | None = None) -> str:
        return render.latex(self.derived, self.report, steps=steps, sizes=sizes)

    def markdown(self, *, steps: Steps = "all", sizes: Mapping[str, int] | None = None) -> str:
        return render.markdown(self.derived, self.report, steps=steps, sizes=sizes)

    def json(self, *, sizes: Mapping[str, int] | None = None) -> str:
        """The derivation as JSON text; the schema is in the documentation."""
        formulas = {name: formula.lines for name, formula in self.gradients.items()}
        return render.to_json(self.derived, self.report, formulas, sizes=sizes)

    def jacobian(self, x: str, y: str | None = None) -> Differential:
        """∂y/∂x as a formula that runs, the axes of y (default: the output) first.

        >>> print(derive("P = softmax(x, axis=0)", {"x": "N"}).jacobian("x"))
        J = diag(P) - outer(P, P)
        """
        return second_order.jacobian(self.program, x, y)

    def hessian(self, x: str, x2: str | None = None) -> Differential:
        """∂²L/∂x∂x2 of a scalar output, the axes of x first; x2 defaults to x."""
        return second_order.hessian(self.program, x, x2)

    def jvp(self, directions: Mapping[str, str]) -> Differential:
        """The derivative of the output along `{"x": "v"}`; the input v holds the direction."""
        return second_order.jvp(self.program, directions)

    def hvp(self, directions: Mapping[str, str]) -> Differential:
        """The Hessian of a scalar output times the direction `{"x": "v"}`, which the input v holds."""
        return second_order.hvp(self.program, directions)

    def emit(self, target: str = "numpy", *, name: str | None = None) -> str:
        """Source code of the backward pass: a module for "numpy", "torch" or "jax".

        For NumPy a function `backward` that takes the inputs and the upstream gradient; for PyTorch a
        `torch.autograd.Function` and the function that applies it; for JAX a `jax.custom_vjp`.
        `name` is what the function is called. Raises `NameProblem` for a target or a name that is none.

        >>> [line.strip() for line in derive("Y = X @ W").emit("torch").splitlines() if "dW = X" in line][-1]
        'dW = X.mT @ grad_output'
        """
        return emit.module_source(self.derived, target, name).text

    def emit_tests(self, target: str, *, name: str | None = None, module: str | None = None) -> str:
        """A test file for what `emit` gives: value, both derivatives and compilation, against the plain forward.

        `module` is where it imports the function from (default: the function's name). For "torch" and "jax".
        """
        return emit.source_of_tests(self.derived, target, name, module)

    def compile(self, backend: str = "numpy", *, sizes: Mapping[str, int] | None = None) -> Backward:
        """The backward pass as a function. `sizes` gives sizes that no input shows.

        Of captured code, the parameters are those that it holds, unless a call gives others.
        """
        if self.captured is None:
            return backward.Backward(self.derived, sizes, backend=backend)
        held = {name: self.captured.values[name] for name in self.captured.parameters}
        return backward.Backward(self.derived, sizes, defaults=held, code=self.captured, backend=backend)

    def __repr__(self) -> str:
        return "\n".join(repr(formula) for formula in self.gradients.values())

    def __str__(self) -> str:
        return self.text()

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def _repr_latex_(self) -> str:
        return self.latex(steps="none")


def derive(
    program: Any,
    shapes: Any = None,
    *,
    wrt: Sequence[str] | None = None,
    integers: Mapping[str, Any] | None = None,
    assume: Mapping[str, str] | None = None,
    ranges: Mapping[str, str] | None = None,
    output: int | str | None = None,
) -> Derivation:
    """The backward pass of a program, derived element by element.

    program: definitions, one a line or separated by `;`. shapes: `{"X": "N D"}` or
    `"X: N D"`; integers: `{"t": ("B", "V")}`; assume: `{"S": "spd"}`; ranges: `{"p": "H-R+1"}`; wrt: the inputs to
    differentiate by (default: every real one).
    In the place of a program, real code: then `shapes` may be an example of its arguments, a tuple or a
    dictionary by name, `output` says which of several outputs is meant, and the result says under `captured`
    what program was read.
    Raises `PullbackError` with place and hint for text that is no program, and for code that cannot be read.

    >>> print(derive("Y = X @ W").gradients["W"])
    dW = X.T @ dY
    """
    if not isinstance(program, str):
        captured = capturing.capture(program, shapes, integers=integers, assume=assume, output=output)
        wanted = captured.wrt if wrt is None else [captured.names.get(name, name) for name in wrt]
        return Derivation(derive_program(captured.read(), wanted), captured)
    read = read_program(program, shapes=shapes, integers=integers, assume=assume, ranges=ranges)
    return Derivation(derive_program(read, wrt))
