"""Pushing tangents through definitions: the chain rule forward, one element at a time, recorded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pullback.expression import (
    MINUS_ONE,
    ZERO,
    Access,
    Bracket,
    Definition,
    Element,
    Equation,
    Expr,
    Index,
    Mul,
    Partial,
    Sum,
    Tensor,
    add,
    mul,
    substitute,
    total,
    walk,
)
from pullback.naming import Names
from pullback.notation import left_side
from pullback.rewriting import Section
from pullback.rulebooks.algebra import OperatorReader, known_operators
from pullback.rulebooks.brackets import ONCE, unshadowed
from pullback.rulebooks.chainrule import ALGEBRA, COLLAPSING, SHIFTING, Recorder, contribution, simplest
from pullback.rulebooks.differentiation import names_in, operands, target_indices

SMALL: Final = 60  # nodes of an entry of an intermediate Jacobian that is read in place, not by name
STRUCTURE: Final = 40  # the same for one that holds a sum beside its brackets


@dataclass
class ForwardPass:
    """Tangents of every definition that depends on a seed, in the order of the definitions.

    `seeds` gives for each seed the tensor that holds its tangent, None for the Jacobian's own variable,
    whose entry `suffix` is the one that changes. `kept` are tensors whose tangents keep names.
    """

    definitions: Sequence[Definition]
    seeds: Mapping[Tensor, Tensor | None]
    suffix: tuple[Index, ...]
    names: Names
    spelt: Callable[[Tensor], str]
    kept: Collection[Tensor] = ()
    avoid: set[str] = field(default_factory=set)
    raw: list[Definition] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    tangents: dict[Tensor, Tensor] = field(default_factory=dict)
    inlined: dict[Tensor, Definition] = field(default_factory=dict)

    def run(self) -> None:
        self._known = known_operators(self.definitions)
        for definition in self.definitions:
            if any(self._moves(tensor) for tensor in operands(definition)):
                self._through(definition)

    def tangent_of(self, tensor: Tensor, indices: tuple[Index, ...]) -> Definition:
        """The raw definition of a tensor's tangent; zero where it does not depend on a seed."""
        if tensor in self.tangents:
            name = self.tangents[tensor].name
            return next(d for d in self.raw if d.tensor.name == name)
        made = Definition(self._named(tensor), (*indices, *self.suffix), ZERO)
        self.raw.append(made)
        return made

    def _moves(self, tensor: Tensor) -> bool:
        return tensor in self.seeds or tensor in self.tangents or tensor in self.inlined

    def _named(self, tensor: Tensor) -> Tensor:
        shape = (*tensor.shape, *(index.extent for index in self.suffix))
        self.tangents[tensor] = Tensor(self.names.new(self.spelt(tensor)), shape)
        return self.tangents[tensor]

    def _at(self, tensor: Tensor, slots: tuple[Expr, ...]) -> Expr:
        """The tangent of one entry."""
        if tensor in self.inlined:
            made = self.inlined[tensor]
            return substitute(made.body, dict(zip(made.indices[: len(slots)], slots, strict=True)))
        if tensor in self.tangents:
            return Access(self.tangents[tensor], (*slots, *self.suffix))
        direction = self.seeds[tensor]
        assert direction is not None
        return Access(direction, slots)

    def _through(self, definition: Definition) -> None:
        record = Recorder()
        indices = (*definition.indices, *self.suffix)
        tensor = self._named(definition.tensor)
        left = Access(tensor, indices)
        chain: list[Expr] = []
        values: list[Expr] = []
        moving = [operand for operand in operands(definition) if self._moves(operand)]
        for operand in moving:
            target, around = self._target(definition, operand)
            read = OperatorReader(self._known, self.names.new)
            part = contribution(definition, operand, target, None, tensor, read)
            self.raw += read.made
            record.steps += [step for step in part.steps if step.rule != "substitute"]
            partial = Partial(left_side(definition), Access(operand, target))
            chain.append(total(*around(partial)))
            values.append(total(*around(part.local)))
            if operand is not moving[-1]:
                self.sections.append(Section(definition, operand, tuple(record.steps)))
                record = Recorder()
        value = self._collected(record, left, add(*chain), add(*values))
        self.sections.append(Section(definition, moving[-1], tuple(record.steps)))
        made = Definition(tensor, indices, value)
        if self._reads_in_place(definition.tensor, value):
            self.inlined[definition.tensor] = made
        self.raw.append(made)

    def _target(
        self, definition: Definition, operand: Tensor
    ) -> tuple[tuple[Index, ...], Callable[[Expr], tuple[tuple[Index, ...], Expr]]]:
        """The entry of an operand that is differentiated by, and the sum over all with their tangents."""
        if self.seeds.get(operand, operand) is None:
            return self.suffix, lambda e: ((), e)
        avoid = self.avoid | names_in(definition.body) | {i.name for i in (*definition.indices, *self.suffix)}
        target = target_indices(operand, avoid.__contains__)
        return target, lambda e: (target, mul(e, self._at(operand, target)))

    def _collected(self, record: Recorder, left: Access, chain: Expr, value: Expr) -> Expr:
        """From the chain rule to the collapsed form, every line recorded."""
        note = "the tangent of each thing that is read, times how much it counts"
        record.line("chain rule", Equation(left, chain), Equation(left, chain), note)
        indices = [slot for slot in left.slots if isinstance(slot, Index)]
        value = unshadowed(value, indices)
        record.line("substitute", Equation(left, chain), Equation(left, value))
        for rules in (COLLAPSING, SHIFTING):
            value = record.rewrite(left, value, rules)
        value = record.rewrite(left, value, (ONCE,))
        value = record.rewrite(left, value, ALGEBRA)
        simple = unshadowed(simplest(value), indices)
        record.line("simplify", Equation(left, value), Equation(left, simple))
        return simple

    def _reads_in_place(self, tensor: Tensor, value: Expr) -> bool:
        """Whether an intermediate Jacobian is so light, or so sparse, that its readers write it out."""
        if tensor in self.kept:
            return False
        if _is_another(value):
            return True
        if not self.suffix:
            return False
        nodes = list(walk(value))
        if any(isinstance(node, Element) for node in nodes):
            return False
        if not any(isinstance(node, Sum) for node in nodes):
            return len(nodes) <= SMALL
        return len(nodes) <= STRUCTURE and any(isinstance(node, Bracket) for node in nodes)


def _is_another(value: Expr) -> bool:
    """Whether a tangent is only another one, or its negative."""
    match value:
        case Mul((number, Access())):
            return number is MINUS_ONE
    return isinstance(value, Access)
