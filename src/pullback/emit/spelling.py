"""Spelling: an expression of the language, or of the few array words beside it, in a target's own words.

A line of code is first written in neutral words: the language's functions, and `arange`, `clip` and
`broadcast` for index notation. A `Speller` walks it once, knows of every part whether it is a Python number,
an integer array, a mask or a real array, and puts the target's words in its place.
"""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Literal, NamedTuple

from pullback.errors import InternalProblem

Kind = Literal["number", "integer", "mask", "real"]
KEPT: Final = ("take", "reshape", "transpose", "broadcast", "clip", "abs", "tril", "triu", "diag")
FILLED: Final = ("eye", "ones", "zeros", "onehot")
# Functions of one number that Python's `math` has.
MATH: Final = {
    **{name: name for name in ("exp", "log", "log1p", "expm1", "sqrt", "tanh", "sin", "cos", "erf", "lgamma")},
    "arctan": "atan", "arcsin": "asin", "arccos": "acos", "arctan2": "atan2",
}  # fmt: skip
# Words of Python and of the modules that are imported: a tensor of that name gets an underscore.
RESERVED: Final = {
    "math", "np", "jnp", "jax", "torch", "ctx", "Any", "Tensor", "Array", "NDArray", "dtype", "residuals", "inputs",
    "output", "saved", "partial", "float", "int", "tuple", "add_rows", "add_at", "taps", "padded", "conv",
    "conv_input", "conv_kernel",
}  # fmt: skip


class Spelt(NamedTuple):
    """A piece in the target's words, and what it holds."""

    tree: ast.expr
    kind: Kind


class Speller(ABC):
    """Spells the lines of one function in one target's words.

    `like` is the name of what new arrays take their type from; `kinds` says what names hold (real arrays where
    it says nothing); `names` are those that the code calls otherwise; `ranks` says how many axes a name has, where none
    of them is of size 1. `helpers` collects the functions that have to be
    written out beside it.
    """

    names_of_target: ClassVar[Mapping[str, str]]  # functions that are one call with the same arguments
    helpers_of_target: ClassVar[Mapping[str, str]]  # functions that the target lacks, written out
    needs: ClassVar[Mapping[str, Sequence[str]]] = {}  # the helpers that a helper calls
    adds_at_labels: ClassVar[bool] = (
        True  # a one-hot matrix that is added is slower than an addition in place
    )
    casts_integers: ClassVar[bool] = True  # an integer array and a Python number would make the default type

    def __init__(
        self,
        like: str,
        kinds: Mapping[str, Kind] | None = None,
        names: Mapping[str, str] | None = None,
        ranks: Mapping[str, int] | None = None,
    ) -> None:
        self.like = like
        self.kinds: dict[str, Kind] = dict(kinds or {})
        self.names = dict(names or {})
        self.ranks = dict(ranks or {})
        self.helpers: set[str] = set()
        self._integral = 0  # how many subscripts or comparisons of integers stand around

    # -- lines ------------------------------------------------------------------------------

    def line(self, target: str, text: str) -> str:
        """`target = text` in the target's words; from then on the name is known to hold what it holds."""
        spelt = self.spell(ast.parse(text, mode="eval").body)
        if spelt.kind == "mask":
            spelt = Spelt(self.number(spelt), "real")
        self.kinds[target] = spelt.kind
        return f"{self.name(target)} = {unparsed(spelt.tree)}"

    def name(self, name: str) -> str:
        """What the code calls a tensor, a size or a grid."""
        return self.names.get(name, f"{name}_" if name in RESERVED else name)

    def called(self) -> list[str]:
        """The helpers that the lines call, with those that these call, in an order that defines before use."""
        every = {*self.helpers, *(other for name in self.helpers for other in self.needs.get(name, ()))}
        return [name for name in self.helpers_of_target if name in every]

    # -- expressions ------------------------------------------------------------------------

    def spell(self, node: ast.expr) -> Spelt:
        match node:
            case ast.Constant():
                return Spelt(node, "number")
            case ast.Name("pi"):
                return Spelt(self.pi(), "number")
            case ast.Name(name):
                return Spelt(ast.Name(self.name(name), ast.Load()), self.kinds.get(name, "real"))
            case ast.BinOp():
                return self._binary(node)
            case ast.UnaryOp(op, operand):
                inner = self.spell(operand)
                kind: Kind = "real" if inner.kind == "mask" else inner.kind
                return Spelt(ast.UnaryOp(op, self.number(inner)), kind)
            case ast.Compare():
                return self._comparison(node)
            case ast.Attribute(value, "T"):
                inner = self.spell(value)
                return Spelt(self.transposed(inner.tree), inner.kind)
            case ast.Attribute(value, "mT"):
                inner = self.spell(value)
                return Spelt(self.turned(inner.tree), inner.kind)
            case ast.Subscript(value, places):
                inner = self.spell(value)
                return Spelt(ast.Subscript(inner.tree, self._places(places), ast.Load()), inner.kind)
            case ast.List(items) | ast.Tuple(items):
                spelt = [self.spell(item) for item in items]
                new = [self.real(item) if item.kind != "number" else item.tree for item in spelt]
                return Spelt(type(node)(new, ast.Load()), "number")
            case ast.Call(ast.Name(name), arguments, keywords):
                return self._call(name, arguments, keywords)
        raise InternalProblem(f"no target has words for {ast.unparse(node)}")

    def _binary(self, node: ast.BinOp) -> Spelt:
        match node:
            case ast.BinOp(
                ast.Attribute(ast.Call(ast.Name("onehot"), [which, rows]), "T"), ast.MatMult(), added
            ):
                # A one-hot matrix would be multiplied by: adding its rows up is what is meant.
                self._integral += 1
                arguments = [self.spell(which).tree, self.spell(rows).tree]
                self._integral -= 1
                return Spelt(self.helper("add_rows", [*arguments, self.real(self.spell(added))], {}), "real")
        left, right = self.spell(node.left), self.spell(node.right)
        kinds = {left.kind, right.kind}
        divides = isinstance(node.op, ast.Div | ast.Pow)
        if kinds == {"number"}:
            return Spelt(ast.BinOp(left.tree, node.op, right.tree), "number")
        if isinstance(node.op, ast.FloorDiv | ast.Mod) or (self._integral and not divides):
            kind: Kind = "real" if "real" in kinds else "integer"
            return Spelt(ast.BinOp(self.number(left), node.op, self.number(right)), kind)
        if isinstance(node.op, ast.Mult) and kinds == {"mask", "real"}:
            return Spelt(ast.BinOp(left.tree, node.op, right.tree), "real")
        if isinstance(node.op, ast.Mult) and kinds == {"mask"}:
            return Spelt(ast.BinOp(self.number(left), node.op, right.tree), "real")
        if kinds == {"integer", "real"} and not isinstance(node.op, ast.MatMult):
            return Spelt(ast.BinOp(left.tree, node.op, right.tree), "real")
        return Spelt(ast.BinOp(self.real(left), node.op, self.real(right)), "real")

    def _comparison(self, node: ast.Compare) -> Spelt:
        sides = [self.spell(node.left), self.spell(node.comparators[0])]
        kind: Kind = "number" if all(side.kind == "number" for side in sides) else "mask"
        left, right = (self.number(side) for side in sides)
        return Spelt(ast.Compare(left, node.ops, [right]), kind)

    def _places(self, places: ast.expr) -> ast.expr:
        """What stands in a subscript: integers stay integers there."""
        self._integral += 1
        if isinstance(places, ast.Tuple):
            result: ast.expr = ast.Tuple([self._place(item) for item in places.elts], ast.Load())
        else:
            result = self._place(places)
        self._integral -= 1
        return result

    def _place(self, item: ast.expr) -> ast.expr:
        return item if isinstance(item, ast.Slice) else self.spell(item).tree

    def number(self, spelt: Spelt) -> ast.expr:
        """The piece as numbers: a mask is cast."""
        return self.cast(spelt.tree) if spelt.kind == "mask" else spelt.tree

    def real(self, spelt: Spelt) -> ast.expr:
        """The piece as real numbers: a mask is cast, and an integer array where the target asks for it."""
        if spelt.kind == "integer" and self.casts_integers:
            return self.cast(spelt.tree)
        return self.number(spelt)

    def _call(self, name: str, nodes: Sequence[ast.expr], keywords: Sequence[ast.keyword]) -> Spelt:
        integral = name in ("arange", "clip", *FILLED)
        self._integral += integral
        arguments = [self.spell(node) for node in nodes]
        self._integral -= integral
        options = {k.arg: self.spell(k.value).tree for k in keywords if k.arg is not None}
        numbers = all(argument.kind == "number" for argument in arguments)
        if name in MATH and numbers:
            return Spelt(module(f"math.{MATH[name]}", *(a.tree for a in arguments)), "number")
        if name in ("abs", "maximum", "minimum") and numbers:
            own = {"abs": "abs", "maximum": "max", "minimum": "min"}[name]
            return Spelt(call(own, *(a.tree for a in arguments)), "number")
        kind: Kind = "real"
        if name == "arange" or (name in KEPT and arguments[0].kind == "integer"):
            kind = "integer"
        return Spelt(self.call(name, arguments, options), kind)

    # -- what a target says -----------------------------------------------------------------

    @abstractmethod
    def pi(self) -> ast.expr: ...

    @abstractmethod
    def cast(self, tree: ast.expr) -> ast.expr:
        """An array of masks or integers as one of the floating type."""

    @abstractmethod
    def call(self, name: str, arguments: list[Spelt], options: dict[str, ast.expr]) -> ast.expr:
        """A function of the language, applied."""

    def transposed(self, tree: ast.expr) -> ast.expr:
        return ast.Attribute(tree, "T", ast.Load())

    def turned(self, tree: ast.expr) -> ast.expr:
        """The last two axes exchanged."""
        return ast.Attribute(tree, "mT", ast.Load())

    def helper(self, name: str, arguments: Sequence[ast.expr], options: Mapping[str, ast.expr]) -> ast.expr:
        """A call of a function that is written out beside the code."""
        if name not in self.helpers_of_target:
            raise InternalProblem(f"no target has a word for {name}")
        self.helpers.add(name)
        return call(name, *arguments, **options)


# ---- building code ---------------------------------------------------------------------------


def unparsed(tree: ast.expr) -> str:
    return ast.unparse(ast.fix_missing_locations(tree)).replace("'", '"')


def dotted(text: str) -> ast.expr:
    """`a.b.c` as syntax."""
    first, *rest = text.split(".")
    node: ast.expr = ast.Name(first, ast.Load())
    for part in rest:
        node = ast.Attribute(node, part, ast.Load())
    return node


def call(name: str, *arguments: ast.expr, **options: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), _keywords(options))


def module(path: str, *arguments: ast.expr, **options: ast.expr) -> ast.expr:
    return ast.Call(dotted(path), list(arguments), _keywords(options))


def method(node: ast.expr, name: str, *arguments: ast.expr, **options: ast.expr) -> ast.expr:
    return ast.Call(ast.Attribute(node, name, ast.Load()), list(arguments), _keywords(options))


def unsqueezed(node: ast.expr) -> ast.expr:
    """`x[..., None]`"""
    places = ast.Tuple([ast.Constant(...), ast.Constant(None)], ast.Load())
    return ast.Subscript(node, places, ast.Load())


def sequence(node: ast.expr) -> ast.expr:
    """A list of sizes or axes as a tuple."""
    return ast.Tuple(node.elts, ast.Load()) if isinstance(node, ast.List) else node


def _keywords(options: Mapping[str, ast.expr]) -> list[ast.keyword]:
    return [ast.keyword(k, v) for k, v in options.items()]
