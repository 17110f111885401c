"""Checks of a derivation: every line, every gradient, and central differences that share nothing with either."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pullback.derivation import Derived, Report
from pullback.errors import InternalProblem, LimitProblem
from pullback.evaluator import (
    Checker,
    Outcome,
)
from pullback.expression import (
    Access,
    Call,
    Definition,
    Element,
    Equation,
    Expr,
    Index,
    Tensor,
    call,
    free,
    substitute,
    tensors,
    walk,
)
from pullback.formula import Statement, backward_program, gradient_program
from pullback.notation import show_equation
from pullback.program import inlined
from pullback.reading import read_lines
from pullback.rewriting import MatrixLine, Section, ShapeLine, Status, Step
from pullback.sizes import evaluate_size
from pullback.verify.differences import by_differences

PUBLISHING = ("write out", "expand", "dead terms", "factor", "brackets", "name values")
CENTRAL_TOLERANCE = 1e-5  # of central differences in float64, relative to the largest entry
MANY_ENTRIES = 16  # of a gradient that is compared entry by entry in the exact domain


Nearby = dict[tuple[tuple[Definition, ...], tuple[Tensor, ...]], Checker]


@dataclass(frozen=True, slots=True)
class Checked:
    """The status of one result, with the error bound of the exact check and the central differences."""

    status: Status
    error_bound: float
    central: float | None
    trials: tuple[Mapping[str, int], ...]


def status_of(outcome: Outcome) -> Status:
    if outcome.status == "equal":
        return "exact"
    return "numerical" if outcome.numerical else "unknown"


def check_sections(derived: Derived) -> tuple[Derived, list[Outcome]]:
    """Every step with its status. A line that is not equal to the one it came from is an internal error."""
    outcomes: list[Outcome] = []
    operators = {
        d.tensor: d
        for d in (*derived.program.definitions, *derived.raw)
        if isinstance(d.body, Element) or _is_exponential(d.body)
    }
    nearby: Nearby = {}
    sections = [
        _checked_section(derived, section, operators, outcomes, nearby) for section in derived.sections
    ]
    return replace(derived, sections=tuple(sections)), outcomes


def _is_exponential(e: Expr) -> bool:
    """exp of one entry: a softmax, where that is the entry of a log_softmax"""
    match e:
        case Call("exp", (Access(),)):
            return True
    return False


def _checked_section(
    derived: Derived,
    section: Section,
    operators: Mapping[Tensor, Definition],
    outcomes: list[Outcome],
    nearby: Nearby,
) -> Section:
    checker = _checker(section, operators)
    steps = []
    for step in section.steps:
        steps.append(step.checked(_step_status(derived, step, checker, outcomes, nearby)))
    return replace(section, steps=tuple(steps))


def _checker(section: Section, operators: Mapping[Tensor, Definition]) -> Checker:
    """A checker that knows the section's definition, and operators that its lines read beside it."""
    own = section.definition
    read: dict[Tensor, None] = dict.fromkeys(tensors(own.body))
    for step in section.steps:
        for line in (step.before, step.after):
            if isinstance(line, Equation):
                read.update(dict.fromkeys(tensors(line.right)))
    inside = set(tensors(own.body))
    defined = [operators[t] for t in read if t in operators and t not in inside and t is not own.tensor]
    for definition in defined:
        read.update(dict.fromkeys(tensors(definition.body)))
    known = {definition.tensor for definition in (own, *defined)}
    after = [definition for definition in defined if own.tensor in tensors(definition.body)]
    before = [definition for definition in defined if definition not in after]
    given = [tensor for tensor in (*read, section.operand) if tensor not in known]
    return Checker([*before, own, *after], list(dict.fromkeys(given)))


def _step_status(
    derived: Derived, step: Step, checker: Checker, outcomes: list[Outcome], nearby: Nearby
) -> Status:
    before, after = step.before, step.after
    if isinstance(before, Equation) and isinstance(after, Equation):
        if step.rule in ("definition", "sum over paths"):
            return "exact"  # these lines state what is meant; there is nothing that they follow from
        if step.rule in PUBLISHING:
            outcome = _within_limits(lambda: _published_outcome(derived, before, after, nearby))
        else:
            outcome = _within_limits(lambda: checker.equal(before.right, after.right, _over(before, after)))
    elif isinstance(before, Equation) and isinstance(after, MatrixLine):
        definition = reread_line(derived, after)
        right = _at(definition, before)
        over = _over(before, Equation(before.left, right))
        outcome = _within_limits(lambda: checker.equal(before.right, right, over))
    elif isinstance(after, ShapeLine):
        return "exact"  # the reader has found this shape when it read the line again
    else:
        return "unknown"
    if outcome.status == "different":
        shown = show_equation(after) if isinstance(after, Equation) else str(after)
        raise InternalProblem(f"a derived line failed its own check ({step.rule}): {shown}")
    outcomes.append(outcome)
    return status_of(outcome)


def _within_limits(check: Callable[[], Outcome]) -> Outcome:
    """A check; one whose arrays would be too large at the program's own sizes leaves the question open."""
    try:
        return check()
    except LimitProblem as problem:
        return Outcome("undecided", 1.0, 0, (), reason=problem.message)


def _published_outcome(derived: Derived, before: Equation, after: Equation, nearby: Nearby) -> Outcome:
    """A step of publishing: gradients were written out and forward values read, so their definitions count.

    The definitions nearby usually suffice, and then the equality holds whatever the rest of the program is.
    Steps with the same ones nearby share the checker, with everything that it has evaluated.
    """
    every = {d.tensor: d for d in (*derived.program.definitions, *derived.raw)}
    near = _nearby(derived, before, after)
    read = [t for e in (before.right, after.right, *(d.body for d in near)) for t in tensors(e)]
    known = {definition.tensor for definition in near}
    given = tuple(dict.fromkeys(t for t in read if t not in known))
    whole = (*derived.program.inputs, *([derived.upstream] if derived.upstream is not None else []))
    for key in ((tuple(near), given), (tuple(every.values()), whole)):
        if key not in nearby:
            nearby[key] = Checker(*key)
        outcome = nearby[key].equal(before.right, after.right, _over(before, after))
        if outcome.status == "equal":
            break
    return outcome


def _nearby(derived: Derived, before: Equation, after: Equation) -> list[Definition]:
    """Gradients that only the first side reads, what these read in turn, and the forward values beside them."""
    raw = {d.tensor: d for d in derived.raw}
    kept = set(tensors(after.right))
    seen: dict[Tensor, None] = {}
    stack = [before.right, after.right]
    while stack:
        for tensor in tensors(stack.pop()):
            if tensor not in seen:
                seen[tensor] = None
                if tensor in raw and (tensor not in kept or isinstance(raw[tensor].body, Element)):
                    stack.append(raw[tensor].body)
    forward = [d for d in derived.program.definitions if d.tensor in seen]
    gone = (t for t in seen if t not in kept or isinstance(getattr(raw.get(t), "body", None), Element))
    gradients = {t for t in gone if t in raw}
    return [*forward, *(d for d in derived.raw if d.tensor in gradients)]


def _over(*lines: Equation) -> tuple[Index, ...]:
    found: dict[Index, None] = {}
    for line in lines:
        found.update(dict.fromkeys(sorted(free(line.left), key=lambda index: index.name)))
        found.update(dict.fromkeys(sorted(free(line.right), key=lambda index: index.name)))
    return tuple(found)


def _at(definition: Definition, line: Equation) -> Expr:
    """The definition's right side at the indices of an equation's left side."""
    slots = getattr(line.left, "slots", ())
    return substitute(definition.body, dict(zip(definition.indices, slots, strict=True)))


def environment(derived: Derived) -> dict[str, Tensor]:
    """What a formula may read: inputs, intermediates, the upstream gradient."""
    known = dict(derived.program.by_name)
    if derived.upstream is not None:
        known[derived.upstream.name] = derived.upstream
    return known


def reread_line(derived: Derived, line: MatrixLine) -> Definition:
    """A matrix line as the reader understands it, with everything it introduced written in."""
    made = {definition.tensor.name: definition.tensor for definition in derived.raw}
    known = {**environment(derived), **made}
    target = known[line.target]
    del known[line.target]
    lines = read_lines(line.text, known, sizes=derived.program.sizes, targets={line.target: target})
    return inlined(lines)


def reread(derived: Derived, statements: Sequence[Statement], *wrt: Tensor) -> tuple[Definition, ...]:
    """A gradient program as the reader understands it."""
    text = "\n".join(str(statement) for statement in statements)
    targets = {s.name: s.definition.tensor for s in statements}
    targets |= {f"d{x.name}": Tensor(f"d{x.name}", x.shape) for x in wrt}
    ranges = _ranges(statements)
    known = {n: t for n, t in environment(derived).items() if n not in targets}
    return read_lines(text, known, sizes=derived.program.sizes, ranges=ranges, targets=targets)


def _ranges(statements: Sequence[Statement]) -> dict[str, Expr]:
    found: dict[str, Expr] = {}
    for statement in statements:
        if not statement.is_matrix:
            for node in walk(statement.definition.body):
                if isinstance(node, Index):
                    found.setdefault(node.name, node.extent)
    return found


def check_gradient_of(derived: Derived, name: str, shared: Checker | None = None) -> Checked:
    """The printed gradient program of one input against the true gradient of the forward program.

    Many entries are compared along one random direction, which is as sure: two different gradients agree along it
    with the probability that two polynomials agree at a point. `shared` draws the same values for every input.
    Raises `InternalProblem` where it is wrong: such a result is never shown.
    """
    wrt = derived.program.by_name[name]
    lines = reread(derived, gradient_program(derived, [name]), wrt)
    checker = shared or forward_checker(derived)
    output, upstream = derived.program.output, derived.upstream
    if _has_many_entries(wrt, checker):
        along = {lines[-1].tensor.name: wrt}
        outcome = _within_limits(lambda: checker.gradients(along, output, upstream, lines))
    else:
        outcome = _within_limits(lambda: checker.gradient(wrt, output, upstream, lines))
    if outcome.status == "different":
        raise InternalProblem(
            f"the gradient d{name} failed its own check at sizes {dict(outcome.where or {})}"
        )
    central = by_differences(derived, wrt, lines, checker)
    status = status_of(outcome)
    if outcome.status == "undecided" and not outcome.trials and central is not None:
        status = "numerical"  # too large for the exact check: differences are what is left
    if central is not None and central > CENTRAL_TOLERANCE and status != "exact":
        raise InternalProblem(f"the gradient d{name} disagrees with central differences by {central:.1e}")
    return Checked(status, outcome.error_bound, central, outcome.sizes)


def check_together(derived: Derived, shared: Checker) -> None:
    """The one program that computes every gradient, along one random direction of all inputs together.

    Raises `InternalProblem` where it is wrong; the gradients one by one have their own check.
    """
    statements = backward_program(derived)
    if len(derived.wrt) < 2 or _stands_alone(derived, statements):
        return
    lines = reread(derived, statements, *derived.wrt)
    names = {f"d{x.name}": x for x in derived.wrt}
    output, upstream = derived.program.output, derived.upstream
    outcome = _within_limits(lambda: shared.gradients(names, output, upstream, lines))
    if outcome.status == "different":
        raise InternalProblem(f"the backward pass failed its own check at sizes {dict(outcome.where or {})}")
    if outcome.status == "equal":
        return
    for x in derived.wrt:
        central = by_differences(derived, x, _up_to(lines, f"d{x.name}"), shared)
        if central is not None and central > CENTRAL_TOLERANCE:
            raise InternalProblem(
                f"the backward pass disagrees in d{x.name} with differences by {central:.1e}"
            )


def _stands_alone(derived: Derived, statements: Sequence[Statement]) -> bool:
    """Whether the lines are those of the gradients one by one, which have been checked."""
    alone = {str(line) for x in derived.wrt for line in gradient_program(derived, [x.name])}
    return {str(line) for line in statements} == alone


def _up_to(lines: Sequence[Definition], name: str) -> tuple[Definition, ...]:
    place = next(k for k, line in enumerate(lines) if line.tensor.name == name)
    return tuple(lines[: place + 1])


def forward_checker(derived: Derived) -> Checker:
    """A checker of everything that the program's definitions decide."""
    given = (*derived.program.inputs, *((derived.upstream,) if derived.upstream is not None else ()))
    return Checker(derived.program.definitions, given)


def _has_many_entries(tensor: Tensor, checker: Checker) -> bool:
    try:
        sizes = checker.worlds()[0].sizes
    except LimitProblem:
        return True
    return math.prod(evaluate_size(extent, sizes) for extent in tensor.shape) > MANY_ENTRIES


def check_rewrites(derived: Derived, outcomes: list[Outcome]) -> Derived:
    """The forward definitions that were rewritten, each against what it was, with the status of the step."""
    if not derived.rewrites:
        return derived
    checker = Checker(derived.program.definitions, derived.program.inputs)
    steps = []
    for step in derived.rewrites:
        outcome = rewrite_outcome(checker, step)
        outcomes.append(outcome)
        steps.append(step.checked(status_of(outcome)))
    return replace(derived, rewrites=tuple(steps))


def rewrite_outcome(checker: Checker, step: Step) -> Outcome:
    """Whether a stable form has the value of what it replaces.

    Real numbers are no judge of a form that cancels, and the exact domain does not know every law of the
    logarithm; both sides are equal where their exponentials are.
    """
    before, after = step.before, step.after
    assert isinstance(before, Equation) and isinstance(after, Equation)
    outcome = checker.equal(before.right, after.right, _over(before, after))
    if outcome.status != "equal":
        left, right = call("exp", before.right), call("exp", after.right)
        exponentials = checker.equal(left, right, _over(before, after))
        outcome = exponentials if exponentials.status == "equal" else outcome
    if outcome.status == "different":
        raise InternalProblem(f"a stable form failed its own check: {show_equation(after)}")
    return outcome


def check_derived(derived: Derived) -> tuple[Derived, Report]:
    """The derivation with the status of every line, and a report on lines and gradients together."""
    checked, outcomes = check_sections(derived)
    checked = check_rewrites(checked, outcomes)
    shared = forward_checker(derived)
    results = [check_gradient_of(derived, tensor.name, shared) for tensor in derived.wrt]
    check_together(derived, shared)
    statuses: list[Status] = [step.status for section in checked.sections for step in section.steps]
    statuses += [step.status for step in checked.rewrites]
    statuses += [result.status for result in results]
    bounds = [o.error_bound for o in outcomes if o.status == "equal"]
    bounds += [r.error_bound for r in results if r.status == "exact"]
    centrals = [r.central for r in results if r.central is not None]
    trials: dict[tuple[tuple[str, int], ...], Mapping[str, int]] = {}
    for sizes in (s for r in results for s in r.trials):
        trials.setdefault(tuple(sorted(sizes.items())), dict(sizes))
    report = Report(
        statuses.count("exact"),
        statuses.count("numerical"),
        statuses.count("unknown"),
        max(bounds, default=0.0),
        max(centrals, default=None) if centrals else None,
        tuple(trials.values()),
    )
    return checked, report
