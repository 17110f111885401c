"""An estimate of the degree of an expression as a rational function, for the error bound."""

from __future__ import annotations

from collections.abc import Mapping

from pullback.expression import Access, Add, Call, Element, Expr, Mul, Num, Partial, Pow, Sum, children

HIGHEST = 10**6
OPERATOR = 8  # the degree that a tensor operator of small size adds


def degree(e: Expr, bodies: Mapping[str, Expr], depth: int = 60) -> int:
    """An upper estimate of the degree, numerator and denominator together; functions count as atoms."""
    memo: dict[Expr, int] = {}

    def go(node: Expr, left: int) -> int:
        if node not in memo:
            memo[node] = min(HIGHEST, step(node, left))
        return memo[node]

    def step(node: Expr, left: int) -> int:
        match node:
            case Access(tensor, _):
                body = bodies.get(tensor.name)
                return 1 if body is None or not left else go(body, left - 1)
            case Add(terms):
                return sum(go(term, left) for term in terms)
            case Mul(factors):
                return sum(go(factor, left) for factor in factors)
            case Sum(_, body):
                return go(body, left)
            case Pow(base, Num(n)):
                return go(base, left) * max(1, abs(n.numerator), n.denominator)
            case Partial(of, _):
                return 2 * go(of, left)
            case Call(_, arguments):
                return 1 + sum(go(x, left) for x in arguments)
            case Element(_, _, _, bodies_, _):
                return OPERATOR * (1 + sum(go(x, left) for x in bodies_))
        return sum(go(x, left) for x in children(node))

    return go(e, depth)
