"""Signs read back: where an output was rectified, its sign tells that of what went in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction

from pullback.expression import ZERO, Access, Add, Bracket, Call, Definition, Expr, Mul, Num, Tensor, bracket
from pullback.rulebooks.normal import Powers, Term
from pullback.rulebooks.reuse import Pattern


def signs_of(definitions: Sequence[Definition]) -> list[Pattern]:
    """[u > 0] m = [M > 0], where M = relu(u) m and m is a product of factors that are 0 or 1"""
    bodies = {definition.tensor: definition.body for definition in definitions}
    shown = {definition.tensor for definition in definitions if definition.source}
    found = []
    for definition in definitions:
        body = definition.body
        factors = body.factors if isinstance(body, Mul) else (body,)
        sizes = [f for f in factors if isinstance(f, Call) and f.function == "relu"]
        masks = [f for f in factors if f not in sizes]
        if definition.tensor not in shown or len(sizes) != 1 or not all(_is_mask(f, bodies) for f in masks):
            continue
        (u,) = sizes[0].arguments
        named = isinstance(u, Access) and (u.tensor in shown or u.tensor not in bodies)
        if masks or not named:  # a name is compared itself
            value = bracket(">", Access(definition.tensor, definition.indices), ZERO)
            powers = dict.fromkeys((bracket(">", u, ZERO), *masks), Fraction(1))
            found.append(Pattern(value, definition.indices, Term(Fraction(1), powers)))
    return found


def rectified(definitions: Sequence[Definition]) -> set[Tensor]:
    """The tensors that are nowhere negative because a relu says so."""
    found = set()
    for definition in definitions:
        body = definition.body
        factors = body.factors if isinstance(body, Mul) else (body,)
        if all(isinstance(f, Bracket) or (isinstance(f, Call) and f.function == "relu") for f in factors):
            found.add(definition.tensor)
    return found


def unsigned_by(powers: Powers, nonnegative: Collection[Tensor]) -> Powers:
    """h [h > 0] = h, where h is nowhere negative"""
    kept = dict(powers)
    for base, n in powers.items():
        if n > 0 and isinstance(base, Access) and base.tensor in nonnegative:
            kept.pop(bracket(">", base, ZERO), None)
    return kept


def _is_mask(e: Expr, bodies: Mapping[Tensor, Expr]) -> bool:
    """Whether the value is 0 or 1: a bracket, a tensor of such, or 1 minus one."""
    match e:
        case Bracket():
            return True
        case Access(tensor):
            return "binary" in tensor.facts or (tensor in bodies and isinstance(bodies[tensor], Bracket))
        case Add((Num(one), Mul((Num(minus), inner)))):
            return one == 1 and minus == -1 and _is_mask(inner, bodies)
    return False
