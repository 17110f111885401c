"""Claims whose shapes do not fit: which sizes meet, and the smallest sizes at which they do not."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from pullback.errors import IndexProblem, PullbackError, ShapeProblem
from pullback.evaluator import small_integers
from pullback.expression import ONE, Expr, Num, Size, Tensor
from pullback.reading import read_lines
from pullback.reading.shapes import size_expression
from pullback.reading.syntax import parse
from pullback.sizes import same_size, shape_text, size_text
from pullback.verify.setting import Setting
from pullback.verify.witness import Witness, nested, shape_at, small_sizes

CLASH = "ranges over"  # the reader's words for an index of two sizes


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a claim has no value of the right shape. `claimed` is its shape where it has one."""

    reason: str
    claimed: tuple[Expr, ...] | None = None
    clash: tuple[Expr, Expr] | None = None  # two sizes that meet and are not the same


def is_misfit(error: PullbackError) -> bool:
    """Whether shapes are at fault, so that the claim is wrong; anything else is bad input."""
    return isinstance(error, ShapeProblem) or (isinstance(error, IndexProblem) and CLASH in error.message)


def misfit(setting: Setting, wrt: Tensor, text: str, error: PullbackError) -> Misfit:
    """The innermost part of the claim whose operands do not meet, or the two shapes of the result."""
    _, statements = parse(text)
    above: list[str] = []
    for statement in statements:
        value = getattr(statement, "value", None)
        indexed = any(isinstance(node, ast.Subscript) for node in ast.walk(statement))
        found = _innermost(setting, above, value) if isinstance(value, ast.expr) and not indexed else None
        if found is not None:
            return found
        above.append(ast.unparse(statement))
    last = statements[-1]
    value = last.value if isinstance(last, ast.Assign | ast.Expr) else None
    indexed = isinstance(last, ast.Assign) and isinstance(last.targets[0], ast.Subscript)
    shape = None if value is None or indexed else shape_of(setting, above[:-1], value)
    if shape is None:
        return Misfit(error.message, None, _clash(error.message))
    claim = ast.unparse(value) if value is not None else text
    return Misfit(f"{setting.expected(wrt, shape_words(wrt.shape))}; {claim} is {shape_words(shape)}", shape)


def _clash(message: str) -> tuple[Expr, Expr] | None:
    """The two sizes of an index, from the reader's words."""
    _, word, sizes = message.partition(CLASH)
    if not word:
        return None
    first, second = (ast.parse(text.strip(), mode="eval").body for text in sizes.split(" and over "))
    return size_expression(first, Size), size_expression(second, Size)


def shape_words(shape: Sequence[Expr]) -> str:
    """A shape as it is said: `N×D`, `a vector of N`."""
    return shape_text(shape) if len(shape) != 1 else f"a vector of {size_text(shape[0])}"


def _innermost(setting: Setting, above: Sequence[str], node: ast.expr) -> Misfit | None:
    """The innermost operation whose operands do not meet."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            found = _innermost(setting, above, child)
            if found is not None:
                return found
    if not isinstance(node, ast.BinOp) or shape_of(setting, above, node) is not None:
        return None
    left, right = (shape_of(setting, above, side) for side in (node.left, node.right))
    if left is None or right is None:
        return None
    a, b = ast.unparse(node.left), ast.unparse(node.right)
    said = (
        f"{a} is {shape_words(left)} and {b} is {shape_words(right)}, so {ast.unparse(node)} does not exist"
    )
    if isinstance(node.op, ast.MatMult) and left and right:
        m, n = left[-1], right[max(len(right) - 2, 0)]
        met = f"({shape_text(left)})({shape_text(right)}), {size_text(m)} meets {size_text(n)}"
        return Misfit(f"{said}: {met}", None, (m, n))
    pairs = [(m, n) for m, n in zip(left[::-1], right[::-1], strict=False) if not same_size(m, n)]
    clash = next((pair for pair in pairs if ONE not in pair), None)
    return Misfit(f"{said}: {shape_text(left)} against {shape_text(right)}", None, clash)


def shape_of(setting: Setting, above: Sequence[str], node: ast.expr) -> tuple[Expr, ...] | None:
    """The shape of a part of the claim, or None where it has none of its own."""
    text = "\n".join([*above, f"part_of_claim = {ast.unparse(node)}"])
    try:
        lines = read_lines(
            text,
            setting.known,
            sizes=setting.program.sizes,
            ranges=setting.program.ranges,
            reserved=setting.hidden,
        )
    except PullbackError:
        return None
    return lines[-1].tensor.shape


def shape_witness(setting: Setting, wrt: Tensor, found: Misfit) -> Witness | None:
    """The smallest sizes at which the shapes do not fit, with small integers as inputs."""
    distinct = (world.sizes for world in setting.checker.worlds() if world.kind == "distinct")
    for sizes in chain(small_sizes(setting), distinct):
        if _is_misfit_at(setting, found, wrt, sizes):
            claimed = None if found.claimed is None else shape_at(found.claimed, sizes)
            raw = small_integers(setting.inputs, sizes, np.random.default_rng(1), None, 2)
            inputs = {name: nested(value) for name, value in raw.items()}
            return Witness(dict(sizes), inputs, None, None, None, claimed, shape_at(wrt.shape, sizes))
    return None


def _is_misfit_at(setting: Setting, found: Misfit, wrt: Tensor, sizes: Mapping[str, int]) -> bool:
    """Whether the shapes do not fit at these sizes, rather than by chance."""
    if found.claimed is not None:
        return shape_at(found.claimed, sizes) != shape_at(wrt.shape, sizes)
    if found.clash is not None:
        m, n = shape_at(found.clash, sizes)
        chance = any(k == 1 and not isinstance(e, Num) for k, e in zip((m, n), found.clash, strict=True))
        return m != n and not chance
    values = [sizes[name] for name in setting.program.sizes if name in sizes]
    return len(set(values)) == len(values) and 1 not in values
