"""Systems solved instead of an inverse formed, where every line that reads the inverse multiplies by it.

Inv = inv(L); dS = Inv.T @ M @ Inv    reads    dS = solve(L.T, solve(L.T, M).T).T
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping

from pullback.cost import Counter, Shape
from pullback.matrix.peephole import polished
from pullback.matrix.syntax import binary, function, negative, transposed

Trees = Mapping[str, ast.expr]


def solved(
    trees: Trees,
    kept: Collection[str],
    shapes: Mapping[str, Shape],
    sizes: Mapping[str, int],
    mirrored: Collection[str] = (),
    systems: Collection[str] = (),
) -> dict[str, ast.expr]:
    """The lines, in their order, without the inverses that cost more than the systems they stand for.

    Lines in `kept` stay, names in `mirrored` are symmetric; `shapes` and `sizes` are typical ones. An inverse
    that is read once stays as well: `dY @ inv(B).T` reads better than a system, unless the program solves with it.
    """
    result = dict(trees)
    for name, tree in trees.items():
        match tree:
            case ast.Call(ast.Name("inv"), [ast.Name(matrix)]) if name not in kept and len(shapes[name]) == 2:
                lines = {key: line for key, line in result.items() if key != name and reads(line, name)}
                solving = _Solving(name, matrix, shapes, sizes, matrix in mirrored)
                changed = {key: solving.changed(line, key in mirrored) for key, line in lines.items()}
                many = matrix in systems or sum(reads(line, name) for line in lines.values()) > 1
                done = many and not any(reads(line, name) for line in changed.values())
                if done and solving.cost(changed) < solving.cost({name: tree, **lines}):
                    result |= changed
                    del result[name]
    return result


def reads(tree: ast.expr, name: str) -> int:
    """How often a name stands in an expression."""
    return sum(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree))


class _Solving(ast.NodeTransformer):
    """Writes a system for each product with one inverse."""

    def __init__(
        self,
        name: str,
        matrix: str,
        shapes: Mapping[str, Shape],
        sizes: Mapping[str, int],
        is_symmetric: bool,
    ) -> None:
        self.name, self.matrix = name, ast.Name(matrix, ast.Load())
        self.mirror = self.matrix if is_symmetric else transposed(self.matrix)
        self.shapes, self.sizes = shapes, sizes

    def changed(self, line: ast.expr, is_mirrored: bool) -> ast.expr:
        new = self.visit(ast.parse(ast.unparse(line), mode="eval").body)
        new = _unturned(new) if is_mirrored else new
        arrays = {key: len(shape) for key, shape in self.shapes.items() if shape}
        return polished(ast.fix_missing_locations(new), arrays)

    def cost(self, lines: Trees) -> int:
        counter = Counter(self.shapes, self.sizes, once=True)
        for line in lines.values():
            counter.visit(line)
        return counter.total

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """inv(A) @ b = solve(A, b), x @ inv(A) = solve(A.T, x), X @ inv(A) = solve(A.T, X.T).T"""
        match node:
            case ast.BinOp(ast.BinOp(first, ast.MatMult(), inner), ast.MatMult(), right) if (
                self._inverted(inner) is not None and self._rank(right) == 1
            ):
                node = ast.BinOp(first, ast.MatMult(), ast.BinOp(inner, ast.MatMult(), right))
        self.generic_visit(node)
        return self._product(node.left, node.right) or node if isinstance(node.op, ast.MatMult) else node

    def _product(self, left: ast.expr, right: ast.expr) -> ast.expr | None:
        match left:
            case ast.UnaryOp(ast.USub(), inner):
                found = self._product(inner, right)
                return None if found is None else negative(found)
            case ast.BinOp(scale, ast.Mult(), inner) if self._rank(scale) == 0:
                found = self._product(inner, right)
                return None if found is None else binary(scale, "*", found)
        matrix = self._inverted(left)
        if matrix is not None:
            return function("solve", matrix, right)
        matrix = self._inverted(right)
        if matrix is None:
            return None
        match self._rank(left):
            case 1:
                return function("solve", self._mirrored(matrix), left)
            case 2:
                return _turned(function("solve", self._mirrored(matrix), _turned(left)))
        return None

    def _inverted(self, node: ast.expr) -> ast.expr | None:
        """The matrix whose inverse, or whose transpose's inverse, this is."""
        match node:
            case ast.Name(text) if text == self.name:
                return self.matrix
            case ast.Attribute(ast.Name(text), "T") if text == self.name:
                return self.mirror
        return None

    def _mirrored(self, matrix: ast.expr) -> ast.expr:
        return self.mirror if matrix is self.matrix else self.matrix

    def _rank(self, node: ast.expr) -> int:
        return len(Counter(self.shapes, self.sizes).visit(node))


def _turned(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Attribute) and node.attr == "T" else transposed(node)


def _unturned(node: ast.expr) -> ast.expr:
    """M for M.T, under a sign and numbers, where the whole is symmetric."""
    match node:
        case ast.Attribute(inner, "T"):
            return inner
        case ast.UnaryOp(ast.USub(), inner):
            return negative(_unturned(inner))
        case ast.BinOp(left, ast.Div(), ast.Constant() as number):
            return binary(_unturned(left), "/", number)
        case ast.BinOp(ast.Constant() as number, ast.Mult(), right):
            return binary(number, "*", _unturned(right))
    return node
