"""Other ways to write the same value, worth a look where two parts of a sum exclude or complete each other."""

from __future__ import annotations

from pullback.expression import (
    NEGATED,
    ONE,
    Add,
    Bracket,
    Call,
    Expr,
    Mul,
    Num,
    add,
    call,
    mul,
    neg,
    num,
    over,
    replace,
    tensors,
    walk,
)
from pullback.rulebooks.algebra import key


def either(e: Expr) -> Expr:
    """[c] f + [not c] g = where(c, f, g)"""
    return replace(e, _either)


def _either(e: Expr) -> Expr | None:
    if not isinstance(e, Add) or len(e.terms) != 2:
        return None
    first, second = (_factors(term) for term in e.terms)
    for condition in first:
        if not isinstance(condition, Bracket) or all(tensor.is_integer for tensor in tensors(condition)):
            continue
        opposite = Bracket(NEGATED[condition.relation], condition.left, condition.right)
        if opposite in second:
            chosen, other = (
                mul(ONE, *(f for f in factors if f is not without))
                for factors, without in ((first, condition), (second, opposite))
            )
            return call("where", condition, chosen, other)
    return None


def completed(e: Expr) -> Expr:
    """sigmoid(u) - sigmoid(-u) = tanh(u / 2); sigmoid(-u) = 1 - sigmoid(u) where sigmoid(u) is there too"""
    e = replace(e, _difference)
    known = {node.arguments[0] for node in walk(e) if isinstance(node, Call) and node.function == "sigmoid"}
    opposite = {u: v for u in known for v in known if _is_negative(u) and key(neg(u)) == key(v)}

    def change(node: Expr) -> Expr | None:
        if isinstance(node, Call) and node.function == "sigmoid" and node.arguments[0] in opposite:
            return add(ONE, neg(call("sigmoid", opposite[node.arguments[0]])))
        return None

    return replace(e, change) if opposite else e


def _difference(e: Expr) -> Expr | None:
    """The first pair of terms f sigmoid(u) - f sigmoid(-u) as f tanh(u / 2)."""
    if not isinstance(e, Add):
        return None
    found = [
        (term, f)
        for term in e.terms
        for f in _factors(term)
        if isinstance(f, Call) and f.function == "sigmoid"
    ]
    for term, s in found:
        for other, t in found:
            u, v = s.arguments[0], t.arguments[0]
            if other is term or key(neg(u)) != key(v) or _is_negative(u):
                continue
            rest, left = _without(term, s), _without(other, t)
            if key(neg(rest)) == key(left):
                half = call("tanh", over(u, num(2)))
                return add(*(x for x in e.terms if x not in (term, other)), mul(rest, half))
    return None


def _without(term: Expr, factor: Expr) -> Expr:
    return mul(ONE, *(f for f in _factors(term) if f is not factor))


def _is_negative(e: Expr) -> bool:
    """Whether the expression starts with a minus sign."""
    first = e.terms[0] if isinstance(e, Add) else e
    return isinstance(first, Mul) and isinstance(first.factors[0], Num) and first.factors[0].value < 0


def _factors(e: Expr) -> tuple[Expr, ...]:
    return e.factors if isinstance(e, Mul) else (e,)
