"""The words of PyTorch."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import ClassVar, Final

from pullback.emit.convolution_words import CONVOLUTIONS, torch_convolution
from pullback.emit.spelling import Speller, Spelt, dotted, method, module, sequence, unsqueezed
from pullback.matrix.syntax import function

SAME: Final = {
    "exp": "torch.exp", "log": "torch.log", "log1p": "torch.log1p", "expm1": "torch.expm1", "sqrt": "torch.sqrt",
    "tanh": "torch.tanh", "sin": "torch.sin", "cos": "torch.cos", "abs": "torch.abs", "sign": "torch.sign",
    "arctan": "torch.atan", "arcsin": "torch.asin", "arccos": "torch.acos", "arctan2": "torch.atan2",
    "lgamma": "torch.lgamma", "digamma": "torch.digamma", "polygamma": "torch.polygamma",
    "erf": "torch.erf", "sigmoid": "torch.sigmoid", "relu": "torch.relu", "outer": "torch.outer",
    "diag": "torch.diag", "trace": "torch.trace", "tril": "torch.tril", "triu": "torch.triu",
    "kron": "torch.kron", "einsum": "torch.einsum", "inv": "torch.linalg.inv", "det": "torch.linalg.det",
    "solve": "torch.linalg.solve", "cholesky": "torch.linalg.cholesky",
}  # fmt: skip
# Methods that reduce or run along axes.
ALONG: Final = {
    "sum": "sum",
    "mean": "mean",
    "max": "amax",
    "min": "amin",
    "prod": "prod",
    "cumsum": "cumsum",
}
OPTIONS: Final = {"axis": "dim", "keepdims": "keepdim"}

HELPERS: Final = {
    "softplus": '''
def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), without overflow."""
    return torch.logaddexp(x, torch.zeros_like(x))
''',
    "gelu": '''
def gelu(x: Tensor) -> Tensor:
    """x * Φ(x), with the exact normal distribution function."""
    return x * torch.special.erfc(-x / math.sqrt(2)) / 2
''',
    "softmax": '''
def softmax(x: Tensor, dim: tuple[int, ...]) -> Tensor:
    """exp(x) / Σ exp(x) along several axes, without overflow."""
    e = torch.exp(x - x.amax(dim=dim, keepdim=True).detach())
    return e / e.sum(dim=dim, keepdim=True)
''',
    "log_softmax": '''
def log_softmax(x: Tensor, dim: tuple[int, ...]) -> Tensor:
    """x - log(Σ exp(x)) along several axes, without overflow."""
    return x - torch.logsumexp(x, dim=dim, keepdim=True)
''',
    "weighted_softmax": '''
def weighted_softmax(x: Tensor, w: Tensor, dim: int | tuple[int, ...] = -1) -> Tensor:
    """w * exp(x) / Σ w * exp(x) along an axis, without overflow."""
    m = torch.where(w != 0, x, -math.inf).amax(dim=dim, keepdim=True).detach()
    e = w * torch.exp(torch.where(w != 0, x - m, -math.inf))
    return e / e.sum(dim=dim, keepdim=True)
''',
    "weighted_logsumexp": '''
def weighted_logsumexp(x: Tensor, w: Tensor, dim: int | tuple[int, ...] = -1) -> Tensor:
    """log(Σ w * exp(x)) along an axis, without overflow."""
    m = torch.where(w != 0, x, -math.inf).amax(dim=dim, keepdim=True).detach()
    e = w * torch.exp(torch.where(w != 0, x - m, -math.inf))
    return (m + torch.log(e.sum(dim=dim, keepdim=True))).squeeze(dim)
''',
    "norm": '''
def norm(x: Tensor, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """sqrt(Σ x²) along an axis; the squares neither overflow nor vanish."""
    m = torch.linalg.vector_norm(x, math.inf, dim=dim, keepdim=True).detach()
    m = torch.where(m > 0, m, 1)
    y = m * torch.linalg.vector_norm(x / m, dim=dim, keepdim=True)
    return y if keepdim else y.sum(dim=dim)
''',
    "onehot": '''
def onehot(t: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """1 where the last index is t, else 0."""
    return (t[..., None] == torch.arange(classes, device=t.device)).to(dtype)
''',
    "add_rows": '''
def add_rows(t: Tensor, rows: int, x: Tensor) -> Tensor:
    """For each row v of the result the sum of the rows x[b] with t[b] = v."""
    return x.new_zeros((rows,) + x.shape[1:]).index_add(0, t, x)
''',
    "add_at": '''
def add_at(x: Tensor, t: Tensor, value: Tensor | float) -> Tensor:
    """x with the value added in each row where the last index is t."""
    places = t[..., None]
    return x.scatter_add(-1, places, torch.as_tensor(value, dtype=x.dtype, device=x.device).expand(places.shape))
''',
    "logdet": '''
def logdet(x: Tensor) -> Tensor:
    """log |det x|."""
    return torch.linalg.slogdet(x).logabsdet
''',
}


class Torch(Speller):
    """Spells in PyTorch. New tensors take type and device from the tensor named `like`."""

    names_of_target: ClassVar[Mapping[str, str]] = SAME
    helpers_of_target: ClassVar[Mapping[str, str]] = HELPERS

    def pi(self) -> ast.expr:
        return dotted("math.pi")

    def cast(self, tree: ast.expr) -> ast.expr:
        return method(tree, "to", dotted(f"{self.like}.dtype"))

    def transposed(self, tree: ast.expr) -> ast.expr:
        return ast.Attribute(tree, "mT", ast.Load())

    def call(self, name: str, arguments: list[Spelt], options: dict[str, ast.expr]) -> ast.expr:
        if name == "where":
            return self._where(*arguments)
        if name in ("pick", "add_at"):
            return self._at_labels(name, [self.real(arguments[0]), *(a.tree for a in arguments[1:])])
        if name in ("maximum", "minimum", "logaddexp", "hypot"):
            return self._of_two(name, *arguments)
        if name in ("digamma", "polygamma"):
            return module(SAME[name], *(a.tree for a in arguments[:-1]), self._as_tensor(arguments[-1]))
        if name == "arctan2":
            return module("torch.atan2", *self._both(*arguments))
        trees = [
            a.tree if name in ("take", "abs", "reshape", "transpose", "clip", "broadcast") else self.real(a)
            for a in arguments
        ]
        if name in ("take", "reshape", "transpose", "clip", "concatenate", "broadcast"):
            return self._arranged(name, trees, options, arguments[0].kind)
        if name in ("eye", "ones", "zeros", "onehot", "arange"):
            return self._filled(name, [a.tree for a in arguments])
        if name in CONVOLUTIONS:
            return torch_convolution(name, trees)
        options = {OPTIONS.get(k, k): value for k, value in options.items()}
        return self._along(name, trees, options)

    def _at_labels(self, name: str, trees: list[ast.expr]) -> ast.expr:
        if name == "add_at":
            return self.helper(name, trees, {})
        return method(
            method(trees[0], "gather", ast.Constant(-1), unsqueezed(trees[1])), "squeeze", ast.Constant(-1)
        )

    def _along(self, name: str, trees: list[ast.expr], options: dict[str, ast.expr]) -> ast.expr:
        several = isinstance(options.get("dim"), ast.Tuple)
        if name in ("softmax", "log_softmax") and not several:
            return module(f"torch.{name}", *trees, **options)
        if name == "logsumexp":
            if "dim" not in options:
                trees, options = [method(trees[0], "flatten")], {"dim": ast.Constant(0)}
            return module("torch.logsumexp", *trees, **options)
        if name == "prod" and several:
            return _product(trees[0], options)
        if name in ALONG:
            return method(trees[0], ALONG[name], *trees[1:], **options)
        if name in SAME:
            return module(SAME[name], *trees, **options)
        return self.helper(name, trees, options)

    def _where(self, condition: Spelt, a: Spelt, b: Spelt) -> ast.expr:
        test = condition.tree
        if condition.kind != "mask":
            test = ast.Compare(test, [ast.NotEq()], [ast.Constant(0)])
        first = self.number(a)
        if a.kind == b.kind == "number":  # two Python numbers would make the default type
            first = method(dotted(self.like), "new_full", ast.Tuple([], ast.Load()), first)
        return module("torch.where", test, first, self.number(b))

    def _of_two(self, name: str, a: Spelt, b: Spelt) -> ast.expr:
        if a.kind == "number":
            a, b = b, a
        if b.kind != "number":
            return module(f"torch.{name}", self.number(a), self.number(b))
        if name in ("logaddexp", "hypot"):
            return module(f"torch.{name}", self.real(a), module("torch.full_like", self.real(a), b.tree))
        return method(self.number(a), "clamp", **{"min" if name == "maximum" else "max": b.tree})

    def _as_tensor(self, a: Spelt) -> ast.expr:
        if a.kind != "number":
            return self.real(a)
        return method(dotted(self.like), "new_full", ast.Tuple([], ast.Load()), a.tree)

    def _both(self, a: Spelt, b: Spelt) -> list[ast.expr]:
        """Two operands as tensors, for a function that takes no number."""
        own = [self.real(a), self.real(b)]
        for k, (part, other) in enumerate(((a, b), (b, a))):
            if part.kind == "number" and other.kind != "number":
                own[k] = module("torch.full_like", self.real(other), part.tree)
        return own

    def _arranged(
        self, name: str, trees: list[ast.expr], options: dict[str, ast.expr], kind: str
    ) -> ast.expr:
        match name:
            case "take":
                axis = options.get("axis")
                before = axis.value if isinstance(axis, ast.Constant) else 0
                assert isinstance(before, int)
                places = [*[ast.Slice()] * before, trees[1]]
                place = trees[1] if not before else ast.Tuple(list(places), ast.Load())
                return ast.Subscript(trees[0], place, ast.Load())
            case "clip" if kind == "number":
                return function("max", ast.Constant(0), function("min", trees[0], trees[1]))
            case "clip":
                return method(trees[0], "clamp", ast.Constant(0), trees[1])
            case "concatenate":
                return module("torch.cat", trees[0], dim=options["axis"])
            case "broadcast" | "reshape" if kind == "number":
                return method(dotted(self.like), "new_full", sequence(trees[1]), trees[0])
        word = {"reshape": "reshape", "transpose": "permute", "broadcast": "expand"}[name]
        return method(trees[0], word, sequence(trees[1]))

    def _filled(self, name: str, trees: list[ast.expr]) -> ast.expr:
        device = dotted(f"{self.like}.device")
        match name:
            case "arange":
                return module("torch.arange", trees[0], device=device)
            case "eye":
                return module("torch.eye", trees[0], dtype=dotted(f"{self.like}.dtype"), device=device)
            case "onehot":
                return self.helper("onehot", [*trees, dotted(f"{self.like}.dtype")], {})
        return method(dotted(self.like), f"new_{name}", sequence(trees[0]))


def _product(tree: ast.expr, options: dict[str, ast.expr]) -> ast.expr:
    """The product along several axes, one after the other, such that the places of the others stay."""
    places = [ast.literal_eval(axis) for axis in getattr(options["dim"], "elts", ())]
    for k in sorted(places, key=lambda place: -place if place >= 0 else place):
        tree = method(tree, "prod", **{**options, "dim": ast.Constant(k)})
    return tree
