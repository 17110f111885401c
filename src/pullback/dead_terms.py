"""Dead terms: sums of forward values that are 0 or 1 whatever the input, found by the exact test."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from pullback.errors import PullbackError
from pullback.evaluator import Checker
from pullback.expression import (
    ONE,
    ZERO,
    Add,
    Definition,
    Element,
    Expr,
    Sum,
    free,
    simplex_axis,
    tensors,
    total,
)
from pullback.notation import show
from pullback.program import Program
from pullback.rulebooks.algebra import key
from pullback.rulebooks.normal import Term, components


class DeadTerms:
    """Tests the sums in the terms of one program's gradients, each once."""

    def __init__(self, program: Program, raw: Sequence[Definition]) -> None:
        """`raw` are the definitions of the backward pass; operators of forward values among them count as such."""
        self._program = program
        self._inputs = frozenset(program.inputs)
        self._values = dict(program.by_name)
        self._definitions = list(program.definitions)
        for made in raw:
            if isinstance(made.body, Element) and all(t.name in self._values for t in tensors(made.body)):
                self._values[made.tensor.name] = made.tensor
                self._definitions.append(made)
        self._known: dict[str, Fraction | None] = {}
        self._checker: Checker | None = None

    def without(self, terms: Sequence[Term]) -> tuple[list[Term], list[str]]:
        """The terms that are not zero, sums that are constant replaced by their value."""
        result: list[Term] = []
        notes: list[str] = []
        for term in terms:
            outer, sums = components(term)
            whole = [
                base for base, n in outer.items() if n == 1 and isinstance(base, Add) and _holds_sum(base)
            ]
            for inner in (*sums, *whole, *_alone(term)):
                value = self._constant(inner)
                if value is None:
                    continue
                notes.append(f"{show(inner)} = {value}")
                term = _drop(term, inner, value)
            if term.coefficient:
                result.append(term)
        return result, notes

    def _constant(self, e: Expr) -> Fraction | None:
        """0 or 1 where the exact test says that a sum of forward values is that for every input."""
        read = tensors(e)
        inputs = self._inputs
        free_inputs = all(t in inputs and simplex_axis(t) is None for t in read)
        if free_inputs or any(t not in inputs and self._values.get(t.name) is not t for t in read):
            return None
        k = key(e)
        if k not in self._known:
            self._known[k] = self._tested(e)
        return self._known[k]

    def _tested(self, e: Expr) -> Fraction | None:
        if self._checker is None:
            self._checker = Checker(self._definitions, self._program.inputs)
        over = tuple(sorted(free(e), key=lambda index: index.name))
        for value in (ZERO, ONE):
            try:
                if self._checker.equal(e, value, over).status == "equal":
                    return Fraction(value.value)
            except PullbackError:
                return None
        return None


def _alone(term: Term) -> list[Expr]:
    """Σ_i f(i, …), for a bound index that stands in one factor, where other indices are summed as well."""
    found = []
    for index in term.bound if len(term.bound) > 1 else ():
        read = [base for base in term.powers if index in free(base)]
        if len(read) == 1 and term.powers[read[0]] == 1:
            found.append(total((index,), read[0]))
    return found


def _holds_sum(e: Add) -> bool:
    return any(isinstance(factor, Sum) for term in e.terms for factor in getattr(term, "factors", (term,)))


def _drop(term: Term, inner: Expr, value: Fraction) -> Term:
    """The term with one of its sums replaced by a number."""
    if inner in term.powers:
        rest = {base: n for base, n in term.powers.items() if base is not inner}
        return Term(term.coefficient * value, rest, term.bound)
    if isinstance(inner, Sum) and inner.body in term.powers:
        rest = {base: n for base, n in term.powers.items() if base is not inner.body}
        return Term(term.coefficient * value, rest, tuple(i for i in term.bound if i not in inner.indices))
    indices = set(getattr(inner, "indices", ()))
    powers = {base: n for base, n in term.powers.items() if free(base).isdisjoint(indices)}
    return Term(term.coefficient * value, powers, tuple(i for i in term.bound if i not in indices))
