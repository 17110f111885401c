"""Products of batches of matrices: `dO @ V.mT` for einsum("bhqd,bhkd->bhqk", dO, V)."""

from __future__ import annotations

import ast

from pullback.matrix.syntax import binary


def in_batches(text: str) -> str:
    """The same value; `mT` is the transpose of the last two axes."""
    if "einsum(" not in text:
        return text
    tree = _Products().visit(ast.parse(text, mode="eval").body)
    return ast.unparse(ast.fix_missing_locations(tree)).replace("'", '"')


class _Products(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.Call(ast.Name("einsum"), [ast.Constant(str() as spec), left, right], []):
                return _product(spec, left, right) or node
        return node


def _product(spec: str, left: ast.expr, right: ast.expr) -> ast.expr | None:
    inputs, output = spec.split("->")
    a, b = inputs.split(",")
    if any(len(set(letters)) < len(letters) for letters in (a, b, output)):
        return None
    batch = len(output) - 2
    if (
        batch < 1
        or len(a) != len(output)
        or len(b) != len(output)
        or not output[:batch] == a[:batch] == b[:batch]
    ):
        return None
    rows, columns = output[-2], output[-1]
    if rows not in a:
        a, b, left, right = b, a, right, left
    summed = set(a) & set(b) - set(output)
    if rows not in a or columns not in b or len(summed) != 1:
        return None
    return binary(_turned(left, a.endswith(rows)), "@", _turned(right, b[-2] == columns))


def _turned(node: ast.expr, turn: bool) -> ast.expr:
    return ast.Attribute(node, "mT", ast.Load()) if turn else node
