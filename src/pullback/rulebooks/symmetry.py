"""Symmetric matrices: which defined ones are, so that S[i,j] and S[j,i] are one entry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace as changed

from pullback.affine import same
from pullback.expression import (
    Access,
    Add,
    Bracket,
    Definition,
    Element,
    Expr,
    Index,
    Tensor,
    add,
    bracket,
    free,
    is_symmetric,
    mul,
    replace,
    substitute,
    total,
)
from pullback.program import Program
from pullback.rulebooks.algebra import key
from pullback.rulebooks.chainrule import settled
from pullback.rulebooks.normal import Term, TooManyTerms, expand
from pullback.rulebooks.reuse import unifications


def with_symmetry(program: Program) -> Program:
    """The program with the fact "symmetric" on every defined matrix whose entry is that of the mirrored place."""
    renewed: dict[Tensor, Tensor] = {}
    definitions: list[Definition] = []
    sums: list[Definition] = []  # of no name of the user's
    solves: dict[Tensor, Definition] = {}
    for definition in program.definitions:
        body = renewed_in(definition.body, renewed)
        body = _named(body if definition.source else settled(body), sums)
        tensor = definition.tensor
        if not is_symmetric(tensor) and mirrors(definition.indices, through_inverses(body, solves, {})):
            renewed[tensor] = with_fact(tensor, "symmetric")
        if isinstance(body, Element) and body.operator == "cholesky":
            renewed[tensor] = with_fact(tensor, "lower_triangular")
        new = renewed.get(tensor, tensor)
        made = Definition(new, definition.indices, body, definition.source, definition.place)
        definitions.append(made)
        solves.update(solves_in([made]))
        if not made.source and isinstance(body, Add):
            sums.append(made)
    return changed(program, definitions=tuple(definitions))


def _named(e: Expr, hidden: Sequence[Definition]) -> Expr:
    """The expression with each sum that a hidden definition holds read from there, so that it is one thing."""

    def change(node: Expr) -> Expr | None:
        for definition in hidden if isinstance(node, Add) else ():
            found = next(unifications(definition.body, node, definition.indices, {}), None)
            if found is not None and len(found) == len(definition.indices):
                return Access(definition.tensor, tuple(found[index] for index in definition.indices))
        return None

    return replace(e, change) if hidden else e


def through_inverses(e: Expr, solves: Mapping[Tensor, Definition], inverses: Mapping[Tensor, Tensor]) -> Expr:
    """solve(S, B)[i,j] = Σ_k inv(S)[i,k] B[k,j], for symmetric matrices S by name.

    `inverses` says by which tensor the inverse of a matrix goes; without one it gets a name of its own.
    """

    def change(node: Expr) -> Expr | None:
        if not isinstance(node, Access) or node.tensor not in solves:
            return None
        made = solves[node.tensor]
        system = made.body
        if not isinstance(system, Element) or not isinstance(system.bodies[0], Access):
            return None
        matrix = system.bodies[0].tensor
        if not is_symmetric(matrix):
            return None
        own = Tensor(f"inv({matrix.name})", matrix.shape, None, frozenset(("symmetric",)))
        place = dict(zip(made.indices, node.slots, strict=True))
        row, *columns = (substitute(at, place) for at in system.at)
        k = Index(f"{made.tensor.name}_", matrix.shape[0])
        right = substitute(system.bodies[1], dict(zip(system.binders[1], (k, *columns), strict=True)))
        return total((k,), mul(Access(inverses.get(matrix, own), (row, k)), right))

    return replace(e, change) if solves else e


def solves_in(definitions: Iterable[Definition]) -> dict[Tensor, Definition]:
    """The definitions that are the solution of a system."""
    return {d.tensor: d for d in definitions if isinstance(d.body, Element) and d.body.operator == "solve"}


def inverses_in(definitions: Iterable[Definition]) -> dict[Tensor, Tensor]:
    """For matrices that have a name, the tensor that holds the inverse."""
    return {
        d.body.bodies[0].tensor: d.tensor
        for d in definitions
        if isinstance(d.body, Element) and d.body.operator == "inv" and isinstance(d.body.bodies[0], Access)
    }


def with_fact(tensor: Tensor, fact: str) -> Tensor:
    """The tensor, with one more fact known of it."""
    return Tensor(tensor.name, tensor.shape, tensor.values, tensor.facts | {fact})


def renewed_in(e: Expr, renewed: Mapping[Tensor, Tensor]) -> Expr:
    """The expression with tensors of which more is known now in the place of the same ones before."""

    def change(node: Expr) -> Expr | None:
        if isinstance(node, Access) and node.tensor in renewed:
            return Access(renewed[node.tensor], node.slots)
        return None

    return replace(e, change) if renewed else e


def mirrors(indices: tuple[Index, ...], body: Expr) -> bool:
    """Whether f(i, j) = f(j, i), as far as the laws of sums and products show it.

    The inverse of a symmetric matrix is symmetric: an element of `inv` is mirrored by its argument.
    """
    if len(indices) != 2 or not same(indices[0].extent, indices[1].extent):
        return False
    if isinstance(body, Element):
        inverse = body.operator == "inv" and set(body.at) == set(indices)
        return inverse and mirrors(body.binders[0][:2], body.bodies[0])
    i, j = indices
    if not {i, j} <= free(body):
        return False
    body = settled(replace(body, _without_equality))
    other = substitute(body, {i: j, j: i})
    return key(body) == key(other) or _same_terms(body, other)


def _without_equality(e: Expr) -> Expr | None:
    """[a >= b] = [a > b] + [a = b], for indices"""
    match e:
        case Bracket(">=" | "<=" as relation, Index() as a, Index() as b):
            return add(bracket(relation[0], a, b), bracket("==", a, b))
    return None


def _same_terms(a: Expr, b: Expr) -> bool:
    """Whether two expressions have the same terms, whatever the order of factors and the names of bound indices."""
    try:
        left, right = ([_on_diagonal(term) for term in expand(e, lambda _: False)] for e in (a, b))
    except TooManyTerms:
        return False
    for term in left:
        found = next((other for other in right if _same_term(term, other)), None)
        if found is None:
            return False
        right.remove(found)
    return not right


def _on_diagonal(term: Term) -> Term:
    """f(i) [i = j] = f(j) [i = j], for indices that no sum binds: the one whose name comes first stands."""
    for base in term.powers:
        match base:
            case Bracket("==", Index() as i, Index() as j) if not {i, j} & set(term.bound):
                low, high = sorted((i, j), key=lambda index: index.name)
                powers = {
                    substitute(factor, {high: low}): n
                    for factor, n in term.powers.items()
                    if factor is not base
                }
                return Term(
                    term.coefficient, {**powers, bracket("==", low, high): term.powers[base]}, term.bound
                )
    return term


def _same_term(a: Term, b: Term) -> bool:
    if a.coefficient != b.coefficient or len(a.bound) != len(b.bound) or len(a.powers) != len(b.powers):
        return False
    return any(True for _ in _pairings(list(a.powers), a, b, {}, ()))


def _pairings(
    bases: list[Expr], a: Term, b: Term, found: dict[Index, Expr], used: tuple[Expr, ...]
) -> Iterator[dict[Index, Expr]]:
    """Every way to lay each factor of `a` on one of its own in `b`, a bound index on a bound one."""
    if not bases:
        if len(set(found.values())) == len(found) and all(index in b.bound for index in found.values()):
            yield found
        return
    for base, n in b.powers.items():
        if base not in used and n == a.powers[bases[0]]:
            for trial in unifications(bases[0], base, a.bound, found):
                yield from _pairings(bases[1:], a, b, trial, (*used, base))
