"""What the code computes without a gradient, as data: the exported graph, run on numbers, gives it again at each call.

A position that sorting found, a tensor behind `detach`, the labels that a mask leaves: the program has them as inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pullback.capture.captured import Array

Pick = Callable[[Any, tuple[Any, ...]], Any]  # the result of an operation and its arguments -> the data


@dataclass
class Numbers:
    """An exported graph on the numbers of its example, and, for what was picked, on others."""

    exported: Any
    leaves: Sequence[Any]  # of the arguments, in the order of the graph
    constants: Mapping[str, Any]  # parameters and what the code holds, by the names of the placeholders
    picks: dict[str, tuple[str, Pick]] = field(
        default_factory=dict
    )  # name of the data -> operation, what of it
    _found: dict[str, tuple[Any, tuple[Any, ...]]] | None = None

    def at(self, node: Any) -> tuple[Any, tuple[Any, ...]]:
        """The result and the arguments of an operation on the example."""
        if self._found is None:
            self._found = self._run(self.leaves, self.constants, None)
        return self._found[node.name]

    def pick(self, name: str, node: Any, pick: Pick) -> Any:
        """Remember data under a name; its value on the example."""
        self.picks[name] = (node.name, pick)
        return pick(*self.at(node))

    def data(self, leaves: Sequence[Any], constants: Mapping[str, Any]) -> dict[str, Array]:
        """Everything that was picked, for other arguments and parameters."""
        found = self._run(leaves, constants, {node for node, _ in self.picks.values()})
        return {name: np.asarray(pick(*found[node])) for name, (node, pick) in self.picks.items()}

    def _run(
        self, leaves: Sequence[Any], constants: Mapping[str, Any], wanted: set[str] | None
    ) -> dict[str, tuple[Any, tuple[Any, ...]]]:
        import torch

        found: dict[str, tuple[Any, tuple[Any, ...]]] = {}

        class Watched(torch.fx.Interpreter):
            """Keeps what operations take and give, as it was at that moment."""

            def run_node(self, n: Any) -> Any:
                kept = wanted is None or n.name in wanted
                args = _copied(self.fetch_args_kwargs_from_env(n)[0]) if kept else ()
                result = super().run_node(n)
                if kept:
                    found[n.name] = (_copied(result), args)
                return result

        given = iter(leaves)
        specs = self.exported.graph_signature.input_specs
        placed = [
            next(given) if spec.kind.name == "USER_INPUT" else constants[spec.arg.name] for spec in specs
        ]
        with torch.no_grad():
            Watched(self.exported.graph_module).run(*_copied(placed))
        return found


def _copied(x: Any) -> Any:
    import torch
    from torch.utils._pytree import tree_map

    return tree_map(lambda part: part.detach().clone() if isinstance(part, torch.Tensor) else part, x)
