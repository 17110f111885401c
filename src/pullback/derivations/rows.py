"""Rows by one index, vectors of ones and the identity: such a side is written out entry by entry.

`q_i` is row i of Q, `Y_i` and `P_{i:}` rows as well; `do_i^T v_j` is Σ_c dO[i,c] V[j,c], `Σ_i x_i g_i^T` has the
entries Σ_i X[i,a] G[i,b], `A^T A + λ I` the entries Σ_c A[c,a] A[c,b] + λ [a = b].
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pullback.derivations.names import Beside, Circled, Dot, Hadamard, Names, item
from pullback.errors import SyntaxProblem
from pullback.functions import FUNCTIONS
from pullback.verify.tree import binary, call, name

ONES: Final = "ONES"
IDENTITY: Final = "I"
LETTERS: Final = "cuvzqhgeops"
WRITTEN: Final = "⟦⟧"  # a matrix by its entries: the indices, and the entry
_WHOLE: Final = frozenset(("det", "logdet", "⁻¹", "inv", "cholesky"))
_ROWWISE: Final = frozenset(("softmax", "log_softmax"))
_REDUCED: Final = frozenset(("trace", "det", "logdet"))


def is_written_out(node: ast.expr, names: Names) -> bool:
    """Whether a side holds a row by its index, ones, or the identity."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and (part.id == ONES or is_identity(part, names)):
            return True
        if isinstance(part, ast.Subscript) and _is_partial(part, names):
            return True
    return False


def is_identity(node: ast.expr, names: Names) -> bool:
    known = IDENTITY in names.ranks or IDENTITY in names.sizes
    return isinstance(node, ast.Name) and node.id == IDENTITY and not known


def _slots(node: ast.Subscript) -> list[ast.expr]:
    return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]


def _is_whole(slot: ast.expr) -> bool:
    return isinstance(slot, ast.Slice) and slot.lower is None and slot.upper is None


def _is_partial(node: ast.Subscript, names: Names) -> bool:
    rank = names.rank_of(node.value)
    slots = _slots(node)
    fixed = [s for s in slots if not _is_whole(s)]
    lettered = any(isinstance(s, ast.Name) and s.id not in names.sizes for s in fixed)
    return rank is not None and lettered and len(fixed) < rank and len(slots) <= rank


@dataclass(slots=True)
class Rows:
    """Writes sides out; `columns` reads `v_j` as column j."""

    names: Names
    columns: bool = False
    used: set[str] = field(default_factory=set)  # letters that mean something already

    def fresh(self) -> str:
        """A letter that means nothing yet."""
        choices: list[str] = [*LETTERS, *(f"{a}{k}" for k in range(1, 9) for a in LETTERS)]
        for letter in choices:
            if letter not in self.used and letter not in self.names.ranks and letter not in self.names.sizes:
                self.used.add(letter)
                return letter
        raise SyntaxProblem("a line with too many indices")

    def left(self, node: ast.expr) -> tuple[ast.expr, list[str]]:
        """A left side with every index written, and the letters that were added."""
        rank = self.rank(node)
        letters = [self.fresh() for _ in range(rank)]
        return self.entry(node, [name(letter) for letter in letters]), letters

    def side(self, node: ast.expr, letters: Sequence[str]) -> ast.expr:
        """A side as the entry with these letters."""
        rank = self.rank(node)
        if rank == 2 and not letters and isinstance(node, ast.BinOp):
            return self._dot(node)  # q_i k_j^T of two rows
        if rank > len(letters):
            raise SyntaxProblem(f"the side has {rank} free axes where {len(letters)} are meant")
        return self.entry(node, [name(letter) for letter in letters[len(letters) - rank :]])

    # ---- ranks

    def rank(self, node: ast.expr) -> int:
        match node:
            case ast.Constant() | ast.Compare():
                return 0
            case ast.Name(id=word):
                if word == ONES:
                    return 1
                return 2 if is_identity(node, self.names) else self.names.rank_of(node) or 0
            case ast.Subscript(value=base):
                whole = sum(not _is_whole(s) for s in _slots(node))
                return max(0, self.rank(base) - whole)
            case ast.UnaryOp(operand=inner) | ast.Attribute(value=inner):
                return self.rank(inner)
            case ast.BinOp(left=a, op=op, right=b):
                return self._product_rank(op, a, b)
            case ast.Call(func=ast.Name(id=word), args=arguments):
                return self._call_rank(word, arguments)
        return 0

    def _call_rank(self, word: str, arguments: Sequence[ast.expr]) -> int:
        if word == "Σ":
            return self.rank(arguments[1])
        if word == "∂":
            return self.rank(arguments[1])
        if word == "∂²":
            return self.rank(arguments[1]) + self.rank(arguments[2])
        if word in ("norm", "sum", "mean", "logsumexp", "max", "min", "inner", *_REDUCED):
            return 0
        if word == "diag":
            return 3 - self.rank(arguments[0])
        return self.rank(arguments[0]) if arguments else 0

    def _product_rank(self, op: ast.operator, a: ast.expr, b: ast.expr) -> int:
        m, n = self.rank(a), self.rank(b)
        if isinstance(op, Beside | Dot | ast.MatMult) and m and n:
            if n == 1 and _is_row(b):
                return 2
            return 0 if m == n == 1 else m + n - 2
        return 2 if isinstance(op, Circled) else max(m, n)

    # ---- entries

    def entry(self, node: ast.expr, at: list[ast.expr]) -> ast.expr:
        """The entry of an expression of as many axes as there are slots."""
        match node:
            case ast.Name(id=word):
                if word == ONES:
                    return ast.Constant(1)
                if is_identity(node, self.names):
                    return ast.Compare(at[0], [ast.Eq()], [at[1]])
                return item(node, at) if at else node
            case ast.Subscript(value=base):
                return self._subscript(node, base, at)
            case ast.Attribute(value=inner):
                return self.entry(inner, at[::-1])
            case ast.UnaryOp(op=op, operand=inner):
                return ast.UnaryOp(op, self.entry(inner, at))
            case ast.BinOp(left=a, op=op, right=b):
                return self._operation(node, op, a, b, at)
            case ast.Call(func=ast.Name(id=word), args=arguments):
                return self._call(node, word, arguments, at)
        return node

    def _subscript(self, node: ast.Subscript, base: ast.expr, at: list[ast.expr]) -> ast.expr:
        slots, rest = _slots(node), list(at)
        rank = self.rank(base)
        if not isinstance(base, ast.Name) and self.rank(base) == len(slots) and not at:
            return self.entry(base, slots)
        written = len(slots) == rank
        made = [rest.pop(0) if _is_whole(slot) else slot for slot in slots]
        if not written:
            made = [*rest, *made] if self.columns else [*made, *rest]
        return item(base, made)

    def _operation(
        self, node: ast.BinOp, op: ast.operator, a: ast.expr, b: ast.expr, at: list[ast.expr]
    ) -> ast.expr:
        m, n = self.rank(a), self.rank(b)
        if isinstance(op, ast.Pow):
            if isinstance(a, ast.Call) and isinstance(a.func, ast.Name) and a.func.id == "norm":
                return self._square(a.args[0])
            return binary(self.entry(a, at), op, b)
        if isinstance(op, Circled) or (isinstance(op, Beside | Dot | ast.MatMult) and m and n):
            return self._product(a, b, m, n, at)
        first, second = (self.entry(side, at[len(at) - r :]) for side, r in ((a, m), (b, n)))
        plain = ast.Mult() if isinstance(op, Beside | Dot | Hadamard | ast.MatMult) else op
        return binary(first, plain, second)

    def _product(self, a: ast.expr, b: ast.expr, m: int, n: int, at: list[ast.expr]) -> ast.expr:
        if n == 1 and _is_row(b):  # an outer product; a matrix in front of it is a column
            first = self.entry(a, [at[0]] if m == 1 else [at[0], ast.Constant(0)])
            return binary(first, ast.Mult(), self.entry(b, [at[1]]))
        if len(at) == 2 and m == n == 1:
            return binary(self.entry(a, [at[0]]), ast.Mult(), self.entry(b, [at[1]]))
        index = self.fresh()
        inner = name(index)
        first = self.entry(a, [*at[: m - 1], inner])
        second = self.entry(b, [inner, *at[m - 1 :]])
        return self._sum(index, binary(first, ast.Mult(), second))

    def _dot(self, node: ast.BinOp) -> ast.expr:
        """`q_i k_j^T` where a number is meant."""
        if self.rank(node.left) != 1 or self.rank(node.right) != 1:
            raise SyntaxProblem("a matrix stands where a number is meant")
        index = self.fresh()
        sides = [self.entry(side, [name(index)]) for side in (node.left, node.right)]
        return self._sum(index, binary(sides[0], ast.Mult(), sides[1]))

    def _square(self, inner: ast.expr) -> ast.expr:
        letters = [self.fresh() for _ in range(self.rank(inner))]
        squared: ast.expr = binary(
            self.entry(inner, [name(letter) for letter in letters]), ast.Pow(), ast.Constant(2)
        )
        for letter in letters:
            squared = self._sum(letter, squared)
        return squared

    def _sum(self, index: str, body: ast.expr) -> ast.expr:
        return call("Σ", ast.List([name(index)], ast.Load()), body)

    def _call(self, node: ast.Call, word: str, arguments: Sequence[ast.expr], at: list[ast.expr]) -> ast.expr:
        if word == "Σ":
            return call("Σ", arguments[0], self.entry(arguments[1], at))
        if word == "∂":
            return call("∂", arguments[0], self.entry(arguments[1], at))
        if word == "∂²":
            of, first, second = arguments
            m = self.rank(first)
            return call("∂²", of, self.entry(first, at[:m]), self.entry(second, at[m:]))
        if word == "inner":
            return self._inner(*arguments)
        if word in FUNCTIONS or word == "sqrt":
            return ast.Call(node.func, [self.entry(arguments[0], at)], node.keywords)
        if not any(is_written_out(part, self.names) for part in arguments):
            return item(node, at) if at else node
        if word in _WHOLE:
            return self._of_matrix(node, at)
        match word, arguments:
            case "norm", [x]:
                return call("sqrt", self._square(x))
            case ("sum", [x]) if not node.keywords:
                letters = [self.fresh() for _ in range(self.rank(x))]
                total = self.entry(x, [name(letter) for letter in letters])
                for letter in letters:
                    total = self._sum(letter, total)
                return total
            case ("trace", [x]):
                letter = self.fresh()
                return self._sum(letter, self.entry(x, [name(letter), name(letter)]))
            case (function, [ast.Subscript(value=ast.Name() as base) as row]) if function in _ROWWISE:
                return item(call(function, base), [*_slots(row), *at])
            case ("logsumexp", [ast.Subscript(value=ast.Name() as base) as row]):
                last = ast.keyword("axis", ast.UnaryOp(ast.USub(), ast.Constant(1)))
                return item(ast.Call(node.func, [base], [last]), _slots(row))
        raise SyntaxProblem(
            f"`{word}` of rows is not read", hint="the matrix form, or every index of an entry: W_ij"
        )

    def _of_matrix(self, node: ast.Call, at: list[ast.expr]) -> ast.expr:
        """`det(I + A^T A)`: of a matrix that gets a line of its own."""
        first, *rest = node.args
        letters = [self.fresh() for _ in range(self.rank(first))]
        body = self.entry(first, [name(letter) for letter in letters])
        matrix = call(WRITTEN, ast.List([name(letter) for letter in letters], ast.Load()), body)
        made = ast.Call(node.func, [matrix, *rest], node.keywords)
        return item(made, at) if at else made

    def _inner(self, a: ast.expr, b: ast.expr) -> ast.expr:
        names = [self.fresh() for _ in range(self.rank(a))]
        letters: list[ast.expr] = [name(each) for each in names]
        total: ast.expr = binary(self.entry(a, list(letters)), ast.Mult(), self.entry(b, list(letters)))
        for each in names:
            total = self._sum(each, total)
        return total


def _is_row(node: ast.expr) -> bool:
    """A vector that is transposed."""
    return isinstance(node, ast.Attribute) and node.attr in ("T", "ᵀ")
