"""Stable forms: what overflows, cancels or has no value at a point where the whole has one is rewritten.

The user's definitions keep their names; what reads them reads a stable form instead, and so does the backward
pass. Every rewritten definition is recorded as a step, and checked like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pullback.expression import Definition, Element, Equation, Expr, free, walk
from pullback.matrix import matrix_line
from pullback.naming import Names
from pullback.notation import left_side
from pullback.program import Program
from pullback.rewriting import Rule, Step, run
from pullback.rulebooks.algebra import OperatorReader, known_operators, tidy
from pullback.rulebooks.cancellation import Cancellation
from pullback.rulebooks.exponentials import Exponentials
from pullback.rulebooks.precision import Precision
from pullback.rulebooks.stable import Laws

STABLE = "stable form"


@dataclass(frozen=True, slots=True)
class Stabilised:
    """Definitions in stable form, those made for operators among them, and a step for each that changed."""

    definitions: tuple[Definition, ...]
    steps: tuple[Step, ...]


def stabilise(program: Program) -> tuple[Program, tuple[Step, ...]]:
    """The program with its exponentials in stable form, and a step for each definition that changed.

    Definitions keep their order, names and sources; operators that had no name get a definition of their own.

    >>> from pullback.reading import read_program
    >>> program, steps = stabilise(read_program("Z[n] = exp(x[n,c]); l[n] = log(Z[n])"))
    >>> program.definitions[-1].body.operator
    'logsumexp'
    """
    found = stable_definitions(program.definitions, (), Names(program), deep=False)
    if not found.steps:
        return program, ()
    return replace(program, definitions=found.definitions), found.steps


def stable_definitions(
    definitions: Sequence[Definition],
    given: Sequence[Definition],
    names: Names,
    *,
    deep: bool,
    gradients: bool = False,
) -> Stabilised:
    """The definitions in stable form; `given` are definitions before them that may be looked through.

    `deep` also uses the laws that serve evaluation alone, `gradients` those that hold in a backward pass.
    """
    seen = Exponentials([*given, *definitions], deep=deep)
    phases = Laws(seen).phases
    if deep:
        kept = Cancellation(seen)
        phases = (*kept.phases, *phases, *Precision(seen, gradients=gradients).phases, *kept.last)
    known = known_operators(given)
    done: list[Definition] = []
    steps: list[Step] = []

    def finish(definition: Definition) -> None:
        done.append(definition)
        if gradients:
            seen.known[definition.tensor] = definition
        for operator, where in known_operators([definition]).items():
            known.setdefault(operator, where)

    for definition in definitions:
        body, why = _rewritten(definition.body, phases)
        if body is definition.body or not (deep or all(map(_has_text, _operators(body)))):
            finish(definition)
            continue
        left = left_side(definition)
        steps.append(Step(STABLE, Equation(left, definition.body), Equation(left, body), why))
        reader = OperatorReader(known, names.new)
        named = body if _is_own(definition, body) else reader(body)
        done += reader.made
        finish(replace(definition, body=named))
    return Stabilised(tuple(done), tuple(steps))


def _rewritten(e: Expr, phases: Sequence[Sequence[Rule]]) -> tuple[Expr, str]:
    """The expression in stable form, and the laws that were used."""
    laws: dict[str, None] = {}
    before = e
    for rules in phases:
        for firing in run(e, rules):
            laws[firing.note] = None
            e = firing.after
    return (e if e is before else tidy(e)), "; ".join(laws)


def _is_own(definition: Definition, body: Expr) -> bool:
    """Whether the whole right side is one operator at the definition's own indices."""
    if not isinstance(body, Element):
        return False
    batch = {index for b, x in zip(body.binders, body.bodies, strict=True) for index in free(x) - set(b)}
    places = {*batch, *body.at}
    return places == set(definition.indices) and len(places) == len(batch) + len(body.at)


def _operators(e: Expr) -> list[Element]:
    return [node for node in walk(e) if isinstance(node, Element)]


def _has_text(e: Element) -> bool:
    """Whether the operator can be written in the language: a gradient that reads it needs a line for it."""
    if e.operator not in ("softmax", "log_softmax", "logsumexp"):
        return True
    reader = OperatorReader({}, lambda name: name)
    reader(Element("softmax", e.binders[0], e.binders, e.bodies, e.attributes))
    return all(matrix_line(made) is not None for made in reader.made)


def norms(definitions: Sequence[Definition]) -> list[str]:
    """The names of the definitions that hold the root of a sum of squares, whose gradient at 0 is a convention."""
    precision = Precision(Exponentials(definitions, deep=True))
    return [d.tensor.name for d in definitions if any(precision.root(node) for node in walk(d.body))]
