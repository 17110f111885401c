"""From the syntax tree of a handwritten line to lines of the language: products decided, sums on lines of their own."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from pullback.derivations.names import Beside, Circled, Dot, Hadamard, Names
from pullback.derivations.nodes import (
    applies_function,
    base_and_slots,
    column,
    has_sum,
    in_order,
    is_additive,
    is_derivative,
    is_sum,
    merged,
    with_slots,
)
from pullback.errors import IndexProblem, NameProblem, SyntaxProblem, nearest
from pullback.functions import FUNCTIONS
from pullback.verify.tree import binary, call, name, text_of

_ELEMENTWISE: Final = frozenset(
    {*FUNCTIONS, "sqrt", "softmax", "log_softmax", "cumsum", "tril", "triu", "flip", "roll"}
)
_SCALARS: Final = frozenset(("trace", "det", "logdet"))
_REDUCING: Final = frozenset(("sum", "mean", "max", "min", "prod", "logsumexp", "norm"))


@dataclass(slots=True)
class Lowered:
    """A side of a line in the language: lines above it, and the expression."""

    node: ast.expr
    above: tuple[str, ...]
    ends: dict[str, str] = field(default_factory=dict)  # index -> the size to which its sum was said to run
    explicit: bool = False  # whether sums were written out

    @property
    def text(self) -> str:
        return text_of(self.node)


class Lowering:
    """Lowers the sides of the lines of one derivation; helper lines get names of their own."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.jacobians: dict[
            str, tuple[str, ...]
        ] = {}  # name -> (of, by), or (of, by, by) of a second derivative
        self.count = 0
        self.above: list[str] = []
        self.ends: dict[str, str] = {}
        self.explicit = False
        self.bound: set[str] = set()

    def side(self, node: ast.expr, left: Collection[str] | None = None) -> Lowered:
        """One side of a line. `left` are the indices of its left side, where it has one.

        Raises `IndexProblem` for an index that stands neither on the left nor under a sum.
        """
        self.above, self.ends, self.explicit, self.bound = [], {}, False, set()
        node = merged(node)
        lowered = self.root(node)
        self._check_names(node)
        if left is not None and self.explicit:
            unbound = [i for i in self.indices(lowered) if i not in left and i not in self.bound]
            if unbound:
                what = f"the index {unbound[0]} stands neither on the left nor under a sum"
                raise IndexProblem(what, hint=f"Σ_{unbound[0]}, or the index that is meant")
        return Lowered(lowered, tuple(self.above), dict(self.ends), self.explicit)

    # ---- which names are indices

    def indices(self, node: ast.AST) -> list[str]:
        """The names of indices, in the order of appearance."""
        called = {id(n.func) for n in ast.walk(node) if isinstance(n, ast.Call)}
        found: dict[str, None] = {}
        for part in in_order(node):
            if isinstance(part, ast.Name) and id(part) not in called and not self.is_known(part.id):
                found[part.id] = None
        return list(found)

    def is_known(self, word: str) -> bool:
        names = self.names
        gradient = word[:1] == "d" and word[1:] in names.ranks
        return (
            word in names.ranks or word in names.sizes or word == "pi" or gradient or word in self.jacobians
        )

    def _check_names(self, node: ast.expr) -> None:
        """A name that is nothing known and stands in no slot is a misspelling, not an index."""
        slotted: set[str] = set()
        for part in ast.walk(node):
            match part:
                case ast.Subscript(slice=inside):
                    slotted |= {n.id for n in ast.walk(inside) if isinstance(n, ast.Name)}
                case ast.Compare():
                    slotted |= {n.id for n in ast.walk(part) if isinstance(n, ast.Name)}
                case ast.Call(func=ast.Name(id="Σ"), args=[bound, *_]):
                    slotted |= {n.id for n in ast.walk(bound) if isinstance(n, ast.Name)}
        of = {
            n.id for p in ast.walk(node) if is_derivative(p) for n in ast.walk(p) if isinstance(n, ast.Name)
        }
        for word in self.indices(node):
            if word not in slotted and word not in of:
                close = nearest(word, [*self.names.ranks, *self.names.sizes])
                hint = f"did you mean {close}?" if close else "a shape for it: X: [N, D]"
                raise NameProblem(f"`{word}` is not known here", hint=hint)

    # ---- ranks

    def rank(self, node: ast.expr) -> int:
        """The number of axes of a lowered expression, as far as the notation shows it."""
        match node:
            case ast.Constant() | ast.Compare():
                return 0
            case ast.Name(id=word):
                known = self.names.ranks.get(word)
                if known is None and word[:1] == "d":
                    known = self.names.ranks.get(word[1:])
                return known or 0
            case ast.Subscript(value=base, slice=slots):
                inside = slots.elts if isinstance(slots, ast.Tuple) else [slots]
                return max(0, self.rank(base) - sum(not isinstance(s, ast.Slice) for s in inside))
            case ast.UnaryOp(operand=inner) | ast.Attribute(value=inner):
                return self.rank(inner)
            case ast.BinOp(left=a, op=ast.MatMult(), right=b):
                m, n = self.rank(a), self.rank(b)
                return max(0, m + n - 2) if min(m, n) <= 2 else max(m, n)
            case ast.BinOp(left=a, right=b):
                return max(self.rank(a), self.rank(b))
            case ast.Call(func=ast.Name(id=function), args=[first, *_], keywords=keywords):
                return self._called(function, first, [k.arg for k in keywords])
        return 0

    def _called(self, function: str, first: ast.expr, keywords: Sequence[str | None]) -> int:
        rank = self.rank(first)
        if function in _SCALARS:
            return 0
        if function in _REDUCING:
            return 0 if "axis" not in keywords else rank if "keepdims" in keywords else max(0, rank - 1)
        if function == "diag":
            return 3 - rank
        if function in ("ones", "zeros", "reshape") and isinstance(first, ast.List):
            return len(first.elts)
        return rank if function in _ELEMENTWISE or rank >= 2 else 2

    # ---- nodes

    def root(self, node: ast.expr) -> ast.expr:
        """The whole side: a sum that reaches to its end needs no line of its own."""
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return ast.UnaryOp(ast.USub(), self.root(inner))
            case ast.Call(func=ast.Name(id="Σ")) if not is_additive(node.args[1]) and not has_sum(
                node.args[1]
            ):
                bound, brackets = self._binding(node)
                return self._bracketed(self.lower(node.args[1]), bound, brackets)
            case ast.BinOp(left=a, op=Beside() | Dot() | ast.Mult() as op, right=b) if is_sum(
                b
            ) and not has_sum(a):
                left = self.lower(a)
                inner = self.root(b)
                if self.bound & set(self.indices(left)):
                    raise IndexProblem(
                        "an index of the sum stands in front of it, too", hint="another letter"
                    )
                return self.combined(op, left, inner)
        return self.lower(node)

    def lower(self, node: ast.expr) -> ast.expr:
        match node:
            case ast.Call(func=ast.Name(id="Σ")):
                return self.total(node)
            case ast.Call(func=ast.Name(id="∂"), args=[of, by]):
                return self.derivative(of, by)
            case ast.Call(func=ast.Name(id="⟦⟧"), args=[ast.List(elts=letters), body]):
                slots = ", ".join(text_of(letter) for letter in letters)
                return self._named(self.lower(body), len(letters), f"[{slots}]")
            case ast.Call(func=ast.Name(id="∂²"), args=[of, first, second]):
                return self.second_derivative(of, first, second)
            case ast.Call(func=ast.Name(id="inner"), args=[a, b]):
                return call("sum", binary(self.lower(a), ast.Mult(), self.lower(b)))
            case ast.Call(func=ast.Name(id="⁻¹"), args=[inner]):
                inner = self.lower(inner)
                return call("inv", inner) if self.rank(inner) else binary(ast.Constant(1), ast.Div(), inner)
            case ast.BinOp(left=a, op=op, right=b):
                return self.combined(op, self.lower(a), self.lower(b))
            case ast.Attribute(value=inner):
                return self.transposed(self.lower(inner), node.attr)
            case ast.Subscript(value=base, slice=slots):
                return self.entry(self.lower(base), slots)
            case ast.UnaryOp(op=op, operand=inner):
                return ast.UnaryOp(op, self.lower(inner))
            case ast.Compare(left=left, ops=ops, comparators=rest):
                return ast.Compare(self.lower(left), ops, [self.lower(part) for part in rest])
            case ast.Call(func=ast.Name(id=word), args=arguments, keywords=keywords):
                return self.called(word, [self.lower(part) for part in arguments], keywords)
            case ast.List(elts=elts):
                return ast.List([self.lower(part) for part in elts], ast.Load())
        return node

    def combined(self, op: ast.operator, a: ast.expr, b: ast.expr) -> ast.expr:
        """A product as the ranks of its factors have it."""
        match op:
            case Hadamard():
                return binary(a, ast.Mult(), b)
            case Circled():
                return call("outer" if self.rank(a) == self.rank(b) == 1 else "kron", a, b)
            case Beside() | Dot():
                turned = any(isinstance(side, ast.Attribute) and side.attr == "ᵀ" for side in (a, b))
                if isinstance(b, ast.Attribute) and b.attr == "ᵀ":  # the transpose of a vector
                    b = b.value
                    if self.rank(a) == 1:
                        return call("outer", a, b)
                if isinstance(a, ast.Attribute) and a.attr == "ᵀ":
                    a = a.value
                # `x σ(x)` of two vectors is no matrix product: a function of one number is applied entry by entry.
                apart = isinstance(op, Beside) and self.rank(a) == self.rank(b) == 1 and not turned
                apart = apart and applies_function(a, b)
                whole = self.rank(a) and self.rank(b) and not apart
                return binary(a, ast.MatMult() if whole else ast.Mult(), b)
        return binary(column(a), op, column(b))

    def transposed(self, inner: ast.expr, style: str) -> ast.expr:
        if isinstance(inner, ast.Attribute):
            return inner.value
        if self.rank(inner) == 1 and style == "ᵀ":
            return ast.Attribute(inner, "ᵀ", ast.Load())
        return inner if self.rank(inner) == 0 else ast.Attribute(inner, "T", ast.Load())

    def entry(self, base: ast.expr, slots: ast.expr) -> ast.expr:
        """An entry; one of an expression is read from a line of its own."""
        inside = slots.elts if isinstance(slots, ast.Tuple) else [slots]
        if isinstance(base, ast.Attribute) and len(inside) == 2 and isinstance(base.value, ast.Name):
            return ast.Subscript(base.value, ast.Tuple(inside[::-1], ast.Load()), ast.Load())
        if isinstance(base, ast.Subscript):
            before = base.slice.elts if isinstance(base.slice, ast.Tuple) else [base.slice]
            return ast.Subscript(base.value, ast.Tuple([*before, *inside], ast.Load()), ast.Load())
        if not isinstance(base, ast.Name):
            base = self._named(base, self.rank(base), "")
        if len(inside) != self.rank(base) and any(self.indices(part) for part in inside):
            what = f"{text_of(base)} has {self.rank(base)} axes and {len(inside)} indices here"
            raise SyntaxProblem(what, hint="every index of an entry: W_ij")
        return ast.Subscript(base, slots, ast.Load())

    def called(self, word: str, arguments: list[ast.expr], keywords: list[ast.keyword]) -> ast.expr:
        last = ast.UnaryOp(ast.USub(), ast.Constant(1))
        match word, arguments:
            case "rowsum" | "rowmean", [x]:
                return call(word[3:], x, axis=last, keepdims=ast.Constant(True))
            case "colsum" | "colmean", [x]:
                return call(word[3:], x, axis=ast.Constant(0))
            case "multiply", [a, b]:
                return binary(a, ast.Mult(), b)
            case "matmul" | "dot", [a, b]:
                return binary(a, ast.MatMult(), b)
            case "square", [x]:
                return binary(x, ast.Pow(), ast.Constant(2))
            case "t", [x]:
                return self.transposed(x, "T")
        return ast.Call(name(word), [column(x) for x in arguments], keywords)

    # ---- sums and derivatives

    def total(self, node: ast.Call) -> ast.expr:
        """A sum inside an expression: a line of its own, of the indices that stay free."""
        outside = set(self.bound)
        bound, brackets = self._binding(node)
        body = self._bracketed(self.lower(node.args[1]), bound, brackets)
        self.bound = outside
        free = [index for index in self.indices(body) if index not in bound]
        if is_additive(body):
            body = binary(ast.Constant(1), ast.Mult(), body)
        made = self._named(body, len(free), f"[{', '.join(free)}]" if free else "")
        slots: list[ast.expr] = [name(index) for index in free]
        if not slots:
            return made
        return ast.Subscript(made, slots[0] if len(slots) == 1 else ast.Tuple(slots, ast.Load()), ast.Load())

    def _binding(self, node: ast.Call) -> tuple[list[str], list[ast.expr]]:
        """The indices of a sum, and the conditions under it."""
        self.explicit = True
        bound: list[str] = []
        brackets: list[ast.expr] = []
        assert isinstance(node.args[0], ast.List)
        for part in node.args[0].elts:
            end = None
            if isinstance(part, ast.Tuple):
                part, end = part.elts
            match part:
                case ast.Name(id=index):
                    bound.append(index)
                case ast.Compare(left=ast.Name(id=index), ops=[ast.Eq()]):
                    bound.append(index)
                case ast.Compare(left=ast.Name(id=index)):
                    bound.append(index)
                    brackets.append(part)
                case _:
                    raise SyntaxProblem(
                        f"`{text_of(part)}` names no index of a sum", hint="Σ_k, or Σ_{j <= i}"
                    )
            if end is not None:
                self.ends[bound[-1]] = text_of(end)
        for index in bound:
            if self.is_known(index):
                raise NameProblem(
                    f"`{index}` is no index here: it has another meaning", hint="another letter"
                )
        self.bound |= set(bound)
        return bound, brackets

    def _bracketed(self, body: ast.expr, bound: Sequence[str], brackets: Sequence[ast.expr]) -> ast.expr:
        for bracket in brackets:
            body = binary(body, ast.Mult(), bracket)
        inside = set(self.indices(body))
        for index in bound:
            if index not in inside:
                raise SyntaxProblem(
                    f"the sum over {index} has no term with {index}", hint=f"a factor with {index}"
                )
        return body

    def _named(self, body: ast.expr, rank: int, slots: str) -> ast.expr:
        """A helper line above, and its name."""
        while True:
            self.count += 1
            word = f"part{self.count}"
            if not self.is_known(word):
                break
        self.above.append(f"{word}{slots} = {text_of(body)}")
        self.names.ranks[word] = rank
        return name(word)

    def derivative(self, of: ast.expr, by: ast.expr) -> ast.expr:
        """∂L/∂X is dX; ∂Y/∂X an entry, or all, of the Jacobian."""
        of, by = self.lower(of), self.lower(by)
        top, above = base_and_slots(of)
        bottom, below = base_and_slots(by)
        if self.rank(bottom) == 0 and not self.is_known(text_of(bottom)):
            raise NameProblem(f"`{text_of(bottom)}` is not known here", hint="a derivative is by a tensor")
        if isinstance(top, ast.Name) and self.names.is_loss(top.id) and not above:
            gradient = name(f"{self.names.prefix}{text_of(bottom)}")
            return with_slots(gradient, below)
        pair = (text_of(top), text_of(bottom))
        for word in pair:
            if word not in self.names.ranks:
                raise NameProblem(f"`{word}` is not known here", hint="∂Y/∂X is of a tensor that is defined")
        word = f"d{pair[0]}_by_d{pair[1]}"
        self.jacobians[word] = pair
        m, n = (self.names.ranks[part] for part in pair)
        self.names.ranks[word] = m + n
        if not above and below and m:
            whole = [ast.Slice(None, None, None) for _ in range(m)]
            return with_slots(name(word), [*whole, *below])
        return with_slots(name(word), [*above, *below])

    def second_derivative(self, of: ast.expr, first: ast.expr, second: ast.expr) -> ast.expr:
        """∂²L/∂x∂y: an entry, or all, of the Hessian of the loss."""
        top, above = base_and_slots(self.lower(of))
        sides = [base_and_slots(self.lower(side)) for side in (first, second)]
        names = [text_of(base) for base, _ in sides]
        for word in (text_of(top), *names):
            if word not in self.names.ranks and not self.names.is_loss(word):
                raise NameProblem(
                    f"`{word}` is not known here", hint="∂²L/∂w_i∂w_j is of the loss, by tensors"
                )
        if above:
            raise SyntaxProblem("a second derivative is read of the loss alone", hint="∂²L/∂w_i∂w_j")
        word = f"d2{text_of(top)}_by_d{names[0]}_d{names[1]}"
        self.jacobians[word] = (text_of(top), *names)
        self.names.ranks[word] = sum(self.names.ranks.get(each, 0) for each in names)
        return with_slots(name(word), [*sides[0][1], *sides[1][1]])
