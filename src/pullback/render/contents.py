"""From a finished derivation to a page: formulas first, then the steps, then what a reader should know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

from pullback.derivation import Derived, Report
from pullback.expression import (
    Access,
    Bracket,
    Definition,
    Equation,
    Expr,
    Partial,
    walk,
)
from pullback.formula import backward_program
from pullback.notation import left_side
from pullback.program import Program as ForwardProgram
from pullback.render.costs import demand_shapes, jacobian_paragraph
from pullback.render.page import (
    Block,
    Chain,
    Heading,
    Page,
    Paragraph,
    Piece,
    Program,
    Row,
    Shape,
    Source,
    Words,
    whole,
)
from pullback.render.remarks import (
    contraction,
    counts_from_zero,
    is_partial,
    meaning_of_upstream,
    rule_of_thumb,
    target_of,
    why_matrix_form,
)
from pullback.render.walkthrough import fits, walkthrough
from pullback.rewriting import MatrixLine, Section, Step

Detail = Literal["all", "short", "none"]
Formulas = Mapping[str, Sequence[str]]

TITLES: Final = {
    "definition": "Definition of one entry",
    "chain rule": "Chain rule: a sum over the entries of the output",
    "local derivative": "Local derivative",
    "access rule": "Local derivative",
    "substitute": "Back into the chain rule",
    "matrix form": "Matrix form",
    "shape": "Shapes",
}
STARTS: Final = frozenset(("definition", "chain rule", "substitute", "matrix form", "shape"))
LONGEST_TITLE: Final = 60
DELTA: Final = "Kronecker delta"


def contents(
    derived: Derived,
    report: Report | None,
    formulas: Formulas | None,
    *,
    steps: Detail,
    sizes: Mapping[str, int] | None = None,
) -> Page:
    """Everything that stands on the page."""
    demand_shapes(derived, sizes or {})
    blocks = [*_opening(derived), *_formulas(derived, formulas or {})]
    if steps == "none":
        blocks += _costs(derived, sizes)
    else:
        blocks += _rewrites(derived)
        blocks += _sections(derived, steps, sizes)
    if sizes:
        blocks += _walkthrough(derived, sizes)
    blocks += _remarks(derived)
    blocks += _checks(derived, report, steps)
    return Page(tuple(blocks), not counts_from_zero(derived), ranks(derived))


def ranks(derived: Derived) -> tuple[tuple[str, int], ...]:
    """The number of axes of everything that a formula may name."""
    known = {name: tensor.rank for name, tensor in derived.program.by_name.items()}
    known |= {f"d{name}": rank for name, rank in known.items()}
    known |= {definition.tensor.name: definition.tensor.rank for definition in derived.backward}
    return tuple(known.items())


def _opening(derived: Derived) -> list[Block]:
    program = derived.program
    lines = _source_lines(derived)
    short = len(lines) == 1 and len(lines[0]) <= LONGEST_TITLE
    title: Words = (f"{derived.title} of ", Source(lines[0])) if short else (derived.title,)
    rows = tuple(Row(line_of(d.source.strip(), {d.tensor.name: d})) for d in _as_written(derived))
    blocks: list[Block] = [Heading(1, title), Program(lines, rows, given=True), Paragraph(_shapes(derived))]
    if derived.upstream is not None:
        gradient = Equation(whole(derived.upstream.name), Partial(whole("L"), whole(program.output.name)))
        rest = " is given, for a scalar loss L; a gradient has the shape of what it belongs to."
        blocks.append(Paragraph((gradient, rest)))
    elif derived.wrt:
        loss, first = program.output.name, derived.wrt[0].name
        gradient = Equation(whole(f"d{first}"), Partial(whole(loss), whole(first)))
        rest = ", and likewise for the others." if len(derived.wrt) > 1 else "."
        blocks.append(Paragraph((whole(loss), " is the loss; ", gradient, rest)))
    return blocks


def _source_lines(derived: Derived) -> tuple[str, ...]:
    """The definitions as their author wrote them."""
    return tuple(d.source.strip() for d in written(derived.program))


def written(program: ForwardProgram) -> list[Definition]:
    """The definitions that stand in the program; the reader's own have no source."""
    return [d for d in program.definitions if d.source.strip()]


def _as_written(derived: Derived) -> list[Definition]:
    """The definitions as they stood before they were rewritten for stability."""
    before = {s.before.left: s.before.right for s in derived.rewrites if isinstance(s.before, Equation)}
    return [replace(d, body=before.get(left_side(d), d.body)) for d in written(derived.program)]


def line_of(line: str, definitions: Mapping[str, Definition]) -> Equation | MatrixLine:
    """A program line for the renderers: in index notation as the equation it stands for."""
    name = target_of(line)
    left, _, right = line.partition("=")
    if name in definitions and left.strip() != name:
        definition = definitions[name]
        return Equation(left_side(definition), definition.body)
    return MatrixLine(left.strip(), right.strip()) if name else MatrixLine("", line)


def _shapes(derived: Derived) -> tuple[Piece, ...]:
    words: list[Piece] = []
    program = derived.program
    for tensor in program.inputs:
        words += [", " if words else "", whole(tensor.name), ": "]
        words.append(Shape(tensor.shape) if tensor.shape else "a number")
        if tensor.values is not None:
            words += [" (integers below ", tensor.values, ")"]
    words.append("; " if words else "")
    for k, tensor in enumerate(d.tensor for d in written(program)):
        words += [", " if k else "", whole(tensor.name), ": "]
        words.append(Shape(tensor.shape) if tensor.shape else "a number")
    for k, tensor in enumerate(d.tensor for d in program.definitions if not d.source.strip()):
        words += [", " if k else "; named on the way: ", whole(tensor.name), ": ", Shape(tensor.shape)]
    words.append(".")
    if program.inferred:
        names = ", ".join(tensor.name for tensor in program.inferred)
        several = len(program.inferred) > 1
        noun, verb, other = ("shapes", "were", "others fit") if several else ("shape", "was", "other fits")
        words.append(f" The {noun} of {names} {verb} not declared; no {other}.")
    return tuple(words)


def _formulas(derived: Derived, formulas: Formulas) -> list[Block]:
    if derived.title == "Backward pass":
        what, count = "gradient", len(derived.wrt)
        merged = [str(line) for line in backward_program(derived)]
    else:
        what, count = "result", len(formulas)
        merged = list(dict.fromkeys(line for lines in formulas.values() for line in lines))
    heading = Heading(2, (f"The {what}s" if count > 1 else f"The {what}",))
    made = {definition.tensor.name: definition for definition in derived.backward}
    return [heading, Program(tuple(merged), tuple(Row(line_of(line, made)) for line in merged))]


def _costs(derived: Derived, sizes: Mapping[str, int] | None) -> list[Block]:
    heading = Heading(2, ("Instead of Jacobians",))
    return [heading, *(jacobian_paragraph(j, sizes) for j in derived.jacobians)] if derived.jacobians else []


# ---- the steps ------------------------------------------------------------------------------


def _rewrites(derived: Derived) -> list[Block]:
    """The forward lines that were brought into a stable form before anything was differentiated."""
    if not derived.rewrites:
        return []
    blocks: list[Block] = [Heading(2, ("Rewritten for stability",))]
    for step in derived.rewrites:
        title = "The same value, in a form that does not overflow"
        blocks.append(Chain(title, (Row(step.before), Row(step.after, step.note, step.status))))
    return blocks


def _sections(derived: Derived, steps: Detail, sizes: Mapping[str, int] | None) -> list[Block]:
    blocks: list[Block] = [Heading(2, ("Step by step",))]
    delta = _first_delta(derived)
    if delta is not None and steps == "all":
        words = ("A bracket such as ", delta, f" is 1 where it holds and 0 elsewhere: the {DELTA}.")
        blocks.append(Paragraph(words))
    if counts_from_zero(derived):
        blocks.append(Paragraph(("Indices count from 0, because index arithmetic takes part.",)))
    for k, section in enumerate(derived.sections):
        blocks.append(_section_heading(section, derived.title == "Backward pass"))
        blocks += _chains(section.steps if steps == "all" else _short(section))
        contracted = contraction(section)
        if contracted is not None:
            blocks.append(contracted)
        if k < len(derived.jacobians):
            blocks.append(jacobian_paragraph(derived.jacobians[k], sizes))
    return blocks


def _section_heading(section: Section, backward: bool) -> Heading:
    source = section.definition.source.strip()
    through: Piece = Source(source) if source else whole(section.definition.tensor.name)
    if not backward:
        return Heading(3, ("From ", whole(section.operand.name), ", through ", through))
    return Heading(3, (whole(f"d{section.operand.name}"), ", through ", through))


def _short(section: Section) -> list[Step]:
    """The definition, the collapsed entry, the matrix form and the shapes."""
    kept = [step for step in section.steps if step.rule == "definition"]
    entries = [s for s in section.steps if s.rule != "definition" and isinstance(s.after, Equation)]
    entries = [s for s in entries if isinstance(s.after, Equation) and isinstance(s.after.left, Access)]
    return kept + entries[-1:] + [s for s in section.steps if not isinstance(s.after, Equation)]


def _chains(steps: Sequence[Step]) -> list[Chain]:
    """Steps in groups: a group goes on while its left side stays the same."""
    chains: list[Chain] = []
    rows: list[Row] = []
    title = ""
    left: object = None
    for step in steps:
        new_left = step.after.left if isinstance(step.after, Equation) else None
        if step.rule in STARTS or new_left is not left or not rows:
            if rows:
                chains.append(Chain(title, tuple(rows)))
            rows, title = [], _title(step)
            if _shows_before(step):
                rows.append(Row(step.before))
        rows.append(Row(step.after, _note(step, bool(rows)), step.status))
        left = new_left
    return [*chains, Chain(title, tuple(rows))] if rows else chains


def _title(step: Step) -> str:
    if step.rule in TITLES:
        return TITLES[step.rule]
    return "Local derivative" if is_partial(step.after) else "The entry of the gradient"


def _shows_before(step: Step) -> bool:
    """Whether the line that the step starts from is new to the reader: ∂Y/∂W = ∂(…)/∂W."""
    match step.before, step.after:
        case Equation(Partial() as left, _), Equation(after, _):
            return left is after and step.rule not in STARTS
    return False


def _note(step: Step, continued: bool) -> str:
    if step.note:
        return step.note
    match step.before, step.after:
        case Equation() as entry, MatrixLine() as line:
            return why_matrix_form(entry, line)
    return step.rule if continued and step.rule not in TITLES else ""


def _first_delta(derived: Derived) -> Expr | None:
    for section in derived.sections:
        for step in section.steps:
            if isinstance(step.after, Equation):
                for node in walk(step.after.right):
                    if isinstance(node, Bracket) and node.relation == "==":
                        return node
    return None


# ---- the end of the page --------------------------------------------------------------------


def _walkthrough(derived: Derived, sizes: Mapping[str, int]) -> list[Block]:
    missing = [name for name in derived.program.sizes if name not in sizes]
    reason = f"{missing[0]} has no value" if missing else fits(derived, sizes)
    if reason:
        return [Paragraph((f"Nothing is written out entry by entry: {reason}.",))]
    return list(walkthrough(derived, sizes))


def _remarks(derived: Derived) -> list[Block]:
    rule = rule_of_thumb(derived)
    blocks: list[Block] = [*meaning_of_upstream(derived), *([rule] if rule is not None else [])]
    blocks += [Paragraph((f"Convention: {text.rstrip('.')}.",)) for text in derived.conventions]
    return [Heading(2, ("Remarks",)), *blocks] if blocks else []


def _checks(derived: Derived, report: Report | None, detail: Detail) -> list[Block]:
    if report is None:
        return []
    blocks: list[Block] = [Heading(2, ("Checks",))]
    if report.exact:
        bound = probability_text(report.error_bound)
        words = (
            f"{_lines(report.exact)} exact: both sides agree at random points of the integers modulo a large"
            f" prime; the probability that any of them is wrong is at most {bound}."
        )
        blocks.append(Paragraph((words,), "exact"))
    if report.numerical:
        words = f"{_lines(report.numerical)} numerical: both sides agree in floating point, and no more."
        blocks.append(Paragraph((words,), "numerical"))
    if report.unknown:
        blocks.append(Paragraph((f"{_lines(report.unknown)} unknown: could not be decided.",), "unknown"))
    if report.central is not None:
        words = f"Central differences in float64 agree to a relative {report.central:.1e}."
        blocks.append(Paragraph((words,)))
    return blocks if len(blocks) > 1 else []


def _lines(count: int) -> str:
    return "1 line is" if count == 1 else f"{count} lines are"


def probability_text(p: float) -> str:
    """A probability as a power of ten, rounded up, so that the sentence stays true.

    >>> probability_text(3.2e-17), probability_text(0.0)
    ('1e-16', '0')
    """
    if p <= 0:
        return "0"
    exponent = 0
    while exponent > -400 and p <= 10.0 ** (exponent - 1):
        exponent -= 1
    return "1" if exponent == 0 else f"1e{exponent}"
