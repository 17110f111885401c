"""A program: inputs and definitions, each an equation for one element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as changed

from pullback.expression import Access, Definition, Expr, Tensor, replace, sizes_in, substitute


@dataclass(frozen=True, slots=True)
class Program:
    """What a forward computation says, in the order in which it is computed.

    `inputs` are in the order of declaration or first use, integer tensors included. `definitions`
    include those that the reader introduced for subexpressions; these have an empty `source`.
    The output is the tensor of the last definition.
    """

    inputs: tuple[Tensor, ...]
    definitions: tuple[Definition, ...]
    source: str = ""
    inferred: tuple[Tensor, ...] = ()  # inputs whose shape nobody declared
    ranges: Mapping[str, Expr] = field(default_factory=dict)  # declared ranges of indices

    @property
    def output(self) -> Tensor:
        return self.definitions[-1].tensor

    @property
    def by_name(self) -> dict[str, Tensor]:
        """Every input and defined tensor."""
        every = [*self.inputs, *(definition.tensor for definition in self.definitions)]
        return {tensor.name: tensor for tensor in every}

    @property
    def sizes(self) -> tuple[str, ...]:
        """The names of the symbolic sizes, in the order in which the inputs show them."""
        found: dict[str, None] = {}
        for tensor in self.inputs:
            for extent in (*tensor.shape, *((tensor.values,) if tensor.values is not None else ())):
                found.update(dict.fromkeys(sorted(sizes_in(extent))))
        for definition in self.definitions:
            for e in (*definition.tensor.shape, definition.body):
                found.update(dict.fromkeys(sorted(sizes_in(e))))
        return tuple(found)


def upstream_of(output: Tensor) -> Tensor:
    """The given gradient of the loss with respect to the output: `dY`, with the shape of `Y`."""
    return Tensor(f"d{output.name}", output.shape)


def inlined(lines: Sequence[Definition]) -> Definition:
    """The last definition with the earlier ones substituted into it."""
    earlier = {definition.tensor: definition for definition in lines[:-1]}

    def change(node: Expr) -> Expr | None:
        if isinstance(node, Access) and node.tensor in earlier:
            made = earlier[node.tensor]
            return replace(substitute(made.body, dict(zip(made.indices, node.slots, strict=True))), change)
        return None

    last = lines[-1]
    return changed(last, body=replace(last.body, change))
