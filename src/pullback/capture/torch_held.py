"""A captured program held against the PyTorch code that it stands for: its output, and its derivative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pullback.capture.captured import Array, Captured, output_of, verify
from pullback.errors import DomainProblem, NameProblem, PullbackError, ShapeProblem
from pullback.reading.shapes import parse_size
from pullback.sizes import evaluate_size
from pullback.tracing.numpy_pair import CODE_ERRORS

if TYPE_CHECKING:
    from pullback.capture.torch_graph import Reading

STEP: Final = 1e-6
TOLERANCE: Final = 1e-4


class Holding:
    """One reading beside the program that it gave."""

    def __init__(self, reading: Reading, captured: Captured, place: int) -> None:
        self.reading = reading
        self.place = place
        self.computed = {n: captured.names[n] for n in reading.numbers.picks if n in captured.names}
        if self.computed:
            captured = self._with_data(captured)
        self.captured = captured

    def _with_data(self, captured: Captured) -> Captured:
        """The program with what gives its data, and with every argument that this may read."""
        reading = self.reading
        names = {n: own for n, own in captured.names.items() if n not in self.computed}
        names |= {n: n for n in reading.given if n not in names}
        unseen = {n: reading.leaves[at].numpy() for n, at in reading.given.items() if n not in captured.names}
        return replace(captured, names=names, values={**unseen, **captured.values}, data=self.data)

    def demand_same(self) -> None:
        """The same output on the example and at other sizes, and the same derivative."""
        others = [self._other()] if self.reading.writer.sizes else []
        try:
            verify(self.captured, self._run, others)
        except CODE_ERRORS as error:
            if isinstance(error, PullbackError):
                raise
            raise ShapeProblem(f"the code does not run at other sizes: {error}") from error
        if self.reading.code.differentiated:
            self._demand_same_derivative()

    # ---- the code on numbers

    def _tensor(self, values: Mapping[str, Any], name: str, like: Any) -> Any:
        """What stands for an argument or a parameter of the code: a value by the program's name or by the code's."""
        import torch

        own = self.captured.names.get(name, name)
        if own not in values or not isinstance(like, torch.Tensor):
            return like.clone() if isinstance(like, torch.Tensor) else like
        given = values[own]
        found = given if isinstance(given, torch.Tensor) else torch.from_numpy(np.array(given))
        return found.to(like.dtype)

    def _arguments(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        """Parameters by name, and the leaves of the arguments."""
        reading = self.reading
        held = {
            name: self._tensor(values, name, x)
            for name, x in reading.held.items()
            if name not in reading.exported.constants
        }
        names = {at: name for name, at in reading.given.items()}
        return held, [self._tensor(values, names.get(k, ""), x) for k, x in enumerate(reading.leaves)]

    def _called(self, values: Mapping[str, Any]) -> Any:
        code = self.reading.code
        held, leaves = self._arguments(values)
        return code.outputs(held, _rebuilt((*code.args, *code.kwargs.values()), leaves))[self.place]

    def _run(self, values: Mapping[str, Array]) -> Array:
        import torch

        with torch.no_grad():
            return np.asarray(self._called(values).numpy())

    def data(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """What the code computes without a gradient, by the program's names."""
        for name in self.reading.given:
            if self.captured.names[name] not in values:
                raise NameProblem(f"the input {name} is missing", hint="what is data is computed from it")
        held, leaves = self._arguments(values)
        own = self.reading.own
        placed = {name: held.get(self.reading.targets.get(name, ""), x) for name, x in own.items()}
        found = self.reading.numbers.data(leaves, placed)
        return {own: found[name] for name, own in self.computed.items()}

    def _other(self) -> dict[str, Array]:
        """Values for the arguments with free sizes, of other sizes."""
        reading, captured = self.reading, self.captured
        sizes = {name: n + 1 + k for k, (name, n) in enumerate(reading.writer.sizes.items())}
        rng = np.random.default_rng(0)
        drawn: dict[str, Array] = {}
        for name, at in reading.given.items():
            shape = [evaluate_size(parse_size(e), sizes) for e in reading.shapes[name]]
            own = captured.names.get(name, name)
            if own in captured.integers:
                high = evaluate_size(parse_size(captured.integers[own][1]), sizes)
                drawn[own] = rng.integers(0, high, size=shape)
            elif reading.leaves[at].is_floating_point():
                drawn[own] = rng.normal(size=shape)
            else:  # read by what is data alone, so that only the example says which values it takes
                drawn[own] = rng.choice(reading.leaves[at].numpy().ravel(), size=shape)
        return drawn

    # ---- the derivative

    def _demand_same_derivative(self) -> None:
        """The slope of the program along a random direction, beside that of the code by autograd.

        At a kink the two may differ without a fault; then they agree beside it.
        """
        rng = np.random.default_rng(1)
        wrt = list(self.captured.wrt)
        values = dict(self.captured.values)
        directions = {name: rng.normal(size=np.shape(values[name])) for name in wrt}
        if self._differs(values, directions) is None:
            return
        for name in wrt:
            values[name] = values[name] + 1e-3 * rng.uniform(0.5, 1, np.shape(values[name]))
        if self._differs(values, directions) is None:
            return
        one = next((n for n in wrt if self._differs(values, {n: directions[n]}) is not None), wrt[0])
        raise DomainProblem(
            f"the code gives {self.captured.original(one)} a derivative that is not the one of its forward",
            hint="an autograd.Function or a hook with a derivative of its own: pullback.check judges it",
        )

    def _differs(self, values: Mapping[str, Array], directions: Mapping[str, Array]) -> float | None:
        """The two slopes apart; None where they agree, or where one of them is no number."""
        import torch

        given = {**values, **self.captured.data_for(values)}
        program = self.captured.read()
        sides = []
        for step in (STEP, -STEP):
            moved = {**given, **{n: given[n] + step * d for n, d in directions.items()}}
            sides.append(output_of(program, moved, self.captured.sizes))
        upstream = np.random.default_rng(2).normal(size=sides[0].shape)
        slope = float(np.sum(upstream * (sides[0] - sides[1])) / (2 * STEP))
        leaves = {n: torch.from_numpy(np.array(given[n])).requires_grad_() for n in directions}
        with torch.enable_grad():
            found = self._called({**given, **leaves})
            if not found.requires_grad:
                return None if abs(slope) <= TOLERANCE else slope
            total = (found * torch.from_numpy(upstream)).sum()
            try:
                gradients = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
            except (
                RuntimeError
            ):  # PyTorch has no derivative for the code, so that there is none to hold against
                return None
        pairs = zip(directions.values(), gradients, strict=True)
        true = sum(float(np.sum(d * g.numpy(force=True))) for d, g in pairs if g is not None)
        apart = abs(true - slope)
        scale = max(1.0, abs(slope), float(np.sum(np.abs(upstream * sides[0]))))
        return apart if apart > TOLERANCE * scale else None


def _rebuilt(example: Any, leaves: Sequence[Any]) -> list[Any]:
    from torch.utils._pytree import tree_flatten, tree_unflatten

    return list(tree_unflatten(list(leaves), tree_flatten(example)[1]))
