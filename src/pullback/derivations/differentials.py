"""Lines of differentials, `dL = tr(G^T dX)`, `dY = dX W + X dW`: directional derivatives, compared exactly."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Sequence
from typing import Any

from pullback.derivations.handwriting import plain
from pullback.derivations.setting import LineSetting
from pullback.evaluator import Interpreter
from pullback.evaluator.derivatives import gradient_in
from pullback.expression import Tensor, tensors
from pullback.program import Program
from pullback.verify.second_order import along, one_direction

GRADIENT = "gradient_"  # what the name of a gradient begins with, where `dX` is a differential


class DifferentialSetting(LineSetting):
    """A program along directions: `dX` of an input is a direction, `dY` what it makes of Y."""

    def __init__(self, program: Program, moving: Collection[str], loss: str) -> None:
        super().__init__(program)
        self.upstream = None
        self.loss = f"d{loss}" if loss and loss not in program.by_name else ""
        self.moving = {name: f"d{name}" for name in sorted(moving)}
        self.gradients: dict[str, Tensor] = {}
        visible = [t for t in program.by_name.values() if not t.is_integer and t.name not in self.hidden]
        for tensor in visible:
            self.sources[f"d{tensor.name}"] = tensor
            self.known[f"d{tensor.name}"] = Tensor(f"d{tensor.name}", tensor.shape)
            self.gradients[f"{GRADIENT}{tensor.name}"] = tensor
            self.known[f"{GRADIENT}{tensor.name}"] = Tensor(f"{GRADIENT}{tensor.name}", tensor.shape)
        if self.loss:
            self.known[self.loss] = Tensor(self.loss, ())
        directions = [_direction(program.by_name[name]) for name in self.moving]
        output = program.output
        self.weights = Tensor(f"{GRADIENT}{output.name}", output.shape) if output.rank else None
        self.inputs = (*program.inputs, *directions, *([self.weights] if self.weights is not None else []))

    def value(self, forward: Interpreter[Any], word: str) -> Any:
        if word in self.moving.values():
            return forward.tensor(word)
        if word not in self.gradients and word != self.loss:
            return super().value(forward, word)
        key = (forward, word)
        if key not in self._values:
            self._values[key] = self._true(forward, word)
        return self._values[key]

    def _true(self, forward: Interpreter[Any], word: str) -> Any:
        output = self.program.output
        given = None if self.weights is None else forward.tensor(self.weights.name)
        if word in self.gradients:
            return (
                given
                if self.gradients[word] is output
                else gradient_in(forward, self.gradients[word], output, given)
            )
        if word in self.jacobians:
            return super()._true(forward, word)
        inputs = {tensor.name: tensor for tensor in self.program.inputs}
        moved, dual = along(forward, self.moving, inputs)
        if word != self.loss:
            return one_direction(forward.domain, dual.tangent(moved.tensor(self.sources[word].name)))
        change = one_direction(forward.domain, dual.tangent(moved.tensor(output.name)))
        product = forward.domain.mul(given, change)
        return forward.domain.total(product, output.rank)

    def right(self, wrt: Tensor) -> tuple[str, ...]:
        return ()


def _direction(tensor: Tensor) -> Tensor:
    """A symmetric matrix moves along symmetric ones."""
    facts = frozenset(("symmetric",)) if tensor.facts & {"symmetric", "spd"} else frozenset()
    return Tensor(f"d{tensor.name}", tensor.shape, None, facts)


def moved_by(
    program: Program,
    loss: str,
    first: str,
    rest: Sequence[ast.expr],
    elsewhere: Collection[str] | None = None,
) -> set[str]:
    """The inputs that move on a line of differentials; empty where it is none.

    These are the inputs whose differentials it reads, and for that of an intermediate the inputs whose differentials
    stand `elsewhere` in the text (all of them, where none does): the rest are constants.
    """
    found = re.fullmatch(r"d\s*([A-Za-z]\w*)", plain(first).strip())
    by_name = {d.tensor.name: d for d in program.definitions if d.source}
    if found is None or (found[1] not in by_name and found[1] != loss):
        return set()
    above = ancestors(program, found[1] if found[1] in by_name else program.output.name)
    if found[1] not in by_name:
        above.add(program.output.name)
    words = {n.id for tree in rest for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id[:1] == "d"}
    read = {word[1:] for word in words} & above
    inputs = {t.name for t in program.inputs if not t.is_integer}
    own = read & inputs
    if elsewhere is None:
        return own
    below = {name for each in read - inputs for name in ancestors(program, each) & inputs}
    return own | (below & set(elsewhere) or (set() if own else below))


def all_moved(program: Program, sides: Sequence[ast.expr]) -> set[str]:
    """The inputs that move where every `dX` of a line is a differential; empty where it holds none."""
    words = {
        n.id[1:] for tree in sides for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id[:1] == "d"
    }
    inputs = {t.name for t in program.inputs if not t.is_integer}
    inner = words & {d.tensor.name for d in program.definitions if d.source}
    if not inner:
        return set()
    return (words & inputs) or {name for word in inner for name in ancestors(program, word) & inputs}


def ancestors(program: Program, word: str) -> set[str]:
    """The names that a tensor is computed from."""
    by_name = {d.tensor.name: d for d in program.definitions}
    found: set[str] = set()
    wanted = [word]
    while wanted:
        current = by_name.get(wanted.pop())
        if current is not None:
            fresh = {t.name for t in tensors(current.body)} - found
            found |= fresh
            wanted += fresh
    return found
