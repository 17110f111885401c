"""What is asked of a line before it is written into another: does it contract, would a product take it apart?"""

from __future__ import annotations

from pullback.expression import ZERO, Access, Bracket, Definition, Expr, Mul, Sum, Tensor, free, tensors, walk


def is_product(e: Expr) -> bool:
    return any(isinstance(node, Sum) for node in walk(e))


def is_whole(e: Expr) -> bool:
    """Whether a product with the value would take it apart: a constant, a product, or blocks side by side."""
    if e is ZERO or _is_delta(e) or _is_separable(e):
        return False  # a delta collapses, and f(i) g(j) leaves a product of vectors
    return not tensors(e) or is_product(e) or all(_is_block(t) for t in getattr(e, "terms", (e,)))


def is_number(made: Definition) -> bool:
    """Whether every entry of a vector is one number, so that a product with it is a sum."""
    return made.tensor.rank < 2 and not free(made.body) and not tensors(made.body)


def _is_delta(e: Expr) -> bool:
    """[i = j] or f(i) [i = j]"""
    factors = e.factors if isinstance(e, Mul) else (e,)
    deltas = [f for f in factors if isinstance(f, Bracket) and f.relation == "==" and not tensors(f)]
    return bool(deltas) and len({index for f in factors if f not in deltas for index in free(f)}) < 2


def _is_separable(e: Expr) -> bool:
    """Whether no factor joins two of the indices: f(i) g(j)."""
    return len(free(e)) > 1 and isinstance(e, Mul) and all(len(free(factor)) <= 1 for factor in e.factors)


def _is_block(term: Expr) -> bool:
    """Whether a bracket of indices alone says where the term stands."""
    factors = term.factors if isinstance(term, Mul) else (term,)
    return any(isinstance(f, Bracket) and not tensors(f) for f in factors)


def contracts(e: Expr, tensor: Tensor) -> bool:
    """Whether entries of the tensor are summed in a product with others."""
    for node in walk(e):
        if isinstance(node, Sum) and isinstance(node.body, Mul):
            read = [f for f in node.body.factors if isinstance(f, Access) and free(f) & set(node.indices)]
            if len(read) > 1 and any(f.tensor is tensor for f in read):
                return True
    return False
