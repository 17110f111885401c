"""A derivative of a matrix by a matrix as Kronecker products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pullback.expression import (
    Definition,
    Expr,
    Index,
    Sum,
    free,
    mul,
    total,
)
from pullback.rulebooks.normal import TooManyTerms, expand
from pullback.structure.pieces import (
    common,
    connected,
    has_delta,
    joined,
    matrix_text,
    scaled,
    scaled_text,
)


def kronecker(definition: Definition, outputs: int) -> str | None:
    """A derivative of a matrix by a matrix as one matrix over entries that are flattened row by row.

    Each term f[i,k] g[j,l] of D[i,j,k,l] is `kron(f, g)`. None where a term is none.
    """
    if len(definition.indices) != 4 or outputs != 2:
        return None
    try:
        # What holds no bracket stays together, `s * (1 - s)` say, unless it is no product as it stands.
        found = [
            product
            for term in expand(definition.body, lambda e: not has_delta(e))
            for product in _krons(term.expression(), definition.indices)
        ]
    except TooManyTerms:
        return None
    products = [product for product in found if product is not None]
    if not products or len(products) < len(found):
        return None
    texts = [scaled_text(product.scale, str(product)) for product in _gathered(_gathered(products))]
    known = [text for text in texts if text is not None]
    return joined(known) if len(known) == len(texts) else None


class _Product(NamedTuple):
    """`scale * kron(first, second)`; a swapped one is read with its two factors exchanged."""

    scale: Expr
    first: str
    second: str
    swapped: bool = False

    def __str__(self) -> str:
        factors = (self.second, self.first) if self.swapped else (self.first, self.second)
        return f"kron({', '.join(factors)})"


def _gathered(products: Sequence[_Product]) -> list[_Product]:
    """kron(a, c) + kron(b, c) = kron(a + b, c); the result is swapped, for the same law on the other side."""
    groups: dict[str, list[_Product]] = {}
    for product in products:
        groups.setdefault(product.second, []).append(product)
    gathered = []
    for second, group in groups.items():
        scale, rests = common([product.scale for product in group])
        parts = [scaled_text(rest, p.first) for rest, p in zip(rests, group, strict=True)]
        whole = [part for part in parts if part is not None]
        if len(whole) == len(parts):
            gathered.append(_Product(scale, second, joined(whole), not group[0].swapped))
        else:
            gathered += [_Product(p.scale, p.second, p.first, not p.swapped) for p in group]
    return gathered


def _krons(term: Expr, indices: tuple[Index, ...]) -> list[_Product | None]:
    """The term as a Kronecker product, or else each term of what it expands to."""
    whole = _kron(term, indices)
    if whole is not None:
        return [whole]
    return [_kron(part.expression(), indices) for part in expand(term, lambda e: False)]


def _kron(term: Expr, indices: tuple[Index, ...]) -> _Product | None:
    i, j, i2, j2 = indices
    scale, core = scaled(term)
    bound = core.indices if isinstance(core, Sum) else ()
    body = core.body if isinstance(core, Sum) else core
    first: list[Expr] = []
    second: list[Expr] = []
    for factors, labels in connected(body, bound):
        outer = labels - set(bound)
        if not outer:
            scale = mul(scale, _summed(factors, bound))
        elif outer <= {i, i2} and outer:
            first += factors
        elif outer <= {j, j2} and outer:
            second += factors
        else:
            return None
    if not first or not second:
        return None
    f = matrix_text(_summed(first, bound), (i, i2))
    g = matrix_text(_summed(second, bound), (j, j2))
    return None if f is None or g is None else _Product(scale, f, g)


def _summed(factors: Sequence[Expr], bound: Sequence[Index]) -> Expr:
    here: set[Index] = set().union(*(free(factor) for factor in factors)) if factors else set()
    return total([index for index in bound if index in here], mul(*factors))
