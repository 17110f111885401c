"""What a line of a derivation may read: every true gradient, and Jacobians; and what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pullback.errors import NameProblem
from pullback.evaluator import Interpreter, Outcome
from pullback.evaluator.decision import Decision
from pullback.evaluator.degree import degrees
from pullback.evaluator.derivatives import gradient_in, jacobian_in
from pullback.evaluator.worlds import Worlds
from pullback.expression import Expr, Tensor
from pullback.program import Program
from pullback.reading import read_lines
from pullback.verify.second_order import hessian_in
from pullback.verify.setting import Lines, Setting

LEFT = "left_side"  # the tensor that stands for the left side of an equality


class LineSetting(Setting):
    """A program as the lines of a derivation see it: a gradient's name means the true gradient."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.sources: dict[str, Tensor] = {}  # name of a gradient -> the tensor it belongs to
        self.jacobians: dict[str, tuple[Tensor, ...]] = {}  # name -> (of, by), or (of, by, by)
        self.left: Lines = ()
        self.wrt: Tensor | None = None  # what the present line is about
        self._values: dict[tuple[Interpreter[Any], str], Any] = {}
        for tensor in program.by_name.values():
            if (
                not tensor.is_integer
                and tensor.name not in self.hidden
                and f"d{tensor.name}" not in self.known
            ):
                self.sources[f"d{tensor.name}"] = tensor
                self.known[f"d{tensor.name}"] = Tensor(f"d{tensor.name}", tensor.shape)

    def knows(self, jacobians: Mapping[str, tuple[str, ...]]) -> None:
        """Make ∂Y/∂X, and ∂²L/∂x∂y, known under their names."""
        for word, parts in jacobians.items():
            if word in self.known:
                continue
            if len(parts) == 3 and self.program.output.rank == 0:
                parts = (self.program.output.name, *parts[1:])
            for name in parts:
                if name not in self.program.by_name:
                    raise NameProblem(f"`{name}` is no tensor of the forward program")
            found = tuple(self.program.by_name[name] for name in parts)
            if len(found) == 3 and found[0].rank:
                raise NameProblem(f"`{found[0]}` is no number: a Hessian is of a loss")
            self.jacobians[word] = found
            self.known[word] = Tensor(word, tuple(e for t in found for e in t.shape))

    def about(self, target: str) -> Tensor:
        """The present line is about a gradient or a Jacobian, by its name."""
        self.left = ()
        self.wrt = self.sources.get(target) or Tensor(target[1:], self.known[target].shape)
        return self.wrt

    def equality(self, left: Lines) -> Tensor:
        """The present line is an equality, of which these lines are the left side."""
        self.left = left
        self.wrt = Tensor(LEFT, left[-1].tensor.shape)
        return self.wrt

    # ---- what a claim asks of a setting

    def variable(self, key: str) -> Tensor:
        return self.wrt if self.wrt is not None and key == self.wrt.name else super().variable(key)

    def read_below(self, wrt: Tensor, text: str, made: Mapping[str, Tensor]) -> Lines:
        target = f"d{wrt.name}"
        kept = self.known
        self.known = {word: tensor for word, tensor in kept.items() if word != target}
        try:
            return super().read_below(wrt, text, made)
        finally:
            self.known = kept

    def side(self, text: str) -> Lines:
        """The lines of a left side, of which the last is a bare expression or `left[i,j] = …`."""
        program = self.program
        return read_lines(text, self.known, sizes=program.sizes, ranges=program.ranges, reserved=self.hidden)

    def value(self, forward: Interpreter[Any], word: str) -> Any:
        if word not in self.sources and word not in self.jacobians:
            return forward.tensor(word)
        key = (forward, word)
        if key not in self._values:
            self._values[key] = self._true(forward, word)
        return self._values[key]

    def _true(self, forward: Interpreter[Any], word: str) -> Any:
        if word in self.jacobians:
            of, by, *again = self.jacobians[word]
            return hessian_in(forward, by, again[0], of) if again else jacobian_in(forward, by, of)
        given = None if self.upstream is None else forward.tensor(self.upstream.name)
        return gradient_in(forward, self.sources[word], self.program.output, given)

    def true_value(self, forward: Interpreter[Any], wrt: Tensor) -> Any:
        if not self.left:
            return self.value(forward, f"d{wrt.name}")
        beyond = Interpreter(
            forward.domain, forward.sizes, {}, self.left, lambda word: self.value(forward, word)
        )
        return beyond.tensor(self.left[-1].tensor.name)

    def outcome(self, wrt: Tensor, lines: Lines) -> Outcome:
        name = lines[-1].tensor.name

        def both(forward: Interpreter[Any]) -> tuple[Any, Any]:
            beyond = Interpreter(
                forward.domain, forward.sizes, {}, lines, lambda word: self.value(forward, word)
            )
            return self.true_value(forward, wrt), beyond.tensor(name)

        every = degrees((*self.program.definitions, *self.left, *lines))
        bound = 3 * every[self.program.output.name] + max(every[d.tensor.name] for d in lines)
        worlds = self.worlds.widened([d.body for d in (*self.left, *lines)])
        return Decision(worlds).decide(both, wrt.rank, bound)

    @property
    def worlds(self) -> Worlds:
        """Drawn once for all lines."""
        if self._worlds is None:
            self._worlds = Worlds(self.program.definitions, self.inputs, 0)
        return self._worlds

    _worlds: Worlds | None = None

    def right(self, wrt: Tensor) -> tuple[str, ...]:
        return () if self.left or f"d{wrt.name}" in self.jacobians else super().right(wrt)

    def expected(self, wrt: Tensor, shape: str) -> str:
        return f"the left side is {shape}" if self.left else super().expected(wrt, shape)

    def shapes(self) -> Mapping[str, Sequence[Expr]]:
        """The shape of every name that a line may read."""
        return {word: tensor.shape for word, tensor in self.known.items()}
