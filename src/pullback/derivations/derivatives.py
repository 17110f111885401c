"""How derivatives are written: ∂L/∂W, dL/dW, ∇_W L, ∂²L/∂w_i∂w_j, ∇²L, σ'(z), δ_ij."""

from __future__ import annotations

import ast
from abc import abstractmethod
from typing import Final

from pullback.derivations.handwriting import Cursor, Token, tokens
from pullback.derivations.names import ALIASES, CALLED, Names
from pullback.derivations.nodes import is_tensor
from pullback.derivations.quotients import derivative_of
from pullback.errors import SyntaxProblem
from pullback.functions import FUNCTIONS
from pullback.verify.tree import call, expression, name
from pullback.verify.vocabulary import inlined

TWICE: Final = ("^{2}", "^2")
# y'' of the functions whose second derivative people write down, in x and y.
SECOND: Final = {
    "sigmoid": "y * (1 - y) * (1 - 2 * y)", "tanh": "-2 * y * (1 - y**2)", "exp": "y", "log": "-1 / x**2",
    "sin": "-sin(x)", "cos": "-cos(x)", "relu": "0 * x", "softplus": "sigmoid(x) * (1 - sigmoid(x))",
}  # fmt: skip


class DerivativeGrammar(Cursor):
    """The part of the grammar that reads derivatives."""

    def __init__(self, found: list[Token], names: Names) -> None:
        super().__init__(found)
        self.names = names

    @abstractmethod
    def endings(self, base: ast.expr, *, powers: bool = True) -> ast.expr:
        """Subscripts, superscripts, transposes and methods that follow."""

    @abstractmethod
    def primary(self) -> ast.expr:
        """What a factor begins with."""

    @abstractmethod
    def factor(self) -> ast.expr:
        """One factor of a product, with its exponent."""

    @abstractmethod
    def product(self) -> ast.expr:
        """A product, to the next sign."""

    @abstractmethod
    def expression(self) -> ast.expr:
        """A sum, or a comparison of sums."""

    def squared(self) -> bool:
        """Take an exponent 2, if it stands here."""
        if self.next.kind == "sup" and self.next.text in TWICE:
            self.at += 1
            return True
        return False

    def derivative(self) -> ast.expr:
        """`∂L/∂W[i,j]`, `∂²L/∂w_i∂w_j`, after its first sign."""
        second = self.squared()
        if not second and self.take("/"):
            self.demand("∂")
            return self.of_unnamed(self.operand())
        of = self.operand() if self.is_named() else self.factor()
        self.demand("/")
        self.demand("∂")
        by = self.operand()
        if not second:
            return self.differentiated(of, by)
        if self.squared():
            return call("∂²", of, by, by)
        self.demand("∂")
        return call("∂²", of, by, self.operand())

    def is_named(self) -> bool:
        """Whether a derivative is of a name, and not of `log p_i` or of `(a + b)`."""
        token = self.next
        if token.kind != "name":
            return token.text != "(" and token.kind != "sum"
        return token.text in self.names.ranks or self.names.is_loss(token.text) or token.text not in CALLED

    def of_unnamed(self, by: ast.expr) -> ast.expr:
        """`∂/∂z_j (…)`: the derivative of the product that follows."""
        return self.differentiated(self.product(), by)

    def differentiated(self, of: ast.expr, by: ast.expr) -> ast.expr:
        base = of.value if isinstance(of, ast.Subscript) else of
        return call("∂", of, by) if isinstance(base, ast.Name) else derivative_of(of, by, self.names)

    def operand(self) -> ast.expr:
        token = self.next
        if token.text == "(":
            raise SyntaxProblem("a derivative is by a name", hint="∂L/∂W[i,j]")
        if token.kind != "name":
            raise SyntaxProblem("the name after `∂` is missing", hint="∂L/∂W[i,j]")
        self.at += 1
        if token.text in self.names.squares and self.squared():
            return self.endings(name(self.names.squares[token.text]), powers=False)
        return self.endings(self.meaning(token.text), powers=False)

    def meaning(self, word: str) -> ast.expr:
        if self.names.is_loss(word):
            return name(word)
        return self.names.meaning(word) or name(word)

    def quotient(self, word: str) -> ast.expr | None:
        """`dL/dW_ij`: a derivative, where both names are known."""
        before, names = self.at, self.names
        of: ast.expr = self.meaning(word[1:])
        known = isinstance(of, ast.Name) and names.is_loss(of.id)
        of = self.endings(of, powers=False)
        if (known or is_tensor(of)) and self.take("/"):
            token = self.next
            if token.kind == "name" and token.text[:1] == "d" and names.meaning(token.text[1:]) is not None:
                self.at += 1
                return call("∂", of, self.endings(self.meaning(token.text[1:]), powers=False))
        self.at = before
        return None

    def second_quotient(self) -> ast.expr | None:
        """`d²f/dx²`, after its first `d`."""
        before = self.at
        if self.squared() and self.next.kind == "name":
            of = self.meaning(self.next.text)
            self.at += 1
            if self.take("/") and self.next.text[:1] == "d":
                by = self.meaning(self.next.text[1:])
                self.at += 1
                if self.squared():
                    return call("∂²", of, by, by)
        self.at = before
        return self._of_expression()

    def _of_expression(self) -> ast.expr | None:
        """`d log p_i / d z_j`, `d/dx (…)`, after the first `d`."""
        before = self.at
        if self.take("/"):
            by = self._variable()
            if by is not None:
                return self.of_unnamed(by)
        elif self.next.kind == "name" or self.next.text == "(":
            of = self.operand() if self.is_named() else self.factor()
            by = self._variable() if self.take("/") else None
            if by is not None:
                return self.differentiated(of, by)
        self.at = before
        return None

    def _variable(self) -> ast.expr | None:
        """`dz_j` or `d z_j` below the line."""
        word = self.next.text
        if self.next.kind != "name" or word[:1] != "d":
            return None
        self.at += 1
        if word == "d":
            return self.operand() if self.next.kind == "name" else None
        if self.names.meaning(word[1:]) is None:
            return None
        return self.endings(self.meaning(word[1:]), powers=False)

    def nabla(self) -> ast.expr:
        """`∇_W L`; `∇f(x)` where f was defined as f(x); `∇²_w L`."""
        by, second = self.names.argument, self.squared()
        if self.next.kind == "sub":
            by = self.next.text[1:].strip("{}").strip()
            self.at += 1
        second = self.squared() or second
        of: ast.expr = name("L")
        if self.next.kind == "name" and self.names.is_loss(self.next.text):
            by = by or self.names.applied.get(self.next.text, "")
            of = self.operand()
            if self.next.text == "(":
                self.primary()
        if not by:
            raise SyntaxProblem("`∇` says by which tensor", hint="∇_W L, or ∂L/∂W")
        variable = self.meaning(by)
        return call("∂²", of, variable, variable) if second else call("∂", of, variable)

    def primed(self, word: str) -> ast.expr | None:
        """`σ'(z)`, `σ''(z)`: a derivative of a function of one number; `f'(x)` of what was defined as f(x)."""
        start, order = self.at, 0
        while self.next.text == "'" and not self.next.spaced:
            self.at += 1
            order += 1
        function = ALIASES.get(word, word)
        if order and word in self.names.applied:
            return self._of_defined(word, order)
        if not order or order > 2 or self.next.text != "(" or function not in FUNCTIONS:
            self.at = start
            return None
        if word in self.names.ranks:
            self.at = start
            return None
        self.demand("(")
        x = self.expression()
        self.demand(")")
        text = FUNCTIONS[function].derivative if order == 1 else SECOND.get(function)
        if text is None:
            raise SyntaxProblem(f"the second derivative of {function} is not known here", hint="write it out")
        return inlined(expression(text), {"x": x, "y": call(function, x)})

    def applied(self, word: str) -> ast.expr | None:
        """`f(x)` of what was defined as f(x) is f."""
        before = self.at
        self.demand("(")
        argument = self.expression()
        if isinstance(argument, ast.Name) and argument.id == self.names.applied[word] and self.take(")"):
            return name(word)
        self.at = before
        return None

    def _of_defined(self, word: str, order: int) -> ast.expr:
        by = name(self.names.applied[word])
        if self.next.text == "(":
            self.primary()
        if order > 2:
            raise SyntaxProblem("derivatives of order 1 and 2 are read")
        return call("∂", name(word), by) if order == 1 else call("∂²", name(word), by, by)

    def kronecker(self) -> ast.expr:
        """`δ_ij`, `δ[i,j]`, `δ(i,j)`."""
        if self.next.kind == "sub":
            content = self.next.text[1:].strip("{}").replace(",", " ").replace(" ", "")
            self.at += 1
            # A number under a letter counts from 1.
            parts: list[ast.expr] = [
                ast.Constant(int(letter) - 1) if letter.isdigit() else name(letter) for letter in content
            ]
        else:
            closed = "]" if self.take("[") else ")"
            if closed == ")":
                self.demand("(")
            parts = [self.expression()]
            while self.take(","):
                parts.append(self.expression())
            self.demand(closed)
        if len(parts) != 2:
            raise SyntaxProblem("a Kronecker delta has two indices", hint="δ_ij, or [i = j]")
        return ast.Compare(parts[0], [ast.Eq()], [parts[1]])

    def ones(self) -> ast.expr:
        """`1[z > 0]` in bold is a bracket, and alone a vector of ones."""
        if self.next.kind == "sub":
            inside = self.next.text[1:].strip("{}")
            self.at += 1
            if any(sign in inside for sign in "<>="):
                return type(self)(tokens(inside), self.names).expression()
        if self.next.text in ("[", "(", "{"):
            before = self.at
            self.at += 1
            found = self.expression()
            if isinstance(found, ast.Compare) and self.take("]", ")", "}"):
                return found
            self.at = before
        return name("ONES")
