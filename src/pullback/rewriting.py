"""The mechanism: named rules, an engine that applies them, and the record of what it did.

The engine knows no law. It rewrites the first place where a rule applies, innermost first, until none
does, and hands every firing to the caller. That record is the derivation which a reader sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Literal

from pullback.errors import LimitProblem
from pullback.expression import Definition, Equation, Expr, Tensor, children, rebuild
from pullback.notation import show_equation
from pullback.sizes import shape_text

Status = Literal["unchecked", "exact", "numerical", "unknown"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A law as a function: the node it rewrites to, with a word why, or None where it does not apply."""

    name: str
    apply: Callable[[Expr], tuple[Expr, str] | None]

    @property
    def is_pure(self) -> bool:
        """Whether the law is a plain function, which sees nothing but the node."""
        return isinstance(self.apply, FunctionType) and self.apply.__closure__ is None

    @property
    def law(self) -> str:
        """The first line of the docstring: the law itself."""
        return (self.apply.__doc__ or "").strip().splitlines()[0]


@dataclass(frozen=True, slots=True)
class MatrixLine:
    """A line in matrix notation: `target = text`, with the sizes that meet in it."""

    target: str
    text: str  # an expression of the language, in Python's syntax

    def __str__(self) -> str:
        return f"{self.target} = {self.text}"


@dataclass(frozen=True, slots=True)
class ShapeLine:
    """`(D×N)(N×M) = D×M`: the sizes that meet in a matrix product, and the shape that results."""

    factors: tuple[tuple[Expr, ...], ...]  # empty where the result is no matrix product
    result: tuple[Expr, ...]
    target: str

    def __str__(self) -> str:
        factors = "".join(f"({shape_text(factor)})" for factor in self.factors)
        return f"{factors} = {shape_text(self.result)}" if factors else shape_text(self.result)


Line = Equation | MatrixLine | ShapeLine


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a derivation: `before` became `after` by `rule`; `note` says why."""

    rule: str
    before: Line
    after: Line
    note: str = ""
    status: Status = "unchecked"

    def __str__(self) -> str:
        """The rule and the line it led to, as one line of text."""
        after = show_equation(self.after) if isinstance(self.after, Equation) else str(self.after)
        return f"{self.rule}: {after}"

    def checked(self, status: Status) -> Step:
        return replace(self, status=status)


@dataclass(frozen=True, slots=True)
class Section:
    """The steps for one operand of one definition: how `operand` gets its share through `definition`."""

    definition: Definition
    operand: Tensor
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Firing:
    """One application of a rule somewhere inside an expression: the whole, before and after."""

    rule: Rule
    before: Expr
    after: Expr
    note: str


MAX_FIRINGS = 2_000


def fire(e: Expr, rules: Sequence[Rule], done: set[Expr] | None = None) -> Firing | None:
    """The first firing in `e`, innermost and leftmost, or None. Nodes in `done` are known to have none."""
    done = set() if done is None else done
    if e in done:
        return None
    below = children(e)
    for k, child in enumerate(below):
        found = fire(child, rules, done)
        if found is not None:
            new = rebuild(e, (*below[:k], found.after, *below[k + 1 :]))
            return Firing(found.rule, e, new, found.note)
    for rule in rules:
        applied = rule.apply(e)
        if applied is not None and applied[0] is not e:
            return Firing(rule, e, applied[0], applied[1])
    done.add(e)
    return None


MOST_SETTLED = 100_000
_settled: dict[tuple[Rule, ...], set[Expr]] = {}


def settled_under(rules: Sequence[Rule]) -> set[Expr]:
    """Nodes in which no rule applies. For rules that look at their node alone this never changes."""
    if not all(rule.is_pure for rule in rules):
        return set()
    known = _settled.setdefault(tuple(rules), set())
    if len(known) > MOST_SETTLED:
        known.clear()
    return known


def run(e: Expr, rules: Sequence[Rule]) -> Iterator[Firing]:
    """Firings until no rule applies; the last one's `after` is the result."""
    done = settled_under(rules)
    for _ in range(MAX_FIRINGS):
        found = fire(e, rules, done)
        if found is None:
            return
        yield found
        e = found.after
    raise LimitProblem(f"more than {MAX_FIRINGS:,} rewriting steps in one equation")


def final(e: Expr, rules: Sequence[Rule]) -> Expr:
    """What `e` becomes when no rule applies any more."""
    for firing in run(e, rules):
        e = firing.after
    return e
