"""Which name a written word means: tensors, gradients in their many spellings, subscripts, products."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pullback.functions import FUNCTIONS
from pullback.operators import OPERATORS
from pullback.reading.matrix_notation import TABLE
from pullback.verify.tree import name

LOSSES: Final = frozenset(("L", "J", "E", "C", "l", "loss", "Loss", "cost", "f"))
UPSTREAM: Final = ("g", "G", "grad_output", "grad_out", "grad_outputs", "dout", "d_out", "upstream", "gy", "go",
                   "grad", "delta", "gout")  # fmt: skip
# Letters that stand for numbers where nothing else is said of them.
SCALARS: Final = frozenset(
    ("lam", "alpha", "beta", "eta", "eps", "tau", "gamma", "rho", "kappa", "nu", "omega")
)
# How people call what the language has under another name.
ALIASES: Final = {
    "tr": "trace", "Tr": "trace", "ln": "log", "ReLU": "relu", "Relu": "relu", "Softmax": "softmax", "Log": "log",
    "inverse": "inv", "Diag": "diag", "sigma": "sigmoid", "LSE": "logsumexp", "lse": "logsumexp", "sgn": "sign",
    "Tanh": "tanh", "Exp": "exp", "row_sum": "rowsum", "col_sum": "colsum", "concat": "concatenate",
}  # fmt: skip
# How people call what the language writes in another way.
SPELT_OUT: Final = (
    "rowsum",
    "colsum",
    "rowmean",
    "colmean",
    "multiply",
    "matmul",
    "dot",
    "square",
    "t",
    "inner",
)
CALLED: Final = frozenset({*TABLE, *FUNCTIONS, *OPERATORS, *ALIASES, *SPELT_OUT})
MOST_FACTORS: Final = 6  # of a product written without spaces


class Beside(ast.operator):
    """A product written by putting two factors side by side."""


class Dot(ast.operator):
    """A product written with a dot, which is a product of numbers, of vectors or of matrices."""


class Hadamard(ast.operator):
    """A product entry by entry."""


class Circled(ast.operator):
    """⊗: an outer product of vectors, a Kronecker product of matrices."""


@dataclass(slots=True)
class Names:
    """What is known when a line is read: tensors with the number of their axes, sizes, the loss."""

    ranks: dict[str, int] = field(default_factory=dict)
    sizes: set[str] = field(default_factory=set)
    losses: set[str] = field(default_factory=set)
    output: str | None = None  # which has a given upstream gradient
    argument: str = ""  # of a loss that was defined as f(x)
    prefix: str = "d"  # of the name of a gradient
    squares: dict[str, str] = field(
        default_factory=dict
    )  # what σ² is called, where σ² is defined and σ is not
    functions: dict[str, str] = field(default_factory=dict)  # `φ = tanh`: what a function is called
    applied: dict[str, str] = field(default_factory=dict)  # a name that was defined as f(x) -> its argument

    def gradient(self, word: str) -> str | None:
        """The tensor whose gradient a word means."""
        if word in self.ranks:
            return word[1:] if word[:1] == "d" and word[1:] in self.ranks else None
        for pattern in (r"d_?(\w+)", r"(?:grad|g)_(\w+)", r"(\w+)_(?:grad|bar)", r"d[A-Za-z]+_?d(\w+)"):
            found = re.fullmatch(pattern, word)
            if found is not None and found[1] in self.ranks:
                return found[1]
        return None

    def is_loss(self, word: str) -> bool:
        return word in self.losses or (word in LOSSES and word not in self.ranks)

    def meaning(self, word: str) -> ast.expr | None:
        """The node that a word stands for; None for a word that nothing is known of."""
        if word in self.ranks or word in self.sizes or word == "pi":
            return name(word)
        gradient = self.gradient(word)
        if gradient is not None:
            return name(f"d{gradient}")
        if word in UPSTREAM and self.output is not None:
            return name(f"{self.prefix}{self.output}")
        if word in self.squares:
            return ast.Call(name("sqrt"), [name(self.squares[word])], [])
        if "_" in word:
            return self._subscripted(word)
        return None

    def _subscripted(self, word: str) -> ast.expr | None:
        """`W_ij`: an entry of W."""
        head, _, tail = word.rpartition("_")
        if head + tail in self.ranks or self.gradient(head + tail) is not None:
            return self.meaning(head + tail)
        base = self.meaning(head) or self._row_of(head, tail)
        if base is None:
            return None
        few = len(tail) == 1 and (self.rank_of(base) or 0) > 1  # a row by its index alone: refused later
        return item(base, [_slot(tail)]) if few else self.entry(base, tail)

    def _row_of(self, head: str, tail: str) -> ast.expr | None:
        """Q, of which `q_i` is a row, where q itself is not known; dQ for `dq_i`."""
        for word in (head[:-1] + head[-1].upper() if len(head) < 3 else "", head.capitalize()):
            found = self.meaning(word) if word and word != head else None
            if found is not None and self.rank_of(found) == 2 and len(tail) <= 2:
                return found
        return None

    def entry(self, base: ast.expr, subscript: str) -> ast.expr | None:
        """The entry of a tensor that letters under it name, as in `y_{2k}` where y2 is known."""
        digits = re.match(r"\d+", subscript)
        if digits is not None and isinstance(base, ast.Name):
            whole = self.meaning(base.id + digits[0])
            if whole is not None:
                rest = subscript[digits.end() :]
                return self.entry(whole, rest) if rest else whole
        rank = self.rank_of(base)
        letters = list(subscript)
        if not letters or (rank is not None and rank != len(letters)) or not subscript.isalnum():
            return None
        return item(base, [_slot(letter) for letter in letters])

    def rank_of(self, base: ast.expr) -> int | None:
        if not isinstance(base, ast.Name):
            return None
        known = self.ranks.get(base.id)
        return self.ranks.get(base.id[1:]) if known is None and base.id[:1] == "d" else known

    def product(self, word: str) -> list[ast.expr] | None:
        """`XW` as X and W, where both are known and the word is not."""
        for count in range(2, MOST_FACTORS + 1):
            for parts in _cuts(word, count):
                factors = [self._factor(part) for part in parts]
                if all(factor is not None for factor in factors):
                    return [factor for factor in factors if factor is not None]
        return None

    def _factor(self, part: str) -> ast.expr | None:
        if part in self.ranks:
            return name(part)
        tensor = self.gradient(part) if part[:1] == "d" and "_" not in part else None
        return None if tensor is None else name(f"d{tensor}")


def _cuts(word: str, count: int) -> Iterator[list[str]]:
    if count == 1:
        yield [word]
        return
    for k in range(1, len(word) - count + 2):
        for rest in _cuts(word[k:], count - 1):
            yield [word[:k], *rest]


def _slot(letter: str) -> ast.expr:
    """An index by its letter; a number under a letter counts from 1, as people write it."""
    return ast.Constant(int(letter) - 1) if letter.isdigit() else name(letter)


def item(base: ast.expr, slots: list[ast.expr]) -> ast.expr:
    """base[slots]; `A[i][j]` is `A[i,j]`."""
    if isinstance(base, ast.Subscript):
        inside = base.slice.elts if isinstance(base.slice, ast.Tuple) else [base.slice]
        base, slots = base.value, [*inside, *slots]
    inner = slots[0] if len(slots) == 1 else ast.Tuple(slots, ast.Load())
    return ast.Subscript(base, inner, ast.Load())
