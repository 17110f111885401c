"""A line of a derivation as a syntax tree: Python's nodes, and a few that Python lacks.

`Call(Name("Σ"), [List(indices), body])` is a sum (an index may stand in a pair with its end),
`Call(Name("∂"), [of, by])` a derivative, `Call(Name("⁻¹"), [A])` an inverse, `ᵀ` a transpose that makes a row.
Products that are not yet decided carry the operators of `names`.
"""

from __future__ import annotations

import ast
import re
from typing import Final

from pullback.derivations.derivatives import DerivativeGrammar
from pullback.derivations.handwriting import Token, tokens
from pullback.derivations.names import ALIASES, CALLED, Beside, Circled, Dot, Hadamard, Names, item
from pullback.derivations.nodes import called, from_one, is_tensor, rooted
from pullback.errors import LimitProblem, SyntaxProblem
from pullback.verify.tree import binary, call, name

DEEPEST: Final = 40
PREFIXED: Final = frozenset(("sqrt", "log", "exp", "tanh", "trace", "det", "sin", "cos"))
KEYWORDS: Final = frozenset(
    ("axis", "keepdims", "k", "stride", "padding", "dilation", "groups", "shift", "dim")
)
_PRODUCTS: Final[dict[str, type[ast.operator]]] = {
    "*": ast.Mult, "@": ast.MatMult, "/": ast.Div, "//": ast.FloorDiv, "%": ast.Mod, "·": Dot, "∘": Hadamard,
    ".*": Hadamard, "⊗": Circled,
}  # fmt: skip
_RELATIONS: Final[dict[str, type[ast.cmpop]]] = {
    "=": ast.Eq, "==": ast.Eq, "!=": ast.NotEq, "<": ast.Lt, "<=": ast.LtE, ">": ast.Gt, ">=": ast.GtE,
}  # fmt: skip


def read_sides(text: str, names: Names) -> list[ast.expr]:
    """The sides of a chain of equalities. Raises `SyntaxProblem` for text that is no mathematics."""
    grammar = Grammar(tokens(text), names)
    sides = [grammar.additive()]
    while grammar.take("=", ":=", "=="):
        sides.append(grammar.additive())
    grammar.finished()
    return sides


def read_condition(text: str, names: Names) -> ast.expr:
    """A comparison, such as `i = k`."""
    grammar = Grammar(tokens(text), names)
    found = grammar.expression()
    grammar.finished()
    return found


class Grammar(DerivativeGrammar):
    """A parser by precedence; what a word means depends on the names that are known."""

    def __init__(self, found: list[Token], names: Names) -> None:
        super().__init__(found, names)
        self.depth = 0
        self.barred = False  # whether a norm is open, so that || closes it

    # ---- by precedence

    def expression(self) -> ast.expr:
        """A sum, or a comparison of sums."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise LimitProblem(f"brackets nest more than {DEEPEST} deep", hint="name a part on its own line")
        left = self.additive()
        ops: list[ast.cmpop] = []
        rest: list[ast.expr] = []
        while relation := self.take(*_RELATIONS):
            ops.append(_RELATIONS[relation]())
            rest.append(self.additive())
            if relation == "=" and isinstance(left, ast.Name) and left.id not in self.names.sizes:
                rest[-1] = from_one(rest[-1])  # [i = 1] counts from 1, as people write it
        self.depth -= 1
        return ast.Compare(left, ops, rest) if ops else left

    def additive(self) -> ast.expr:
        left = self.signed()
        while op := self.take("+", "-"):
            left = binary(left, ast.Add() if op == "+" else ast.Sub(), self.signed())
        return left

    def signed(self) -> ast.expr:
        if self.take("-"):
            return ast.UnaryOp(ast.USub(), self.signed())
        self.take("+")
        return self.product()

    def product(self) -> ast.expr:
        left = self.factor()
        while True:
            op = self.take(*_PRODUCTS)
            if op:
                left = binary(left, _PRODUCTS[op](), self.factor())
            elif self.begins_factor():
                left = binary(left, Beside(), self.factor())
            else:
                return left

    def begins_factor(self) -> bool:
        token = self.next
        if token.kind in ("name", "sum", "number"):
            return True
        if token.text == "||":
            return not self.barred
        return token.kind == "op" and token.text in ("(", "[", "{", "∂", "∇", "δ")

    def factor(self) -> ast.expr:
        if self.take("-"):
            return ast.UnaryOp(ast.USub(), self.factor())
        base = self.postfix()
        if self.take("**") or self.take("^"):
            return binary(base, ast.Pow(), self.factor())
        return base

    def postfix(self) -> ast.expr:
        return self.endings(self.primary())

    def endings(self, base: ast.expr, *, powers: bool = True) -> ast.expr:
        """Subscripts, superscripts, transposes and methods that follow."""
        while True:
            token = self.next
            if token.kind == "sub":
                base = self.subscript(base)
            elif token.kind == "sup" and powers:
                base = self.superscript(base)
            elif token.kind == "method" and powers:
                base = self.method(base)
            elif token.kind == "op" and token.text == "[" and not token.spaced and is_tensor(base):
                self.at += 1
                base = item(base, self.slots())
            elif powers and token.text == ".T":
                self.at += 1
                base = ast.Attribute(base, "T", ast.Load())
            elif powers and token.text == "'" and not token.spaced:
                self.at += 1
                base = ast.Attribute(base, "ᵀ", ast.Load())
            else:
                return base

    def slots(self) -> list[ast.expr]:
        found = [self.slot()]
        while self.take(","):
            found.append(self.slot())
        self.demand("]")
        return found

    def slot(self) -> ast.expr:
        parts: list[ast.expr | None] = []
        while True:
            here = self.next.text
            parts.append(None if here in (":", ",", "]") else self.expression())
            if not self.take(":"):
                break
        if len(parts) == 1:
            if parts[0] is None:
                raise SyntaxProblem("an index is missing between the brackets", hint="W[i,j]")
            return parts[0]
        return ast.Slice(*parts[:3])

    def subscript(self, base: ast.expr) -> ast.expr:
        written = self.next.text
        self.at += 1
        content = written[2:-1] if written.startswith("_{") else written[1:]
        if isinstance(base, ast.Call) and content in ("F", "2"):
            return base  # the Frobenius norm, the 2-norm
        row = re.fullmatch(r"\s*(?:(\w)\s*,?\s*:|:\s*,?\s*(\w))\s*", content)
        if row is not None:  # P_{i:} is row i
            whole = ast.Slice(None, None, None)
            return item(base, [name(row[1]), whole] if row[1] else [whole, name(row[2])])
        if isinstance(base, ast.Name) and self.names.rank_of(base) is None and content.isalpha():
            base = self.names.meaning(f"{base.id}_{content}") or base
            if isinstance(base, ast.Subscript):
                return base
        if content.replace(" ", "").isalnum():
            entry = self.names.entry(base, content.replace(" ", ""))
            if entry is not None:
                return entry
            if isinstance(base, ast.Name) and self.names.rank_of(base) is None:
                return self.names.meaning(f"{base.id}{content}") or name(f"{base.id}{content}")
        inner = Grammar(tokens(f"[{content}]"), self.names)
        inner.demand("[")
        found = [from_one(slot) for slot in inner.slots()]
        inner.finished()
        return item(base, found)

    def superscript(self, base: ast.expr) -> ast.expr:
        content = self.next.text.strip("^{}").strip()
        self.at += 1
        if content in ("T", "t"):
            return ast.Attribute(base, "ᵀ", ast.Load())
        if content == "-1":
            return call("⁻¹", base)
        if content == "-T":
            return ast.Attribute(call("⁻¹", base), "ᵀ", ast.Load())
        if isinstance(base, ast.Name) and base.id == "e" and self.names.meaning("e") is None:
            inner = Grammar(tokens(content), self.names)
            return call("exp", inner.additive())
        squared = rooted(base, self.names.squares.values())
        if content == "2" and squared is not None:
            return squared
        inner = Grammar(tokens(content), self.names)
        exponent = inner.additive()
        inner.finished()
        return binary(base, ast.Pow(), exponent)

    def method(self, base: ast.expr) -> ast.expr:
        """`dY.sum(0)` is `sum(dY, axis=0)`."""
        word = self.next.text[1:]
        self.at += 1
        self.demand("(")
        arguments, keywords = self.arguments()
        if word in ("t", "transpose") and not arguments:
            return ast.Attribute(base, "T", ast.Load())
        if word not in CALLED:
            raise SyntaxProblem(f"`.{word}()` is not known", hint="functions stand in front: sum(X, axis=0)")
        return called(word, [base, *arguments], keywords)

    # ---- what a factor begins with

    def primary(self) -> ast.expr:
        token = self.next
        self.at += 1
        match token.kind, token.text:
            case "number", text:
                return ast.Constant(float(text) if any(c in text for c in ".eE") else int(text))
            case "string", text:
                return ast.Constant(text[1:-1])
            case "sum", _:
                return self.total()
            case "name", word:
                return self.word(word)
            case "op", "(" | "{" as opened:
                inside = self.expression()
                self.demand(")" if opened == "(" else "}")
                return inside
            case "op", "[":
                return self.bracketed()
            case "op", "||" | "|" as bar:
                self.barred = True
                inside = self.additive()
                self.barred = False
                self.demand(bar)
                return call("norm" if bar == "||" else "abs", inside)
            case "op", "∂":
                return self.derivative()
            case "op", "∇":
                return self.nabla()
            case "op", "δ":
                return self.kronecker()
        shown = token.text or "the end of the line"
        raise SyntaxProblem(f"a name, a number or a bracket is expected before `{shown}`")

    def bracketed(self, *, listed: bool = False) -> ast.expr:
        """`[i = j]` is a bracket of Iverson's, `[a + b]` one like any other, `[N, 1]` a list."""
        parts = [self.expression()]
        while self.take(","):
            parts.append(self.expression())
        self.demand("]")
        return parts[0] if len(parts) == 1 and not listed else ast.List(parts, ast.Load())

    def word(self, word: str) -> ast.expr:
        names = self.names
        if word.startswith("delta_") and "delta" not in names.ranks and len(word) == 8:
            return ast.Compare(name(word[6]), [ast.Eq()], [name(word[7])])
        word = names.functions.get(word, word) if word not in names.ranks else word
        special = self.special(word)
        if special is not None:
            return special
        meaning = names.meaning(word)
        if self.next.text == "(" and word not in names.ranks and word not in names.sizes:
            if word in CALLED or (meaning is None and not self.next.spaced):
                self.at += 1
                return called(word, *self.arguments())
        if meaning is None and ALIASES.get(word, word) in PREFIXED:
            power = self.superscript(name("x")) if self.next.kind == "sup" else None
            if self.begins_factor():
                found = called(word, [self.factor()], [])
                return binary(found, ast.Pow(), power.right) if isinstance(power, ast.BinOp) else found
        if meaning is not None:
            return meaning
        factors = names.product(word)
        if factors is None:
            return name(word)
        # A subscript or a transpose belongs to the last factor.
        factors[-1] = self.endings(factors[-1])
        result = factors[0]
        for factor in factors[1:]:
            result = binary(result, Beside(), factor)
        return result

    def special(self, word: str) -> ast.expr | None:
        """Derivatives that begin with a name, and indicators."""
        names = self.names
        if word == "ONES" or (
            word in ("I", "II") and word not in names.ranks and self.next.text in ("[", "(")
        ):
            before = self.at
            found = self.ones()
            if word == "ONES" or isinstance(found, ast.Compare):
                return found
            self.at = before
        if self.next.text == "'":
            return self.primed(word)
        if word in names.applied and self.next.text == "(" and word not in CALLED:
            return self.applied(word)
        if word == "d" and word not in names.ranks:
            return self.second_quotient()
        if self.next.text == "/" and word[:1] == "d" and word not in names.ranks:
            return self.quotient(word)
        return None

    def arguments(self) -> tuple[list[ast.expr], list[ast.keyword]]:
        found: list[ast.expr] = []
        keywords: list[ast.keyword] = []
        while not self.take(")"):
            word = self.next.text
            if word in KEYWORDS and self.tokens[self.at + 1].text == "=":
                self.at += 2
                keywords.append(ast.keyword("axis" if word == "dim" else word, self.constant()))
            elif self.take("["):
                found.append(self.bracketed(listed=True))
            else:
                found.append(self.expression())
            if not self.take(",") and self.next.text != ")":
                self.demand(")")
        return found, keywords

    def constant(self) -> ast.expr:
        """The value of a keyword."""
        if self.next.text in ("True", "False"):
            self.at += 1
            return ast.Constant(self.tokens[self.at - 1].text == "True")
        if not self.take("("):
            return self.additive()
        parts = [self.additive()]
        while self.take(","):
            if self.next.text != ")":
                parts.append(self.additive())
        self.demand(")")
        return ast.Tuple(parts, ast.Load())

    # ---- sums

    def total(self) -> ast.expr:
        """`Σ_k a b`: the sum reaches to the end of the product."""
        bound: list[ast.expr] = []
        if self.next.kind == "sub":
            content = self.next.text[1:].strip("{}")
            self.at += 1
            inner = Grammar(tokens(content), self.names)
            bound.append(inner.expression())
            while inner.take(","):
                bound.append(inner.expression())
            if len(bound) == 1 and isinstance(bound[0], ast.Name) and content.islower():
                bound = [name(letter) for letter in content.strip()]
            inner.finished()
        if self.next.kind == "sup":
            top = Grammar(tokens(self.next.text[1:].strip("{}")), self.names).additive()
            self.at += 1
            if len(bound) == 1:
                bound = [ast.Tuple([bound[0], top], ast.Load())]
        if not bound:
            raise SyntaxProblem("a sum says over which index it runs", hint="Σ_k, or sum(…, axis=0)")
        return call("Σ", ast.List(bound, ast.Load()), self.product())
