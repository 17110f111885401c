"""The chain rule through one definition, one element at a time, with every line recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pullback.affine import same
from pullback.expression import (
    MINUS_ONE,
    ONE,
    Access,
    Bracket,
    Definition,
    Equation,
    Expr,
    Index,
    Mul,
    Partial,
    Tensor,
    mul,
    power,
    total,
)
from pullback.notation import left_side, show
from pullback.rewriting import Line, Rule, Step, final, run
from pullback.rulebooks.algebra import COLLECT, POWERS, reuse, tidy
from pullback.rulebooks.delta import DELTA, LOCAL, OPEN, SHIFT
from pullback.rulebooks.differentiation import ACCESS_RULE, differentiate

# A shift settles one index by guards; it comes last, when nothing neater collapses the sums.
COLLAPSING: tuple[Rule, ...] = (*DELTA, *OPEN)
SHIFTING: tuple[Rule, ...] = (SHIFT, *DELTA, *OPEN)
ALGEBRA: tuple[Rule, ...] = (POWERS, COLLECT)
STARTING = ("definition", "chain rule")  # lines that state something, and come from no line before them


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one operand's gradient gets through one definition: `value` at `target`, and the way there."""

    definition: Definition
    operand: Tensor
    target: tuple[Index, ...]
    local: Expr  # ∂output[o]/∂operand[target], collapsed
    value: Expr
    steps: tuple[Step, ...]


class Recorder:
    """Collects the lines of one section. Lines that change nothing are left out."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def line(self, rule: str, before: Line, after: Line, note: str = "") -> None:
        if before != after or rule in STARTING:
            self.steps.append(Step(rule, before, after, note))

    def rewrite(self, left: Expr, e: Expr, rules: Sequence[Rule]) -> Expr:
        """Apply the rules until none applies; each firing with a reason becomes a line of its own.

        Firings without a reason (a constant leaves a sum) are joined to the line that follows.
        """
        before = e
        for firing in run(e, rules):
            e = firing.after
            if firing.note:
                self.line(firing.rule.name, Equation(left, before), Equation(left, e), firing.note)
                before = e
        if e is not before:
            self.line("rearrange", Equation(left, before), Equation(left, e))
        return e


def contribution(
    definition: Definition,
    operand: Tensor,
    target: tuple[Index, ...],
    upstream: Access | None,
    gradient: Tensor,
    read_operators: Callable[[Expr], Expr],
) -> Contribution:
    """How `operand[target]` reaches the loss through `definition`.

    `upstream` is the gradient of the defined tensor at the definition's own indices, None where that
    tensor is the loss itself. `gradient` is the tensor that the result is an entry of. `read_operators`
    replaces elements of operators by entries of tensors that hold them.
    """
    record = Recorder()
    output, by = left_side(definition), Access(operand, target)
    forward = Equation(output, definition.body)
    record.line("definition", forward, forward)
    chain = _chain(definition, by, upstream)
    left = Access(gradient, target)
    if upstream is not None:
        record.line("chain rule", Equation(left, chain), Equation(left, chain), _paths(definition))
    local = _local(record, definition, by, read_operators)
    value = local
    if upstream is not None:
        value = total(definition.indices, mul(upstream, local))
        record.line("substitute", Equation(left, chain), Equation(left, value))
        for rules in (COLLAPSING, SHIFTING):
            value = record.rewrite(left, value, rules)
        value = record.rewrite(left, value, ALGEBRA)
    else:
        record.line(
            "substitute", Equation(left, chain), Equation(left, value), "the output is the loss itself"
        )
    return Contribution(definition, operand, target, local, value, tuple(record.steps))


def _chain(definition: Definition, by: Access, upstream: Access | None) -> Expr:
    partial = Partial(left_side(definition), by)
    return partial if upstream is None else total(definition.indices, mul(upstream, partial))


def _paths(definition: Definition) -> str:
    if not definition.indices:
        return "there is one path"
    names = ", ".join(index.name for index in definition.indices)
    return f"every entry of {definition.tensor.name} may depend on it: one path for each {names}"


def _local(
    record: Recorder, definition: Definition, by: Access, read_operators: Callable[[Expr], Expr]
) -> Expr:
    """∂output/∂operand: sum, product and chain rule, then the deltas, then their collapse."""
    left = Partial(left_side(definition), by)
    e = differentiate(definition.body, by)
    record.line("local derivative", Equation(left, Partial(definition.body, by)), Equation(left, e))
    before = e
    e = final(e, (ACCESS_RULE,))
    record.line("access rule", Equation(left, before), Equation(left, e), _delta_note(by))
    before = e
    e = reuse(e, definition)
    record.line("reuse the output", Equation(left, before), Equation(left, e), _reuse_note(definition))
    before = e
    e = read_operators(e)
    record.line(
        "name the operator", Equation(left, before), Equation(left, e), "computed once, and read by name"
    )
    e = record.rewrite(left, e, (*LOCAL, *OPEN))
    return record.rewrite(left, e, ALGEBRA)


def _delta_note(by: Access) -> str:
    return (
        f"Kronecker deltas: another entry of {by.tensor.name} does not depend on {show(by)}"
        if by.slots
        else ""
    )


def _reuse_note(definition: Definition) -> str:
    return f"{definition.tensor.name} is already there from the forward pass"


def share(local: Expr) -> Expr | None:
    """The share of a Jacobian's entries that is not zero, where its brackets decide it.

    One bracket [a = b] between two plain indices keeps 1 of every `extent` entries.
    """
    factors = local.factors if isinstance(local, Mul) else (local,)
    result: Expr = ONE
    for factor in factors:
        match factor:
            case Bracket("==", Index(_, extent) as a, Index(_, other)) if same(extent, other):
                result = mul(result, power(a.extent, MINUS_ONE))
            case Bracket():
                return None
            case _ if any(isinstance(part, Bracket) for part in getattr(factor, "terms", ())):
                return None
    return result


def settled(value: Expr) -> Expr:
    """Every delta collapsed that can be."""
    for rules in (COLLAPSING, SHIFTING):
        value = final(value, rules)
    return value


def simplest(value: Expr) -> Expr:
    """Like terms and powers gathered, deltas collapsed."""
    return tidy(final(settled(value), ALGEBRA))
