"""The data flow on one page: a program in, its backward pass and every step on the way out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pullback.errors import DomainProblem, NameProblem, nearest
from pullback.expression import (
    ONE,
    ZERO,
    Access,
    Definition,
    Element,
    Equation,
    Expr,
    Index,
    Sum,
    Tensor,
    add,
    mul,
    tensors,
    walk,
)
from pullback.functions import FUNCTIONS
from pullback.matrix import matrix_line, shape_line
from pullback.naming import Names
from pullback.operators import OPERATORS
from pullback.program import Program, upstream_of
from pullback.publishing import Publisher
from pullback.rewriting import MatrixLine, Section, Step
from pullback.rulebooks.algebra import OperatorReader, functions_in, known_operators, operators_in
from pullback.rulebooks.chainrule import Contribution, contribution, share, simplest
from pullback.rulebooks.differentiation import names_in, operands, target_indices
from pullback.rulebooks.inverses import inverse_laws
from pullback.rulebooks.symmetry import mirrors, with_fact, with_symmetry
from pullback.sharing import needed, shared
from pullback.stabilising import norms, stabilise


@dataclass(frozen=True, slots=True)
class Jacobian:
    """What the explicit Jacobian of one definition by one operand would have been."""

    output: Tensor
    operand: Tensor
    shape: tuple[Expr, ...]  # the output's sizes, then the operand's
    entries: Expr
    share: Expr | None  # of the entries that are not zero; None where that depends on values


@dataclass(frozen=True, slots=True)
class Derived:
    """A finished derivation. Everything above this floor only reads it."""

    program: Program
    upstream: Tensor | None  # the given gradient of the output; None for a scalar output, a loss
    wrt: tuple[Tensor, ...]
    sections: tuple[Section, ...]  # in the order of the backward pass
    jacobians: tuple[Jacobian, ...]  # one a section
    backward: tuple[Definition, ...]  # named gradients and other lines, in the order of computation
    lines: Mapping[str, MatrixLine]  # the matrix form of forward and backward definitions, where there is one
    conventions: tuple[str, ...] = ()  # the kinks that take part, and what is assumed there
    raw: tuple[Definition, ...] = ()  # the gradients as reverse mode gives them, before they are published
    rewrites: tuple[Step, ...] = ()  # the forward definitions that were brought into a stable form beforehand
    title: str = "Backward pass"  # what is derived; another derivative's sections push tangents forward


@dataclass(frozen=True, slots=True)
class Report:
    """What the checks found. `central` is the largest relative difference from central differences."""

    exact: int
    numerical: int
    unknown: int
    error_bound: float  # the probability that an "exact" is wrong
    central: float | None
    trials: tuple[Mapping[str, int], ...] = ()  # the sizes that were tried


def derive_program(program: Program, wrt: Sequence[str] | None = None) -> Derived:
    """Differentiate the program's output with respect to the inputs named in `wrt` (default: every real one).

    Raises `NameProblem` for a name that is no input, `DomainProblem` for an integer input.
    """
    program, rewrites = stabilise(with_symmetry(program))
    wanted = chosen(program, wrt)
    passed = BackwardPass(program, wanted)
    publisher = Publisher(
        program, passed.upstream, passed.raw, [f"d{tensor.name}" for tensor in wanted], passed.laws
    )
    backward = _published(publisher, passed.raw, [f"d{tensor.name}" for tensor in wanted])
    backward, values = shared(backward, passed.names, publisher.steps)
    raw = [*passed.raw, *values]
    kept = {made.tensor.name for made in backward}
    # A gradient that was written into its readers is still derived in its own section, as it came out there.
    finished = {made.tensor.name: made for made in raw} | {made.tensor.name: made for made in backward}
    lines = _lines([*program.definitions, *finished.values()])
    steps = {name: tuple(found) for name, found in publisher.steps.items() if name in kept}
    sections = [_section(part, finished, passed, steps, lines) for part in passed.parts]
    return Derived(
        program,
        passed.upstream,
        wanted,
        tuple(sections),
        tuple(_jacobian(part) for part in passed.parts),
        tuple(backward),
        lines,
        _conventions(program),
        tuple(raw),
        rewrites,
    )


def _published(publisher: Publisher, raw: Sequence[Definition], targets: Sequence[str]) -> list[Definition]:
    """What the targets need, each in its best form.

    Where a line was left for several readers and has a single one in the end, that reader is considered again, if it
    sums nothing: with sums it costs as much as the first time, and comes out the same.
    """
    made = {definition.tensor.name: publisher.publish(definition) for definition in raw}
    lines = needed(made, targets)
    if publisher.systems.adjoints:
        return lines  # a solution that later lines read is known by now to every line
    ends = frozenset(targets)
    readers = Counter(name for line in lines for name in {tensor.name for tensor in tensors(line.body)})
    for line in lines:
        name = line.tensor.name
        if any(isinstance(node, Sum | Element) for node in walk(line.body)):
            continue
        read = {tensor.name for tensor in tensors(line.body)} - ends
        if any(readers[other] == 1 < len(publisher.readers.get(other, ())) for other in read):
            made[name] = publisher.publish(publisher.raw[name])
    return needed(made, targets)


class BackwardPass:
    """Reverse mode over the program's definitions: the gradients as they come out, and every contribution."""

    def __init__(self, program: Program, wanted: Sequence[Tensor]) -> None:
        self.program = program
        self.reached = reached(program, wanted)
        consumers = _consumers(program, self.reached)
        named = {*program.by_name, *program.sizes}
        self.targets = {tensor: _target(tensor, uses, named) for tensor, uses in consumers.items()}
        self.gradients = {tensor: Tensor(f"d{tensor.name}", tensor.shape) for tensor in consumers}
        self.upstream = upstream_of(program.output) if program.output.rank else None
        if self.upstream is not None:
            self.gradients[program.output] = self.upstream
        self.received: dict[Tensor, list[Contribution]] = {tensor: [] for tensor in consumers}
        self.parts: list[Contribution] = []
        self.raw: list[Definition] = []
        self._known = known_operators(program.definitions)
        self.names = Names(program)
        for definition in reversed(program.definitions):
            if definition.tensor in self.reached:
                self._through(definition)
        self.raw += [self._settled(tensor) for tensor in wanted]
        read = self._reader()
        self.laws = inverse_laws([*program.definitions, *self.raw], read)
        self.raw = [*read.made, *self.raw]

    def _through(self, definition: Definition) -> None:
        """Hand the gradient of what is defined on to what it is defined by."""
        tensor = definition.tensor
        if tensor is not self.program.output:
            made = self._settled(tensor)
            if mirrors(made.indices, made.body):
                self.gradients[tensor] = with_fact(made.tensor, "symmetric")
                made = Definition(self.gradients[tensor], made.indices, made.body)
            self.raw.append(made)
        at = Access(self.gradients[tensor], definition.indices) if tensor in self.gradients else None
        for operand in operands(definition):
            if operand not in self.reached:
                continue
            read = self._reader()
            part = contribution(definition, operand, self.targets[operand], at, self.gradients[operand], read)
            self.raw += read.made
            self.received[operand].append(part)
            self.parts.append(part)

    def _reader(self) -> OperatorReader:
        return OperatorReader(self._known, self.names.new, lambda e, at: mirrors(at, e))

    def _settled(self, tensor: Tensor) -> Definition:
        """The gradient of one tensor: its shares added up. A tensor that nothing reads has none."""
        shares = [part.value for part in self.received[tensor]]
        value = simplest(add(*shares)) if shares else ZERO
        return Definition(self.gradients[tensor], self.targets[tensor], value)


def chosen(program: Program, wrt: Sequence[str] | None) -> tuple[Tensor, ...]:
    """The inputs to differentiate by."""
    by_name = {tensor.name: tensor for tensor in program.inputs}
    if wrt is None:
        return tuple(tensor for tensor in program.inputs if not tensor.is_integer)
    result = []
    if not wrt:
        raise DomainProblem(
            "nothing to differentiate by", hint="name an input, or leave wrt out for every real one"
        )
    for name in wrt:
        if name not in by_name:
            close = nearest(name, by_name)
            hint = f"the inputs are {', '.join(by_name)}" + (f"; did you mean {close}?" if close else "")
            raise NameProblem(f"{name} is not an input of the program", hint=hint)
        if by_name[name].is_integer:
            raise DomainProblem(
                f"{name} holds integers, and nothing has a gradient with respect to integers",
                hint="differentiate by a real input: " + ", ".join(t.name for t in chosen(program, None)),
            )
        result.append(by_name[name])
    return tuple(dict.fromkeys(result))


def reached(program: Program, wanted: Sequence[Tensor]) -> set[Tensor]:
    """The wanted inputs and every defined tensor that depends on one and that the output depends on."""
    forward: set[Tensor] = set(wanted)
    for definition in program.definitions:
        if any(operand in forward for operand in operands(definition)):
            forward.add(definition.tensor)
    backward = {program.output}
    for definition in reversed(program.definitions):
        if definition.tensor in backward:
            backward.update(operands(definition))
    return {tensor for tensor in forward if tensor in backward} | set(wanted)


def _consumers(program: Program, needed: set[Tensor]) -> dict[Tensor, list[Definition]]:
    """For each needed tensor the definitions that read it."""
    result: dict[Tensor, list[Definition]] = {tensor: [] for tensor in needed if tensor is not program.output}
    for definition in program.definitions:
        if definition.tensor in needed:
            for operand in operands(definition):
                if operand in result:
                    result[operand].append(definition)
    return result


def _target(tensor: Tensor, uses: list[Definition], named: set[str]) -> tuple[Index, ...]:
    inside = {name for definition in uses for name in names_in(definition.body)}
    inside |= {index.name for definition in uses for index in definition.indices}
    return target_indices(tensor, lambda name: name in inside or name in named)


def _lines(definitions: Sequence[Definition]) -> dict[str, MatrixLine]:
    found = {definition.tensor.name: matrix_line(definition) for definition in definitions}
    return {name: line for name, line in found.items() if line is not None}


def _section(
    part: Contribution,
    finished: Mapping[str, Definition],
    passed: BackwardPass,
    published: Mapping[str, Sequence[Step]],
    lines: Mapping[str, MatrixLine],
) -> Section:
    """The recorded steps; after an operand's last share also the sum over paths and the published form."""
    steps = list(part.steps)
    parts = passed.received[part.operand]
    if part is parts[-1]:
        gradient = passed.gradients[part.operand]
        left = Access(gradient, part.target)
        steps += _summed(left, parts)
        steps += published.get(gradient.name, ())
        made = finished[gradient.name]
        line = lines.get(gradient.name)
        if line is not None:
            steps.append(Step("matrix form", Equation(left, made.body), line))
            steps.append(Step("shape", line, shape_line(line, made)))
    return Section(part.definition, part.operand, tuple(steps))


def _summed(left: Access, parts: Sequence[Contribution]) -> list[Step]:
    """The shares of several definitions added up, and like terms gathered."""
    summed = add(*(part.value for part in parts))
    value = simplest(summed)
    steps = []
    if len(parts) > 1:
        through = " and ".join(part.definition.tensor.name for part in parts)
        note = f"{parts[0].operand.name} reaches the loss through {through}: the shares add up"
        steps.append(Step("sum over paths", Equation(left, parts[-1].value), Equation(left, summed), note))
    if value is not summed:
        steps.append(Step("simplify", Equation(left, summed), Equation(left, value)))
    return steps


def _jacobian(part: Contribution) -> Jacobian:
    shape = (*part.definition.tensor.shape, *part.operand.shape)
    return Jacobian(part.definition.tensor, part.operand, shape, mul(ONE, *shape), share(part.local))


def _conventions(program: Program) -> tuple[str, ...]:
    """The kinks of the functions and operators in the program, each with the declared convention."""
    found: dict[str, None] = {}
    for definition in program.definitions:
        for name in functions_in(definition.body):
            if FUNCTIONS[name].kink:
                found[f"{name} in {definition.tensor.name}: {FUNCTIONS[name].kink}"] = None
        for name in operators_in(definition.body):
            if OPERATORS[name].kink:
                found[f"{name} in {definition.tensor.name}: {OPERATORS[name].kink}"] = None
    for name in norms(program.definitions):
        found[f"norm in {name}: x = 0: gradient 0"] = None
    return tuple(found)


def with_sections(derived: Derived, sections: Sequence[Section]) -> Derived:
    """The same derivation with checked sections."""
    return replace(derived, sections=tuple(sections))
