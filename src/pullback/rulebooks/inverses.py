"""Inverses in products: what a matrix product that holds one comes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pullback.affine import same
from pullback.expression import (
    Access,
    Definition,
    Element,
    Expr,
    Index,
    Tensor,
    bracket,
    free,
    is_symmetric,
    substitute,
)
from pullback.rulebooks.algebra import OperatorReader
from pullback.rulebooks.normal import Powers, Term, TooManyTerms, expand
from pullback.rulebooks.reuse import Pattern
from pullback.rulebooks.symmetry import (
    inverses_in,
    mirrors,
    renewed_in,
    solves_in,
    through_inverses,
    with_fact,
)

MOST_FACTORS = 6  # of a product whose inverse is taken apart


@dataclass(frozen=True)
class Link:
    """A matrix as a factor of a chain: its entry at (row, column)."""

    entry: Expr
    row: Index
    column: Index

    def at(self, row: Index, column: Index) -> Expr:
        return substitute(self.entry, {self.row: row, self.column: column})


def inverse_laws(definitions: Sequence[Definition], reader: OperatorReader) -> list[Pattern]:
    """What products with the inverses among the definitions come to, those with the most factors first.

    The reader defines the inverse of a factor where nobody has yet.
    """
    known = {definition.tensor: definition for definition in definitions}
    inverses = [d for d in definitions if isinstance(d.body, Element) and d.body.operator == "inv"]
    found: list[Pattern] = []
    for definition in inverses:  # which grows by those of the factors
        if len(definition.indices) != 2:
            continue
        count = len(reader.made)
        found += _of_factor(definition, known, reader)
        for number, scalars, chain in _chains(definition, known):
            found += _identities(_link_of(definition), number, scalars, chain)
            found += _rotations(_link_of(definition), number, scalars, chain, reader)
        inverses += reader.made[count:]
    return sorted(found, key=lambda pattern: -len(pattern.term.powers))


def _of_factor(
    definition: Definition, known: Mapping[Tensor, Definition], read: OperatorReader
) -> Iterator[Pattern]:
    """inv(L).T inv(L) = inv(S), where L is the Cholesky factor of S"""
    e = definition.body
    assert isinstance(e, Element)
    factor = e.bodies[0]
    made = known[factor.tensor].body if isinstance(factor, Access) and factor.tensor in known else None
    if not (isinstance(made, Element) and made.operator == "cholesky" and isinstance(made.bodies[0], Access)):
        return
    inverse = _link_of(definition)
    i, j, k = (Index(f"u{n}_", inverse.row.extent) for n in range(3))
    term = Term(Fraction(1), {inverse.at(k, i): Fraction(1), inverse.at(k, j): Fraction(1)}, (k,))
    yield Pattern(read(Element("inv", (i, j), made.binders, made.bodies, ())), (i, j), term)


class Systems:
    """The inverses and solutions that a program and its gradients hold, and what they show to be symmetric."""

    def __init__(self, forward: Sequence[Definition], backward: Sequence[Definition]) -> None:
        self.inverses = {
            d.tensor.name for d in backward if isinstance(d.body, Element) and d.body.operator == "inv"
        }
        self.adjoints: set[str] = set()  # gradients that are products with one of these inverses
        self._solves = solves_in([*forward, *backward])
        self._inverse_of = inverses_in([*forward, *backward])
        self._renewed: dict[Tensor, Tensor] = {}

    def renewed(self, e: Expr) -> Expr:
        """The expression, with what has been seen to be symmetric said so."""
        return renewed_in(e, self._renewed)

    def published(self, made: Definition) -> Definition:
        """The definition, with the symmetry that its published form shows."""
        tensor = made.tensor
        if tensor.rank == 2 and not is_symmetric(tensor):
            if mirrors(made.indices, through_inverses(made.body, self._solves, self._inverse_of)):
                self._renewed[tensor] = with_fact(tensor, "symmetric")
        return Definition(self._renewed.get(tensor, tensor), made.indices, made.body)


def solutions(definitions: Sequence[Definition]) -> list[Pattern]:
    """Σ_k inv(A)[i,k] b[k] = solve(A, b)[i], where both are defined: the solution may be read instead."""
    inverses = [d for d in definitions if isinstance(d.body, Element) and d.body.operator == "inv"]
    found = []
    for definition in definitions:
        e = definition.body
        if not (isinstance(e, Element) and e.operator == "solve"):
            continue
        for inverse in inverses:
            known = inverse.body
            assert isinstance(known, Element)
            if not _same_matrix(known, e) or len(known.at) != len(inverse.indices):
                continue
            k = Index("k_", e.binders[0][1].extent)
            place = dict(zip(known.at, (e.at[0], k), strict=True))
            entry = Access(inverse.tensor, tuple(place[index] for index in inverse.indices))
            right = substitute(e.bodies[1], dict(zip(e.binders[1], (k, *e.at[1:]), strict=True)))
            term = Term(Fraction(1), {entry: Fraction(1), right: Fraction(1)}, (k,))
            found.append(Pattern(Access(definition.tensor, definition.indices), definition.indices, term))
    return found


def _same_matrix(inverse: Element, solve: Element) -> bool:
    renamed = substitute(inverse.bodies[0], dict(zip(inverse.binders[0], solve.binders[0], strict=True)))
    return renamed is solve.bodies[0]


def _link_of(definition: Definition) -> Link:
    """The defined inverse as a factor: rows and columns are the operator's, whatever the tensor's order."""
    assert isinstance(definition.body, Element)
    row, column = definition.body.at
    assert isinstance(row, Index) and isinstance(column, Index)
    return Link(Access(definition.tensor, definition.indices), row, column)


Chain = tuple[Fraction, Powers, list[Link]]


def _chains(definition: Definition, known: Mapping[Tensor, Definition]) -> Iterator[Chain]:
    """The matrix that is inverted as number × scalars × a product of matrices: as it is named, and written out."""
    e = definition.body
    assert isinstance(e, Element)
    ends, body = e.binders[0], e.bodies[0]
    if free(body) - set(ends):
        return  # a batch of matrices
    written = [body]
    if isinstance(body, Access) and body.tensor in known:
        inner = known[body.tensor]
        written.append(substitute(inner.body, dict(zip(inner.indices, body.slots, strict=True))))
    for form in written:
        chain = _chain(form, ends[0], ends[1])
        if chain is not None:
            yield chain


def _chain(e: Expr, first: Index, last: Index) -> Chain | None:
    try:
        terms = expand(e, lambda _: True)
    except TooManyTerms:
        return None
    if len(terms) != 1 or len(terms[0].bound) >= MOST_FACTORS:
        return None
    (term,) = terms
    scalars = {base: n for base, n in term.powers.items() if not free(base)}
    left = [base for base in term.powers if base not in scalars]
    links: list[Link] = []
    here = first
    while left:
        step = next((base for base in left if here in free(base)), None)
        if step is None or not isinstance(step, Access) or term.powers[step] != 1 or len(step.slots) != 2:
            return None
        others = [slot for slot in step.slots if slot is not here]
        if len(others) != 1 or not isinstance(others[0], Index):
            return None
        links.append(Link(step, here, others[0]))
        left.remove(step)
        here = others[0]
    return (term.coefficient, scalars, links) if links and here is last else None


def _identities(inverse: Link, number: Fraction, scalars: Powers, chain: list[Link]) -> Iterator[Pattern]:
    """inv(A B C) A B C = I, and so for every rotation C inv(A B C) A B = I of square factors"""
    square = _is_square(chain)
    for turn in range(len(chain) + 1):
        if square or turn in (0, len(chain)):
            order = [*chain[turn:], inverse, *chain[:turn]]
            term, row, column = _product(order, number, scalars)
            yield Pattern(bracket("==", row, column), (row, column), term)


def _rotations(
    inverse: Link, number: Fraction, scalars: Powers, chain: list[Link], read: OperatorReader
) -> Iterator[Pattern]:
    """C inv(A B C) A = inv(B), for square matrices: each is invertible where their product is"""
    if len(chain) < 2 or not _is_square(chain):
        return
    for place, link in enumerate(chain):
        order = [*chain[place + 1 :], inverse, *chain[:place]]
        term, row, column = _product(order, number, scalars)
        yield Pattern(_inverse_of(link, row, column, read), (row, column), term)


def _is_square(chain: Sequence[Link]) -> bool:
    size = chain[0].row.extent
    return all(same(end.extent, size) for link in chain for end in (link.row, link.column))


def _product(order: Sequence[Link], number: Fraction, scalars: Powers) -> tuple[Term, Index, Index]:
    """The matrices multiplied in this order as a term, and the indices of its row and column."""
    ends = [Index(f"u{k}_", link.row.extent) for k, link in enumerate(order)]
    ends.append(Index(f"u{len(order)}_", order[-1].column.extent))
    entries = {link.at(ends[k], ends[k + 1]): Fraction(1) for k, link in enumerate(order)}
    return Term(number, {**scalars, **entries}, tuple(ends[1:-1])), ends[0], ends[-1]


def _inverse_of(link: Link, row: Index, column: Index, read: OperatorReader) -> Expr:
    """The entry (row, column) of the inverse of one factor."""
    assert isinstance(link.entry, Access)
    a, b = Index("i", link.row.extent), Index("j", link.column.extent)
    at = (row, column) if link.entry.slots[0] is link.row else (column, row)
    return read(Element("inv", at, ((a, b),), (Access(link.entry.tensor, (a, b)),), ()))
