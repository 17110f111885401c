"""Forward mode over a program's definitions, from the same laws: tangents, Jacobians, and through the
gradient's own lines Hessians and Hessian-vector products.

The tangent of `D[o]` is Σ over what `D` reads of ∂D[o]/∂T[t] tT[t]; a Jacobian is the tangent along one
entry `x[j]`, with `j` left open. A Hessian is the Jacobian of the gradient: the forward definitions and
those of the backward pass are one program, whose output is the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from pullback.derivation import Derived, derive_program
from pullback.errors import DomainProblem, NameProblem, ShapeProblem, nearest
from pullback.expression import (
    SYMMETRIC,
    Access,
    Definition,
    Element,
    Equation,
    Expr,
    Index,
    Num,
    Tensor,
    tensors,
    untied,
    walk,
)
from pullback.expression import replace as rewrite
from pullback.forwarded import Forwarded, Kind, Result
from pullback.functions import FUNCTIONS
from pullback.matrix import matrix_line, shape_line
from pullback.naming import Names
from pullback.notation import left_side
from pullback.operators import OPERATORS
from pullback.program import Program
from pullback.publishing import Publisher
from pullback.rewriting import Line, Section, Step, final
from pullback.rulebooks.algebra import functions_in, operators_in
from pullback.rulebooks.brackets import ONCE, unshadowed
from pullback.rulebooks.differentiation import names_in, target_indices
from pullback.rulebooks.symmetry import with_symmetry
from pullback.sharing import needed, shared
from pullback.sizes import same_size, shape_text
from pullback.stabilising import stabilise
from pullback.structure import structured, with_jacobians
from pullback.tangents import ForwardPass

_TITLES: Final = {
    "jacobian": "Jacobian",
    "hessian": "Hessian",
    "jvp": "Tangent",
    "hvp": "Hessian-vector product",
}

# ---- the four derivatives ---------------------------------------------------------------------


def derive_jacobian(program: Program, x: str, y: str | None = None) -> Forwarded:
    """∂y/∂x, the axes of y first; y is the output, or another defined tensor.

    Raises `NameProblem` for a name that is not an input (x) or not defined (y), `DomainProblem` for integers.
    """
    wrt = real_input(program, x)
    program = _prepared(_up_to(program, y))
    output = program.definitions[-1]
    names = Names(program)
    suffix = _suffix(wrt, program.definitions, program)
    passed = ForwardPass(
        program.definitions,
        {wrt: None},
        suffix,
        names,
        _spelling("J", output.tensor),
        {output.tensor},
        _taken(program),
    )
    passed.run()
    made = passed.tangent_of(output.tensor, output.indices)
    result = Result(wrt.name, made.tensor, output.tensor.rank)
    return _finished("jacobian", program, passed, (), [result], {})


def derive_jvp(program: Program, directions: Mapping[str, str]) -> Forwarded:
    """The derivative of the output along a direction: `{x: v}`, where the input v holds that of x."""
    program = _prepared(program)
    seeds = _seeds(program, directions)
    output = program.definitions[-1]
    passed = _along(program, program.definitions, seeds, {output.tensor}, directions)
    made = passed.tangent_of(output.tensor, output.indices)
    return _finished("jvp", program, passed, (), [Result(output.tensor.name, made.tensor)], directions)


def derive_hvp(program: Program, directions: Mapping[str, str]) -> Forwarded:
    """The gradient's derivative along a direction, for every input that has one.

    Raises `DomainProblem` where the output is no scalar.
    """
    _demand_scalar(program, "a Hessian-vector product")
    seeds = _seeds(program, directions)
    freed, gradient = _gradient(program, list(directions), list(directions))
    free_seeds = {freed.by_name[x.name]: v for x, v in seeds.items()}
    lines = (*gradient.program.definitions, *gradient.backward)
    wanted = {f"d{name}": name for name in directions}
    kept = {d.tensor for d in lines if d.tensor.name in wanted}
    passed = _along(gradient.program, lines, free_seeds, kept, directions)
    results = []
    for made in [d for d in lines if d.tensor in kept]:
        tangent = passed.tangent_of(made.tensor, made.indices)
        results.append(Result(wanted[made.tensor.name], tangent.tensor))
    results.sort(key=lambda result: list(directions).index(result.key))
    return _finished("hvp", program, passed, gradient.backward, results, directions)


def derive_hessian(program: Program, x: str, x2: str | None = None) -> Forwarded:
    """∂²L/∂x∂x2 of a scalar output, the axes of x first.

    Raises `DomainProblem` where the output is no scalar.
    """
    _demand_scalar(program, "a Hessian")
    first, second = real_input(program, x), real_input(program, x2 or x)
    freed, gradient = _gradient(program, [first.name], [second.name])
    lines = (*gradient.program.definitions, *gradient.backward)
    made = next(d for d in lines if d.tensor.name == f"d{first.name}")
    names = Names(gradient.program)
    suffix = _suffix(freed.by_name[second.name], lines, program)
    seeds = {freed.by_name[second.name]: None}
    passed = ForwardPass(
        lines, seeds, suffix, names, _spelling("H", made.tensor), {made.tensor}, _taken(program)
    )
    passed.run()
    tangent = passed.tangent_of(made.tensor, made.indices)
    result = Result(f"{first.name},{second.name}", tangent.tensor, first.rank)
    return _finished("hessian", program, passed, gradient.backward, [result], {})


def _spelling(letter: str, result: Tensor) -> Callable[[Tensor], str]:
    """What derivatives are called: the result by its letter, `J_Z` what is made on the way."""
    return lambda t: letter if t is result else f"J_{t.name}"


def real_input(program: Program, name: str) -> Tensor:
    """The input of that name, which must hold real numbers."""
    by_name = {tensor.name: tensor for tensor in program.inputs}
    if name not in by_name:
        close = nearest(name, by_name)
        hint = f"the inputs are {', '.join(by_name)}" + (f"; did you mean {close}?" if close else "")
        raise NameProblem(f"{name} is not an input of the program", hint=hint)
    if by_name[name].is_integer:
        what = f"{name} holds integers, and nothing has a derivative with respect to integers"
        raise DomainProblem(what, hint="differentiate by a real input")
    return by_name[name]


def _prepared(program: Program) -> Program:
    """The program with what is known of its matrices, in stable form: as its gradient is derived."""
    return stabilise(with_symmetry(program))[0]


def _up_to(program: Program, y: str | None) -> Program:
    """The program whose output is y."""
    if y is None or y == program.output.name:
        return program
    own = [d.tensor.name for d in program.definitions if d.source]
    for k, definition in enumerate(program.definitions):
        if definition.tensor.name == y and definition.source:
            return replace(program, definitions=program.definitions[: k + 1])
    raise NameProblem(f"{y} is not defined in the program", hint=f"its definitions are {', '.join(own)}")


def _demand_scalar(program: Program, what: str) -> None:
    if program.output.rank:
        name, shape = program.output.name, shape_text(program.output.shape)
        raise DomainProblem(
            f"{what} is of a scalar, and {name} has the shape {shape}",
            hint=f"add a line that makes it one, such as L = sum({name}), or ask for a Jacobian",
        )


def _seeds(program: Program, directions: Mapping[str, str]) -> dict[Tensor, Tensor]:
    """Each input with the input that holds its direction, of the same shape."""
    if not directions:
        raise NameProblem("no direction is given", hint='{"x": "v"}, where v is a declared input')
    result = {}
    for name, held in directions.items():
        x = real_input(program, name)
        v = next((tensor for tensor in program.inputs if tensor.name == held), None)
        if v is None:
            what = f"{held} is not an input of the program, and so holds no direction"
            raise NameProblem(what, hint=f"declare {held}: [{', '.join(_shape(x))}]")
        same = v.rank == x.rank and all(same_size(a, b) for a, b in zip(v.shape, x.shape, strict=True))
        if v.is_integer or not same:
            shapes = f"the shape {shape_text(v.shape)}, and {name} has {shape_text(x.shape)}"
            what = f"the direction {held} has {shapes}"
            raise ShapeProblem(what, hint="a direction has the shape of its input, and holds real numbers")
        result[x] = v
    return result


def _shape(tensor: Tensor) -> list[str]:
    return [shape_text((extent,)).strip("[](),") for extent in tensor.shape]


def _taken(program: Program) -> set[str]:
    """Names that no index may have."""
    return {*program.by_name, *program.sizes, "pi"}


def _suffix(x: Tensor, definitions: Sequence[Definition], program: Program) -> tuple[Index, ...]:
    """Indices of the entry that changes: none is used in a definition."""
    avoid = _taken(program)
    for definition in definitions:
        avoid |= names_in(definition.body) | {index.name for index in definition.indices}
    return target_indices(x, avoid.__contains__)


def _along(
    program: Program,
    definitions: Sequence[Definition],
    seeds: Mapping[Tensor, Tensor | None] | Mapping[Tensor, Tensor],
    kept: Collection[Tensor],
    directions: Mapping[str, str],
) -> ForwardPass:
    names = Names(program)
    passed = ForwardPass(definitions, dict(seeds), (), names, lambda t: f"t{t.name}", kept, _taken(program))
    passed.run()
    return passed


def _gradient(program: Program, wrt: Sequence[str], by: Sequence[str]) -> tuple[Program, Derived]:
    """The published gradient, derived without the symmetry of what it is differentiated by, and its like.

    Symmetry may turn `A.T` into `A`, a distribution a sum into 1: equal there, with another derivative, as
    entries are independent.
    """
    moved = [tensor for tensor in program.inputs if tensor.name in by]
    free = {tensor: untied(tensor, keep_symmetry=_needs_symmetry(program)) for tensor in moved}
    if any(other is not tensor for tensor, other in free.items()):
        definitions = tuple(replace(d, body=_with(d.body, free)) for d in program.definitions)
        program = replace(
            program, inputs=tuple(free.get(t, t) for t in program.inputs), definitions=definitions
        )
    derived = derive_program(program, wrt)
    return derived.program, replace(derived, backward=_constants_written(derived, wrt))


def _constants_written(derived: Derived, wrt: Sequence[str]) -> tuple[Definition, ...]:
    """The gradient's lines with those that are one number written into the others."""
    kept = {f"d{name}" for name in wrt}
    numbers = {
        d.tensor: d.body for d in derived.backward if isinstance(d.body, Num) and d.tensor.name not in kept
    }

    def change(node: Expr) -> Expr | None:
        return numbers.get(node.tensor) if isinstance(node, Access) else None

    rest = (d for d in derived.backward if d.tensor not in numbers)
    return tuple(replace(d, body=rewrite(d.body, change)) if numbers else d for d in rest)


def _needs_symmetry(program: Program) -> bool:
    """Whether an operator has a meaning for symmetric matrices alone."""
    nodes = (node for definition in program.definitions for node in walk(definition.body))
    return any(isinstance(node, Element) and node.operator == "cholesky" for node in nodes)


def _with(e: Expr, other: Mapping[Tensor, Tensor]) -> Expr:
    """The same reading other tensors."""

    def change(node: Expr) -> Expr | None:
        if isinstance(node, Access) and node.tensor in other:
            return Access(other[node.tensor], node.slots)
        return None

    return rewrite(e, change)


# ---- publishing and layout -----------------------------------------------------------------------


def _finished(
    kind: Kind,
    program: Program,
    passed: ForwardPass,
    gradient: Sequence[Definition],
    results: Sequence[Result],
    directions: Mapping[str, str],
) -> Forwarded:
    """The tangents in the form people publish, laid out as a derivation."""
    program, rewrites = stabilise(with_symmetry(program))
    own = program.by_name
    back = {t: own[t.name] for t in _every_tensor(passed) if own.get(t.name, t) is not t}
    gradient = [replace(d, body=_with(d.body, back)) for d in gradient]
    raw = [*gradient, *(replace(d, body=_with(d.body, back)) for d in passed.raw)]
    wanted = [result.tensor.name for result in results]
    publisher = Publisher(program, None, raw, wanted)
    for made in gradient:
        publisher.known[made.tensor.name] = made
    published = {d.tensor.name: d for d in gradient}
    for made in raw[len(gradient) :]:
        published[made.tensor.name] = _tidied(publisher.publish(made), publisher.steps)
    if kind in ("jacobian", "hessian"):
        for name in wanted:
            published[name] = with_jacobians(published[name], published, publisher.steps)
    backward = needed(published, wanted)
    backward, values = shared(backward, passed.names, publisher.steps)
    raw = [*raw, *values]
    published |= {made.tensor.name: made for made in backward}
    every = [*program.definitions, *backward]
    lines = {d.tensor.name: line for d in every if (line := matrix_line(d)) is not None}
    kept = {d.tensor.name for d in backward}
    steps = {n: s for n, s in publisher.steps.items() if n in kept}
    made_sections = _with_published(passed, steps, published, lines, wanted)
    sections = [_restored(section, back) for section in made_sections]
    title = _TITLES[kind]
    derived = Derived(
        program, None, (), tuple(sections), (), tuple(backward), lines, (), tuple(raw), rewrites, title
    )
    return Forwarded(kind, derived, tuple(results), dict(directions), _notes(kind, program, results))


def _tidied(made: Definition, steps: dict[str, list[Step]]) -> Definition:
    """A published definition in which no bracket stands twice, and no index has two meanings."""
    new = replace(made, body=unshadowed(final(made.body, (ONCE,)), made.indices))
    if new.body is not made.body and not isinstance(made.body, Element):
        left = left_side(made)
        step = Step("brackets", Equation(left, made.body), Equation(left, new.body))
        steps.setdefault(made.tensor.name, []).append(step)
    return new


def _restored(section: Section, back: Mapping[Tensor, Tensor]) -> Section:
    """The section with the tensors that the program declares."""
    if not back:
        return section
    steps = [
        replace(step, before=_reading(step.before, back), after=_reading(step.after, back))
        for step in section.steps
    ]
    made = section.definition
    tensor = back.get(made.tensor, made.tensor)
    made = replace(made, tensor=tensor, body=_with(made.body, back))
    return Section(made, back.get(section.operand, section.operand), tuple(steps))


def _reading(line: Line, back: Mapping[Tensor, Tensor]) -> Line:
    if isinstance(line, Equation):
        return Equation(_with(line.left, back), _with(line.right, back))
    return line


def _every_tensor(passed: ForwardPass) -> set[Tensor]:
    return {tensor for d in (*passed.definitions, *passed.raw) for tensor in (*tensors(d.body), d.tensor)}


def _with_published(
    passed: ForwardPass,
    published_steps: Mapping[str, Sequence[Step]],
    published: Mapping[str, Definition],
    lines: Mapping[str, object],
    wanted: Sequence[str],
) -> list[Section]:
    """The sections, each tangent's last one with its published form and its matrix form."""
    last = {section.definition.tensor: k for k, section in enumerate(passed.sections)}
    sections = list(passed.sections)
    for tensor, k in last.items():
        tangent = passed.tangents.get(tensor)
        if tangent is None:
            continue
        more = list(published_steps.get(tangent.name, ()))
        made = published[tangent.name]
        line = matrix_line(made) if tangent.name in wanted or tangent.name in lines else None
        if line is not None:
            line = (structured(made) if tangent.name in wanted and passed.suffix else None) or line
            more.append(Step("matrix form", Equation(left_side(made), made.body), line))
            more.append(Step("shape", line, shape_line(line, made)))
        sections[k] = replace(sections[k], steps=(*sections[k].steps, *more))
    return sections


def _notes(kind: Kind, program: Program, results: Sequence[Result]) -> tuple[str, ...]:
    """The conventions that a reader must know: independent entries, and kinks."""
    named = {name for result in results for name in result.key.split(",")}
    if kind == "jvp":
        named = {tensor.name for tensor in program.inputs}
    found = []
    for tensor in program.inputs:
        if tensor.name in named and tensor.facts & SYMMETRIC:
            found.append(
                f"{tensor.name} is symmetric, and its entries are treated as independent: "
                f"{tensor.name}[i,j] changes alone, not together with {tensor.name}[j,i]"
            )
    for definition in program.definitions:
        names = [*functions_in(definition.body), *operators_in(definition.body)]
        kinks = {name: FUNCTIONS[name].kink if name in FUNCTIONS else OPERATORS[name].kink for name in names}
        found += [f"{name} in {definition.tensor}: {kink}" for name, kink in kinks.items() if kink]
    return tuple(found)
