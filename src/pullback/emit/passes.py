"""A forward and a backward pass that fit together: what is computed, what is saved between them, what is read again.

Saved are the inputs that the backward pass reads, the output where it reads that, and what the forward pass
worked hard for: products, sums, exponentials. What is cheap is computed again from what is saved.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pullback.derivation import Derived, derive_program
from pullback.emit.repeated import shared
from pullback.emit.running_forms import for_running
from pullback.errors import DomainProblem
from pullback.expression import (
    ZERO,
    Access,
    Call,
    Definition,
    Element,
    Index,
    Sum,
    Tensor,
    add,
    mul,
    tensors,
    total,
    walk,
)
from pullback.formula import Spelling, Statement, inline, solved_with, statements
from pullback.naming import Names
from pullback.program import Program
from pullback.sharing import needed

CHEAP: Final = {"abs", "sign", "relu", "maximum", "minimum", "where", "floordiv", "mod"}


@dataclass(frozen=True, slots=True)
class Through:
    """The gradients that come in through saved intermediates, which only a second differentiation asks for."""

    derived: Derived
    upstream: Mapping[str, Tensor]  # saved intermediate -> the gradient that comes in through it
    lines: tuple[Statement, ...]
    results: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Passes:
    """Both passes of a derivation. `kept` are the saved intermediates, neither inputs nor the output."""

    derived: Derived  # in the form that runs
    forward: tuple[Statement, ...]
    saved: tuple[Tensor, ...]  # inputs first, then the output, then `kept`
    kept: tuple[Tensor, ...]
    backward: tuple[Statement, ...]
    results: Mapping[str, Tensor]  # input -> its gradient
    through: Through | None

    @property
    def output(self) -> Tensor:
        return self.derived.program.output


def passes(derived: Derived, *, keep: bool = True) -> Passes:
    """The forward and the backward pass; without `keep` the backward computes every intermediate again.

    Raises `DomainProblem` for a program without a real input.
    """
    if not derived.wrt:
        what = "the program has no real input, so there is no backward pass to write"
        raise DomainProblem(what, hint="gradients are taken by real inputs, not by integers")
    running, _ = for_running(derived)
    forward = {d.tensor.name: d for d in running.program.definitions}
    results = {tensor.name: Tensor(f"d{tensor.name}", tensor.shape) for tensor in derived.wrt}
    targets = [tensor.name for tensor in results.values()]
    gradients = needed({d.tensor.name: d for d in running.backward}, targets)
    store = Store(running.program, _reads(gradients), derived.program.by_name if keep else ())
    lines = _lines(running, [*store.again(_reads(gradients)), *gradients], targets)
    kept = [d.tensor for d in running.program.definitions if d.tensor.name in store.kept]
    through = _through(derived, kept, store)
    computed = needed(forward, [running.program.output.name, *store.kept])
    first = _lines(running, computed, [running.program.output.name, *store.kept])
    saved = [t for t in (*running.program.inputs, running.program.output) if t.name in store.saved]
    return Passes(running, first, (*saved, *kept), tuple(kept), lines, results, through)


class Store:
    """What is saved, for a backward pass that reads these names.

    Only names in `lasting` are saved: what a stable form introduced has no derivative of its own.
    """

    def __init__(self, program: Program, reads: Collection[str], lasting: Collection[str]) -> None:
        self.forward = {d.tensor.name: d for d in program.definitions}
        self.output = program.output.name
        self.lasting = lasting
        self.kept = {n for n in reads if n in self.forward and n in lasting and not _cheap(self.forward[n])}
        for name in self.forward:
            if name in reads and name not in self.kept and not self._follows(name):
                self.kept.add(name)
        self.kept.discard(self.output)
        self.saved = set(self.kept)
        self.save({*reads, *_reads(self.again(reads))})

    def save(self, reads: Collection[str]) -> None:
        """Save the inputs and the output among these names too."""
        self.saved |= {name for name in reads if name not in self.forward or name == self.output}

    def _follows(self, name: str) -> bool:
        """Whether the value is cheap to compute from inputs and what is saved."""
        if name not in self.forward or name in self.kept or name == self.output:
            return True
        definition = self.forward[name]
        if name not in self.lasting:
            return True
        return _cheap(definition) and all(self._follows(tensor.name) for tensor in tensors(definition.body))

    def again(self, reads: Collection[str]) -> list[Definition]:
        """The definitions that have to be computed again where these names are read, in order."""
        wanted = {name for name in reads if name in self.forward and self._open(name)}
        stack = list(wanted)
        while stack:
            for tensor in tensors(self.forward[stack.pop()].body):
                if tensor.name in self.forward and self._open(tensor.name) and tensor.name not in wanted:
                    wanted.add(tensor.name)
                    stack.append(tensor.name)
        return [definition for name, definition in self.forward.items() if name in wanted]

    def _open(self, name: str) -> bool:
        return name not in self.kept and name != self.output


def _cheap(definition: Definition) -> bool:
    """Whether one pass over memory computes it: no sum, no tensor operator, no transcendental function."""
    return not any(
        isinstance(node, Sum | Element) or (isinstance(node, Call) and node.function not in CHEAP)
        for node in walk(definition.body)
    )


def _reads(definitions: Sequence[Definition]) -> set[str]:
    """The names that the definitions read and do not define."""
    own = {definition.tensor.name for definition in definitions}
    return {tensor.name for definition in definitions for tensor in tensors(definition.body)} - own


def _lines(
    derived: Derived, definitions: Sequence[Definition], kept: Collection[str]
) -> tuple[Statement, ...]:
    spelling = Spelling(derived)
    made: list[Statement] = []
    for definition in definitions:
        made += statements(definition, derived.lines.get(definition.tensor.name), spelling)
    own = {d.tensor.name for d in derived.program.definitions if d.source}
    taken = {*derived.program.by_name, *derived.program.sizes, *(d.tensor.name for d in derived.backward)}
    return shared(inline(made, {*kept, *own}, derived.program.by_name, solved_with(derived)), taken)


# ---- gradients that come in through what was saved -------------------------------------------------


def _through(published: Derived, kept: Sequence[Tensor], store: Store) -> Through | None:
    """The backward pass of the saved intermediates. What it reads is saved as well, or computed again."""
    reaching = _reaching(published)
    kept = [tensor for tensor in kept if reaching[tensor.name]]
    if not kept:
        return None
    names = Names(published.program)
    upstream = {tensor.name: Tensor(names.new(f"grad_{tensor.name}"), tensor.shape) for tensor in kept}
    program = _paired(published.program, upstream, names)
    wanted = [t.name for t in published.wrt if any(t.name in reaching[tensor.name] for tensor in kept)]
    derived, _ = for_running(derive_program(program, wanted))
    made = {d.tensor.name: d for d in derived.backward}
    results = {
        n: Tensor(f"d{n}", published.program.by_name[n].shape) for n in wanted if made[f"d{n}"].body != ZERO
    }
    if not results:
        return None
    targets = [tensor.name for tensor in results.values()]
    gradients = needed(made, targets)
    # The stable form of this program may hold lines of its own.
    inside = Store(derived.program, (), ())
    inside.kept = set(store.kept)
    inside.output = store.output if store.output in store.saved else inside.output
    again = inside.again(_reads(gradients))
    lines = _lines(derived, [*again, *gradients], targets)
    given = {tensor.name for tensor in upstream.values()}
    store.save(_reads([*again, *gradients]) - given)
    return Through(derived, upstream, lines, results)


def _reaching(derived: Derived) -> dict[str, set[str]]:
    """For each tensor the inputs to differentiate by that it depends on."""
    found: dict[str, set[str]] = {
        t.name: {t.name} if t in derived.wrt else set() for t in derived.program.inputs
    }
    for d in derived.program.definitions:
        found[d.tensor.name] = {name for tensor in tensors(d.body) for name in found[tensor.name]}
    return found


def _paired(program: Program, upstream: Mapping[str, Tensor], names: Names) -> Program:
    """The program that ends in Σ gradient × saved, whose gradients are those that come in through the saved."""
    terms = []
    for definition in program.definitions:
        gradient = upstream.get(definition.tensor.name)
        if gradient is not None:
            indices: tuple[Index, ...] = definition.indices
            terms.append(total(indices, mul(Access(gradient, indices), Access(definition.tensor, indices))))
    paired = Definition(Tensor(names.new("L"), ()), (), add(*terms))
    inputs = (*program.inputs, *upstream.values())
    before = needed({d.tensor.name: d for d in program.definitions}, list(upstream))
    return Program(inputs, (*before, paired), "", (), program.ranges)
