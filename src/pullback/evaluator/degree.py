"""An estimate of the degree of an expression as a rational function, for the error bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pullback.expression import Access, Call, Definition, Element, Expr, Num, Partial, Pow, Sum, children

HIGHEST = 10**6
OPERATOR = 8  # the degree that a tensor operator of small size adds


def degrees(definitions: Iterable[Definition]) -> dict[str, int]:
    """The estimate for each defined tensor, in the order of the definitions."""
    found: dict[str, int] = {}
    for definition in definitions:
        found[definition.tensor.name] = degree(definition.body, found)
    return found


def degree(e: Expr, known: Mapping[str, int]) -> int:
    """An upper estimate, numerator and denominator together; functions count as atoms.

    `known` holds the degrees of defined tensors; any other tensor counts as one variable.
    """
    memo: dict[Expr, int] = {}

    def go(node: Expr) -> int:
        if node not in memo:
            memo[node] = min(HIGHEST, step(node))
        return memo[node]

    def step(node: Expr) -> int:
        match node:
            case Access(tensor, _):
                return 0 if tensor.is_integer else known.get(tensor.name, 1)
            case Sum(_, body):
                return go(body)
            case Pow(base, Num(n)):
                return go(base) * max(1, abs(n.numerator), n.denominator)
            case Partial(of, _):
                return 2 * go(of)
            case Call(_, arguments):
                return 1 + sum(go(x) for x in arguments)
            case Element(_, _, _, bodies, _):
                return OPERATOR * (1 + sum(go(x) for x in bodies))
        return sum(go(x) for x in children(node))

    return go(e)
