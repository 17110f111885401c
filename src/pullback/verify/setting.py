"""What every claim about one program shares: the names it may read, the checks, the values drawn for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from pullback.derivation import Derived, derive_program
from pullback.errors import DomainProblem, NameProblem, PullbackError, SyntaxProblem, nearest
from pullback.evaluator import Checker, Float64, Interpreter, Outcome
from pullback.evaluator.derivatives import gradient_in
from pullback.evaluator.domain import Domain
from pullback.evaluator.sizes import extents_in
from pullback.expression import Definition, Expr, Tensor, tensors
from pullback.formula import gradient_program
from pullback.program import Program, upstream_of
from pullback.reading import read_lines

Lines = tuple[Definition, ...]


class Setting:
    """A program and its upstream gradient, as claims about its gradients see them."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.upstream = upstream_of(program.output) if program.output.rank else None
        self.inputs = program.inputs if self.upstream is None else (*program.inputs, self.upstream)
        self.checker = Checker(program.definitions, self.inputs)
        hidden = {d.tensor.name for d in program.definitions if not d.source}
        self.known = {name: t for name, t in program.by_name.items() if name not in hidden}
        if self.upstream is not None:
            self.known[self.upstream.name] = self.upstream
        self.hidden = hidden
        self._derived: dict[str, Derived] = {}

    def variable(self, key: str) -> Tensor:
        """The tensor whose gradient a claim is about; the key is its name, or that of the gradient."""
        for name in (key, key[1:] if key.startswith("d") else key):
            tensor = self.program.by_name.get(name)
            if tensor is not None and name not in self.hidden and tensor is not self.program.output:
                if tensor.is_integer:
                    what = f"{name} holds integers, and nothing has a gradient with respect to integers"
                    raise DomainProblem(what)
                return tensor
        close = nearest(key, self.known)
        hint = f"the inputs are {', '.join(t.name for t in self.program.inputs)}"
        raise NameProblem(
            f"{key} is not an input of the program", hint=hint + (f"; did you mean {close}?" if close else "")
        )

    def target(self, wrt: Tensor) -> str:
        """The name of what a claim defines: the gradient `dW`."""
        return f"d{wrt.name}"

    def expected(self, wrt: Tensor, shape: str) -> str:
        """What is claimed and its shape, in words."""
        return f"{wrt} is {shape}, and so is its gradient"

    def read(self, wrt: Tensor, text: str) -> Lines:
        """The lines of a claim. Its last line defines the gradient, or is a bare expression."""
        return self.read_below(wrt, text, {})

    def read_below(self, wrt: Tensor, text: str, made: Mapping[str, Tensor]) -> Lines:
        """The last lines of a claim; `made` are tensors of lines above, which have been read already."""
        target = Tensor(self.target(wrt), wrt.shape)
        lines = read_lines(
            text,
            {**self.known, **made},
            sizes=self.program.sizes,
            ranges=self.program.ranges,
            targets={target.name: target},
            reserved=self.hidden,
        )
        if lines[-1].tensor.name != target.name:
            what = f"the last line defines {lines[-1].tensor}, not {target}"
            raise SyntaxProblem(what, source=text, hint=f"{target} = …, or an expression alone")
        return lines

    def read_above(self, wrt: Tensor, text: str) -> Lines:
        """The first lines of a claim, of which the last may be a bare expression of any shape."""
        targets = {self.target(wrt): Tensor(self.target(wrt), wrt.shape)}
        sizes, ranges = self.program.sizes, self.program.ranges
        return read_lines(text, self.known, sizes=sizes, ranges=ranges, targets=targets, reserved=self.hidden)

    def value(self, forward: Interpreter[Any], word: str) -> Any:
        """The value of a name that a claim may read, over the forward values."""
        return forward.tensor(word)

    def outcome(self, wrt: Tensor, lines: Lines) -> Outcome:
        """What the checker says of a claim."""
        return self.checker.gradient(wrt, self.program.output, self.upstream, lines)

    def true_value(self, forward: Interpreter[Any], wrt: Tensor) -> Any:
        """What a claim about `wrt` is compared with, from the forward definitions."""
        given = None if self.upstream is None else forward.tensor(self.upstream.name)
        return gradient_in(forward, wrt, self.program.output, given)

    @cached_property
    def extents(self) -> set[Expr]:
        """Every extent of the program: sizes must make each of them legal."""
        return extents_in(self.program.definitions, self.inputs, ())

    def derived(self, wrt: Tensor) -> Derived:
        if wrt.name not in self._derived:
            program = self.program if wrt in self.program.inputs else given(self.program, wrt)
            self._derived[wrt.name] = derive_program(program, [wrt.name])
        return self._derived[wrt.name]

    def right(self, wrt: Tensor) -> tuple[str, ...]:
        """The derived gradient program, beside which a wrong claim is shown."""
        known = self.program.by_name.get(wrt.name) is wrt and wrt is not self.program.output
        if wrt not in self.program.inputs and not known:
            return ()
        try:
            return self._right(wrt)
        except PullbackError:  # the verdict stands without the formula beside it
            return ()

    def _right(self, wrt: Tensor) -> tuple[str, ...]:
        return tuple(str(line) for line in gradient_program(self.derived(wrt), [wrt.name]))


def given(program: Program, tensor: Tensor) -> Program:
    """The program below an intermediate, which becomes an input."""
    definitions = [d for d in program.definitions if d.tensor is not tensor]
    wanted = {program.output}
    for definition in reversed(definitions):
        if definition.tensor in wanted:
            wanted |= set(tensors(definition.body))
    left = tuple(d for d in definitions if d.tensor in wanted)
    inputs = tuple(t for t in (*program.inputs, tensor) if t in wanted or t is tensor)
    return Program(inputs, left, program.source, (), program.ranges)


class Point:
    """Sizes and values of the inputs over one domain: both sides of a claim are evaluated there."""

    def __init__(
        self, setting: Setting, domain: Domain[Any], sizes: Mapping[str, int], values: Mapping[str, Any]
    ) -> None:
        self.setting = setting
        self.domain = domain
        self.sizes = sizes
        self.forward: Interpreter[Any] = Interpreter(domain, sizes, values, setting.program.definitions)
        self._true: dict[str, Any] = {}

    def true(self, wrt: Tensor) -> Any:
        """The gradient, by dual numbers through the forward definitions."""
        if wrt.name not in self._true:
            with np.errstate(all="ignore"):
                self._true[wrt.name] = self.setting.true_value(self.forward, wrt)
        return self._true[wrt.name]

    def beyond(
        self, lines: Sequence[Definition], outer: Callable[[str], Any] | None = None
    ) -> Interpreter[Any]:
        """The lines of a claim, over the forward values (or what `outer` gives)."""
        return Interpreter(self.domain, self.sizes, {}, lines, outer or self.value)

    def value(self, word: str) -> Any:
        """What the setting makes known under a name."""
        return self.setting.value(self.forward, word)

    def claimed(self, lines: Sequence[Definition], outer: Callable[[str], Any] | None = None) -> Any:
        with np.errstate(all="ignore"):
            return self.beyond(lines, outer).tensor(lines[-1].tensor.name)

    def compared(self, wrt: Tensor, lines: Sequence[Definition]) -> tuple[Any, Any]:
        """(where the sides differ, where both have a value)."""
        with np.errstate(all="ignore"):
            return self.domain.difference(self.claimed(lines), self.true(wrt))

    def agrees(self, wrt: Tensor, lines: Sequence[Definition]) -> bool:
        """Whether the sides are equal wherever both have a value, and have one somewhere."""
        differs, known = self.compared(wrt, lines)
        return bool(known.any()) and not bool(differs.any())


def floats(draws: int, tolerance: float = 1e-9) -> Float64:
    return Float64(tolerance, draws)
