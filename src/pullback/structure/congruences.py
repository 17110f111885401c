"""Sums between two matrices: `A.T @ diag(s) @ B`, `A.T @ (diag(p) - outer(p, p)) @ A`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pullback.expression import (
    MINUS_ONE,
    ONE,
    Add,
    Definition,
    Equation,
    Expr,
    Index,
    Mul,
    Sum,
    add,
    flattened,
    free,
    mul,
    neg,
    num,
    tensors,
    terms_of,
    walk,
)
from pullback.notation import left_side
from pullback.program import inlined
from pullback.rewriting import Step
from pullback.rulebooks.algebra import coefficient
from pullback.rulebooks.alternatives import positive
from pullback.rulebooks.denominators import cleared
from pullback.rulebooks.factoring import factored, parts_of, shared_scale
from pullback.rulebooks.normal import Term, TooManyTerms, expand
from pullback.structure.pieces import (
    common,
    connected,
    grouped,
    joined,
    matrix_text,
    scaled,
    scaled_text,
    tight,
    times,
)


class _Congruence(NamedTuple):
    """`scale * left @ middle @ right`; without a middle it is a product of two matrices."""

    scale: Expr
    left: str
    middle: str | None
    right: str
    extent: Expr

    def __str__(self) -> str:
        middle = "" if self.middle is None else f"{tight(self.middle)} @ "
        product = f"{tight(self.left)} @ {middle}{tight(self.right)}"
        if self.scale is ONE:
            return product
        if self.scale is MINUS_ONE:
            return f"-{product}"
        return times(matrix_text(self.scale, ()) or "", product)


def congruences(definition: Definition) -> str | None:
    """Terms Σ_n A[n,i] s[n] B[n,j] as `A.T @ diag(s) @ B`, several between the same matrices gathered.

    Σ_n A[n,i] p[n] Σ_m q[m] B[m,j] is `A.T @ outer(p, q) @ B`. None where there is neither.
    """
    terms = terms_of(definition.body)
    found = _read_congruences(terms, definition.indices)
    if found is None or not any(map(_shows, found)):
        try:
            expanded = expand(definition.body, lambda e: False)
        except TooManyTerms:
            return None
        found = _read_congruences([term.expression() for term in expanded], definition.indices)
    gathered = [] if found is None else _gathered_congruences(found)
    if not any(map(_shows, gathered)) or len(gathered) > len(terms):
        return None
    return joined([str(part) for part in gathered])


def _shows(part: _Congruence | str) -> bool:
    """Whether it is more than a product, and more than one outer product."""
    return isinstance(part, _Congruence) and bool(part.middle) and not str(part.middle).startswith("outer(")


def _read_congruences(terms: Sequence[Expr], indices: tuple[Index, ...]) -> list[_Congruence | str] | None:
    """Each term as a congruence or as text; None where a term is neither."""
    found: list[_Congruence | str] = []
    for term in terms:
        part = _congruence(term, indices) or matrix_text(term, indices)
        if part is None:
            return None
        found.append(part)
    return found


def _gathered_congruences(parts: Sequence[_Congruence | str]) -> list[_Congruence | str]:
    """A M B + A N B = A (M + N) B. An outer product alone is no reason to write one."""
    groups: dict[tuple[str, str], list[_Congruence]] = {}
    for part in parts:
        if isinstance(part, _Congruence):
            groups.setdefault((part.left, part.right), []).append(part)
    made: list[_Congruence | str] = []
    for part in parts:
        if isinstance(part, str):
            made.append(part)
            continue
        group = groups.pop((part.left, part.right), [])
        if len(group) > 1:
            scale, rests = common([other.scale for other in group])
            middles = [_middle(other, rest) for other, rest in zip(group, rests, strict=True)]
            middles.sort(key=lambda text: text.startswith("-"))
            made.append(_Congruence(scale, part.left, joined(middles), part.right, part.extent))
        elif group:
            made.append(part)
    return made


def _middle(part: _Congruence, scale: Expr) -> str:
    middle = part.middle or f"eye({matrix_text(part.extent, ())})"
    return scaled_text(scale, middle) or middle


def _congruence(term: Expr, indices: tuple[Index, ...]) -> _Congruence | None:
    scale, core = scaled(term)
    if isinstance(core, Sum) and len(core.indices) == 1:
        return _weighted(scale, core, indices)
    return _of_vectors(scale, core, indices)


def _weighted(scale: Expr, core: Sum, indices: tuple[Index, ...]) -> _Congruence | None:
    """Σ_n A[i,n] s[n] B[n,j]."""
    (n,) = core.indices
    i, j = indices
    groups = grouped(core.body, ({i, n}, {n, j}, {n}))
    if groups is None or set(free(groups[0])) != {i, n} or set(free(groups[1])) != {n, j}:
        return None
    left, right, weight, number = groups
    if any(isinstance(node, Sum) for e in (left, right) for node in walk(e)):
        return None
    inner = (_apart(n, indices),)
    scale, weight = _factored_weight(mul(scale, number), weight)
    a, s, b = matrix_text(left, (i, *inner)), matrix_text(weight, inner), matrix_text(right, (*inner, j))
    if a is None or s is None or b is None or matrix_text(scale, ()) is None:
        return None
    return _Congruence(scale, a, None if weight is ONE else f"diag({s})", b, n.extent)


def _factored_weight(scale: Expr, weight: Expr) -> tuple[Expr, Expr]:
    """A sum on the diagonal as a product, over one denominator: `p * (1 - p)`; its number goes in front."""
    if not isinstance(weight, Add):
        return scale, weight
    try:
        whole = cleared(factored(parts_of(_terms(weight))))
        factors = whole.factors if isinstance(whole, Mul) else (whole,)
        split = [shared_scale(parts_of(_terms(f))) if isinstance(f, Add) else (ONE, [f]) for f in factors]
    except TooManyTerms:
        return scale, weight
    number, letters = coefficient(scale)
    core = mul(*(mul(front, add(*rests)) for front, rests in split))
    value, core = coefficient(mul(num(number), core))
    if value < 0:
        sign, core = coefficient(positive(neg(core)))
        value = -value * sign
    return mul(num(value), letters), core


def _terms(e: Add) -> list[Term]:
    return [term for part in e.terms for term in expand(part, lambda _: True)]


def _of_vectors(scale: Expr, core: Expr, indices: tuple[Index, ...]) -> _Congruence | None:
    """(Σ_n A[i,n] p[n]) (Σ_m q[m] B[m,j])."""
    bound, factors = flattened(core)
    if len(set(bound)) < len(bound):
        return None
    scale = mul(scale, *(factor for factor in factors if not free(factor)))
    factors = [factor for factor in factors if free(factor)]
    sides = []
    for place, (members, labels) in zip(indices, _by_place(factors, bound, indices), strict=False):
        inside = tuple(index for index in bound if index in labels)
        groups = grouped(mul(*members), ({place, *inside}, set(inside)))
        if len(inside) != 1 or groups is None or groups[0] is ONE or groups[1] is ONE:
            return None
        scale = mul(scale, groups[2])
        inner = (_apart(inside[0], indices),)
        matrix = matrix_text(groups[0], (place, *inner) if place is indices[0] else (*inner, place))
        vector = matrix_text(groups[1], inner)
        if matrix is None or vector is None:
            return None
        sides.append((matrix, vector, inner[0].extent))
    if len(sides) != 2:
        return None
    (a, p, extent), (b, q, other) = sides
    if extent is not other or matrix_text(scale, ()) is None:
        return None
    return _Congruence(scale, a, f"outer({p}, {q})", b, extent)


def _by_place(
    factors: Sequence[Expr], bound: Sequence[Index], indices: tuple[Index, ...]
) -> list[tuple[list[Expr], set[Index]]]:
    """The factors that belong to the first index, and to the second; none where they do not part so."""
    groups = connected(mul(*factors), bound)
    found = [[group for group in groups if group[1] - set(bound) == {index}] for index in indices]
    rest = [group for group in groups if len(group[1] - set(bound)) != 1]
    return [] if rest or any(len(part) != 1 for part in found) else [part[0] for part in found]


def _apart(index: Index, indices: tuple[Index, ...]) -> Index:
    return Index("n_", index.extent) if index in indices else index


def with_jacobians(
    made: Definition, published: Mapping[str, Definition], steps: dict[str, list[Step]]
) -> Definition:
    """A result with the Jacobians that it reads written in, as that of a softmax, where that shows its structure."""
    parts = [published[t.name] for t in tensors(made.body) if t.name.startswith("J_") and t.name in published]
    if not parts or made.tensor.rank != 2 or congruences(made) is not None:
        return made
    whole = inlined([*parts, made])
    if congruences(whole) is None:
        return made
    left = left_side(made)
    note = f"with {', '.join(part.tensor.name for part in parts)} written out"
    step = Step("write out", Equation(left, made.body), Equation(left, whole.body), note)
    steps.setdefault(made.tensor.name, []).append(step)
    return whole
