"""The data flow on one page: a program in, its backward pass and every step on the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pullback.errors import DomainProblem, NameProblem, nearest
from pullback.expression import (
    ONE,
    ZERO,
    Access,
    Definition,
    Equation,
    Expr,
    Index,
    Tensor,
    add,
    mul,
)
from pullback.functions import FUNCTIONS
from pullback.matrix import matrix_line, shape_line
from pullback.naming import Names
from pullback.operators import OPERATORS
from pullback.program import Program, upstream_of
from pullback.rewriting import MatrixLine, Section, Step
from pullback.rulebooks.algebra import (
    OperatorReader,
    functions_in,
    known_operators,
    operators_in,
)
from pullback.rulebooks.chainrule import Contribution, contribution, share, simplest
from pullback.rulebooks.differentiation import names_in, operands, target_indices


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
    wanted = chosen(program, wrt)
    names = Names(program)
    needed = reached(program, wanted)
    consumers = _consumers(program, needed)
    named = {*program.by_name, *program.sizes}
    targets = {tensor: _target(tensor, uses, named) for tensor, uses in consumers.items()}
    upstream = upstream_of(program.output) if program.output.rank else None
    gradients = {tensor: Tensor(f"d{tensor.name}", tensor.shape) for tensor in consumers}
    if upstream is not None:
        gradients[program.output] = upstream
    received: dict[Tensor, list[Contribution]] = {tensor: [] for tensor in consumers}
    backward: list[Definition] = []
    known = known_operators(program.definitions)
    sections: list[Section] = []
    jacobians: list[Jacobian] = []
    lines = _forward_lines(program)
    for definition in reversed(program.definitions):
        tensor = definition.tensor
        if tensor not in needed:
            continue
        if tensor is not program.output:
            backward.append(_settle(gradients[tensor], targets[tensor], received[tensor]))
        for operand in operands(definition):
            if operand not in needed and operand not in wanted:
                continue
            at = Access(gradients[tensor], definition.indices) if tensor in gradients else None
            read = OperatorReader(known, names.new)
            part = contribution(definition, operand, targets[operand], at, gradients[operand], read)
            backward += read.made
            received[operand].append(part)
    for tensor in wanted:
        backward.append(_settle(gradients[tensor], targets[tensor], received[tensor]))
    for made in backward:
        line = matrix_line(made)
        if line is not None:
            lines[made.tensor.name] = line
    finished = {made.tensor.name: made for made in backward}
    for part in (p for parts in received.values() for p in parts):
        sections.append(_section(part, finished, received[part.operand], lines))
        jacobians.append(_jacobian(part))
    order = {id(d): k for k, d in enumerate(reversed(program.definitions))}

    def place(pair: tuple[Section, Jacobian]) -> tuple[int, int]:
        section = pair[0]
        return order[id(section.definition)], operands(section.definition).index(section.operand)

    ranked = sorted(zip(sections, jacobians, strict=True), key=place)
    return Derived(
        program,
        upstream,
        wanted,
        tuple(section for section, _ in ranked),
        tuple(jacobian for _, jacobian in ranked),
        tuple(backward),
        lines,
        _conventions(program),
    )


def chosen(program: Program, wrt: Sequence[str] | None) -> tuple[Tensor, ...]:
    """The inputs to differentiate by."""
    by_name = {tensor.name: tensor for tensor in program.inputs}
    if wrt is None:
        return tuple(tensor for tensor in program.inputs if not tensor.is_integer)
    result = []
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
    avoid = named | {name for definition in uses for name in names_in(definition.body)}
    avoid |= {index.name for definition in uses for index in definition.indices}
    return target_indices(tensor, avoid)


def _settle(gradient: Tensor, target: tuple[Index, ...], parts: list[Contribution]) -> Definition:
    """The gradient of one tensor: its shares added up. A tensor that nothing reads has none."""
    return Definition(gradient, target, simplest(add(*(part.value for part in parts))) if parts else ZERO)


def _forward_lines(program: Program) -> dict[str, MatrixLine]:
    lines = {}
    for definition in program.definitions:
        line = matrix_line(definition)
        if line is not None:
            lines[definition.tensor.name] = line
    return lines


def _section(
    part: Contribution,
    finished: Mapping[str, Definition],
    parts: list[Contribution],
    lines: Mapping[str, MatrixLine],
) -> Section:
    """The recorded steps, followed by the sum over the paths, the matrix form and the shape line."""
    steps = list(part.steps)
    gradient = Tensor(f"d{part.operand.name}", part.operand.shape)
    made = finished[gradient.name]
    left = Access(gradient, part.target)
    if part is parts[-1]:
        if len(parts) > 1:
            summed = add(*(p.value for p in parts))
            through = " and ".join(p.definition.tensor.name for p in parts)
            note = f"{part.operand.name} reaches the loss through {through}: the shares add up"
            steps.append(Step("sum over paths", Equation(left, part.value), Equation(left, summed), note))
            if made.body is not summed:
                steps.append(Step("simplify", Equation(left, summed), Equation(left, made.body)))
        elif made.body is not part.value:
            steps.append(Step("simplify", Equation(left, part.value), Equation(left, made.body)))
        line = lines.get(gradient.name)
        if line is not None:
            steps.append(Step("matrix form", Equation(left, made.body), line))
            shapes = shape_line(line, made)
            steps.append(Step("shape", line, shapes))
    return Section(part.definition, part.operand, tuple(steps))


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
    return tuple(found)


def with_sections(derived: Derived, sections: Sequence[Section]) -> Derived:
    """The same derivation with checked sections."""
    return replace(derived, sections=tuple(sections))
