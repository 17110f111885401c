"""The structure of a Jacobian or Hessian, kept in sight: `diag`, `X.T @ diag(s) @ X`, Kronecker products.

What is shown here is a way to write the same equation; what runs may be written otherwise.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pullback.cost import tokens
from pullback.expression import (
    ONE,
    Add,
    Bracket,
    Definition,
    Expr,
    Index,
    Mul,
    Num,
    Sum,
    Tensor,
    add,
    free,
    mul,
    power,
    total,
    walk,
)
from pullback.matrix import matrix_line
from pullback.rewriting import MatrixLine
from pullback.rulebooks.normal import TooManyTerms, expand


def structured(definition: Definition) -> MatrixLine | None:
    """The line that shows the structure of a square result, None where the plain matrix line shows it."""
    if len(definition.indices) != 2:
        return None
    plain = matrix_line(definition)
    for written in (_congruences(definition), _expanded(definition, plain), _scaled_rows(definition, plain)):
        if written is not None:
            return MatrixLine(definition.tensor.name, written)
    return None


def transposed(definition: Definition, line: MatrixLine) -> MatrixLine:
    """The line, or where that reads shorter, the transpose of the line for the mirrored place."""
    if len(definition.indices) != 2:
        return line
    mirrored = matrix_line(Definition(definition.tensor, definition.indices[::-1], definition.body))
    if mirrored is None:
        return line
    match ast.parse(mirrored.text, mode="eval").body:
        case ast.BinOp(ast.Constant() as number, ast.Mult(), rest):
            text = f"{ast.unparse(number)} * {_tight(ast.unparse(rest))}.T"
        case _:
            text = f"{_tight(mirrored.text)}.T"
    return MatrixLine(line.target, text) if tokens(text) < tokens(line.text) else line


def _scaled_rows(definition: Definition, plain: MatrixLine | None) -> str | None:
    """s[i] A[i,j] as `diag(s) @ A`, and A[i,j] s[j] as `A @ diag(s)`, where that is no longer."""
    i, j = definition.indices
    groups = _grouped(definition.body, ({i, j}, {i}, {j}))
    if groups is None or (groups[1] is ONE) == (groups[2] is ONE) or groups[0] is ONE:
        return None
    matrix, rows, columns, number = groups
    a, s = _text(matrix, (i, j)), _text(rows, (i,)) if columns is ONE else _text(columns, (j,))
    if a is None or s is None or number is not ONE:
        return None
    text = f"diag({s}) @ {_tight(a)}" if columns is ONE else f"{_tight(a)} @ diag({s})"
    return text if plain is None or tokens(text) < tokens(plain.text) else None


def _expanded(definition: Definition, plain: MatrixLine | None) -> str | None:
    """Brackets multiplied out, where that is no longer: `diag(y) - outer(y, y)`."""
    try:
        terms = expand(definition.body, lambda e: not _has_delta(e))
    except TooManyTerms:
        return None
    body = add(*(term.expression() for term in terms))
    line = matrix_line(Definition(definition.tensor, definition.indices, body))
    if line is None or (plain is not None and tokens(line.text) >= tokens(plain.text)):
        return None
    return line.text


def _has_delta(e: Expr) -> bool:
    return any(isinstance(node, Bracket) for node in walk(e))


# ---- congruences ----------------------------------------------------------------------------


def _congruences(definition: Definition) -> str | None:
    """Every term Σ_n A[n,i] s[n] B[n,j] as `A.T @ diag(s) @ B`; None where no term is one."""
    terms = definition.body.terms if isinstance(definition.body, Add) else (definition.body,)
    texts: list[str] = []
    found = False
    for term in terms:
        text = _congruence(term, definition.indices)
        found = found or text is not None
        if text is None:
            text = _text(term, definition.indices)
        if text is None:
            return None
        texts.append(text)
    if not found:
        return None
    return _joined(texts)


def _joined(texts: Sequence[str]) -> str:
    result = texts[0]
    for text in texts[1:]:
        result += f" - {text[1:]}" if text.startswith("-") else f" + {text}"
    return result


def _congruence(term: Expr, indices: tuple[Index, ...]) -> str | None:
    scale, core = _scaled(term)
    if not (isinstance(core, Sum) and len(core.indices) == 1):
        return None
    (n,) = core.indices
    i, j = indices
    groups = _grouped(core.body, ({i, n}, {n, j}, {n}))
    if groups is None or any(group is ONE for group in groups[:3]):
        return None
    left, right, weight, number = groups
    inner = (Index("n_", n.extent),) if n in indices else (n,)
    texts = [_text(left, (i, *inner)), _text(weight, inner), _text(right, (*inner, j))]
    if any(text is None for text in texts):
        return None
    a, s, b = (text or "" for text in texts)
    product = f"{_tight(a)} @ diag({s}) @ {_tight(b)}"
    number = mul(scale, number)
    if number is ONE:
        return product
    if number is Num(-ONE.value):
        return "-" + product
    factor = _text(number, ())
    return None if factor is None else f"{_tight(factor)} * ({product})"


def _scaled(term: Expr) -> tuple[Expr, Expr]:
    """The factors without indices in front of a sum, and the sum."""
    if not isinstance(term, Mul):
        return ONE, term
    outer = [factor for factor in term.factors if not free(factor)]
    return mul(*outer), mul(*(factor for factor in term.factors if free(factor)))


def _grouped(body: Expr, kinds: Sequence[set[Index]]) -> list[Expr] | None:
    """The factors by the indices that they have: one product for each kind, then those without any."""
    factors = body.factors if isinstance(body, Mul) else (body,)
    found: list[list[Expr]] = [[] for _ in range(len(kinds) + 1)]
    for factor in factors:
        here = set(free(factor))
        place = next((k for k, kind in enumerate(kinds) if here == kind), None)
        if place is None and here:
            place = next((k for k, kind in enumerate(kinds) if here <= kind), None)
        if place is None:
            if here:
                return None
            place = len(kinds)
        found[place].append(factor)
    return [mul(*group) for group in found]


def _text(e: Expr, indices: tuple[Index, ...]) -> str | None:
    """An expression in matrix notation."""
    line = matrix_line(Definition(Tensor("_", tuple(i.extent for i in indices)), indices, e))
    return None if line is None else line.text


def _tight(text: str) -> str:
    """In parentheses where a product around it would bind tighter."""
    node = ast.parse(text, mode="eval").body
    loose = isinstance(node, ast.BinOp | ast.UnaryOp | ast.Compare) and not (
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)
    )
    return f"({text})" if loose else text


# ---- Kronecker products -----------------------------------------------------------------------


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
            for term in expand(definition.body, lambda e: not _has_delta(e))
            for product in _krons(term.expression(), definition.indices)
        ]
    except TooManyTerms:
        return None
    products = [product for product in found if product is not None]
    if not products or len(products) < len(found):
        return None
    texts = [_scaled_text(product.scale, str(product)) for product in _gathered(_gathered(products))]
    known = [text for text in texts if text is not None]
    return _joined(known) if len(known) == len(texts) else None


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
        scale = group[0].scale
        if any(product.scale not in (scale, mul(Num(-ONE.value), scale)) for product in group):
            scale = ONE
        parts = [
            product.first
            if product.scale is scale
            else _scaled_text(mul(product.scale, power(scale, Num(-ONE.value))), product.first)
            for product in group
        ]
        whole = [part for part in parts if part is not None]
        if len(whole) == len(parts):
            gathered.append(_Product(scale, second, _joined(whole), not group[0].swapped))
        else:
            gathered += [_Product(p.scale, p.second, p.first, not p.swapped) for p in group]
    return gathered


def _scaled_text(scale: Expr, text: str) -> str | None:
    if scale is ONE:
        return text
    if scale is Num(-ONE.value):
        return f"-{_tight(text)}"
    number = _text(scale, ())
    if number is None:
        return None
    sums = isinstance(node := ast.parse(number, mode="eval").body, ast.BinOp) and isinstance(
        node.op, ast.Add | ast.Sub
    )
    return f"({number}) * {_tight(text)}" if sums else f"{number} * {_tight(text)}"


def _krons(term: Expr, indices: tuple[Index, ...]) -> list[_Product | None]:
    """The term as a Kronecker product, or else each term of what it expands to."""
    whole = _kron(term, indices)
    if whole is not None:
        return [whole]
    return [_kron(part.expression(), indices) for part in expand(term, lambda e: False)]


def _kron(term: Expr, indices: tuple[Index, ...]) -> _Product | None:
    i, j, i2, j2 = indices
    scale, core = _scaled(term)
    bound = core.indices if isinstance(core, Sum) else ()
    body = core.body if isinstance(core, Sum) else core
    first: list[Expr] = []
    second: list[Expr] = []
    for factors, labels in _connected(body, bound):
        outer = labels - set(bound)
        if not labels:
            scale = mul(scale, *factors)
        elif outer <= {i, i2} and outer:
            first += factors
        elif outer <= {j, j2} and outer:
            second += factors
        else:
            return None
    if not first or not second:
        return None
    f = _text(_summed(first, bound), (i, i2))
    g = _text(_summed(second, bound), (j, j2))
    return None if f is None or g is None else _Product(scale, f, g)


def _summed(factors: Sequence[Expr], bound: Sequence[Index]) -> Expr:
    here: set[Index] = set().union(*(free(factor) for factor in factors)) if factors else set()
    return total([index for index in bound if index in here], mul(*factors))


def _connected(body: Expr, bound: Iterable[Index]) -> list[tuple[list[Expr], set[Index]]]:
    """The factors in groups that share bound indices."""
    inside = set(bound)
    groups: list[tuple[list[Expr], set[Index]]] = []
    for factor in body.factors if isinstance(body, Mul) else (body,):
        members, labels = [factor], set(free(factor))
        rest = []
        for other in groups:
            if other[1] & labels & inside:
                members, labels = [*other[0], *members], labels | other[1]
            else:
                rest.append(other)
        groups = [*rest, (members, labels)]
    return groups
