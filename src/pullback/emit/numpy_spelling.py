"""The words of NumPy."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import ClassVar, Final

from pullback.emit.convolution_words import CONVOLUTIONS, NUMPY_HELPERS, NUMPY_NEEDS
from pullback.emit.spelling import Speller, Spelt, dotted, method, module, sequence, unsqueezed

SAME: Final = {
    "exp": "np.exp", "log": "np.log", "log1p": "np.log1p", "expm1": "np.expm1", "logaddexp": "np.logaddexp",
    "sqrt": "np.sqrt", "tanh": "np.tanh", "sin": "np.sin", "cos": "np.cos",
    "arctan": "np.arctan", "arcsin": "np.arcsin", "arccos": "np.arccos", "arctan2": "np.arctan2", "hypot": "np.hypot",
    "abs": "np.abs", "sign": "np.sign",
    "maximum": "np.maximum", "minimum": "np.minimum", "where": "np.where", "outer": "np.outer", "diag": "np.diag",
    "trace": "np.trace", "tril": "np.tril", "triu": "np.triu", "kron": "np.kron", "cumsum": "np.cumsum",
    "take": "np.take", "sum": "np.sum", "mean": "np.mean", "max": "np.max", "min": "np.min", "prod": "np.prod",
    "concatenate": "np.concatenate", "einsum": "np.einsum", "arange": "np.arange", "inv": "np.linalg.inv",
    "det": "np.linalg.det", "solve": "np.linalg.solve", "cholesky": "np.linalg.cholesky",
}  # fmt: skip
METHODS: Final = ("sum", "mean", "max", "min", "prod", "cumsum")

# Functions that NumPy lacks, written out where they are used.
HELPERS: Final = {
    "sigmoid": '''
def sigmoid(x):
    """1 / (1 + exp(-x)), without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)
''',
    "softplus": '''
def softplus(x):
    """log(1 + exp(x)), without overflow."""
    return np.logaddexp(0, x)
''',
    "relu": '''
def relu(x):
    """max(x, 0)."""
    return np.maximum(x, 0)
''',
    "erf": '''
def erf(x):
    """The error function, entry by entry."""
    return np.vectorize(math.erf, otypes=[float])(x).astype(np.asarray(x).dtype)
''',
    "lgamma": '''
def lgamma(x):
    """log |Γ(x)|, entry by entry."""
    return np.vectorize(math.lgamma, otypes=[float])(x).astype(np.asarray(x).dtype)
''',
    "digamma": '''
def digamma(x):
    """The derivative of log Γ: ψ(x) = ψ(x + 1) - 1 / x up to 8, and from there its series."""
    x = np.asarray(x)
    y = np.zeros_like(x)
    while (low := (x < 8) & (x > -10_000)).any():
        y = y - low / np.where(low, x, 1)
        x = x + low
    r = 1 / np.where(x < 8, np.nan, x * x)
    tail = r * (1 / 12 - r * (1 / 120 - r * (1 / 252 - r * (1 / 240 - r * (1 / 132 - r * (691 / 32760 - r / 12))))))
    return y + np.log(x) - 1 / (2 * x) - tail
''',
    "polygamma": '''
def polygamma(n, x):
    """The derivative of order n of digamma: lifted by ψ(x) = ψ(x + 1) - 1 / x, and from 16 + n on its series."""
    x = np.asarray(x)
    y = np.zeros_like(x)
    while (low := (x < 16 + n) & (x > -10_000)).any():
        y = y + math.factorial(n) * low / np.where(low, x, 1) ** (n + 1)
        x = x + low
    x = np.where(x < 16, np.nan, x)
    y = y + math.factorial(n - 1) / x**n + math.factorial(n) / (2 * x ** (n + 1))
    for k, b in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6), start=1):
        y = y + b * math.factorial(2 * k + n - 1) / math.factorial(2 * k) / x ** (2 * k + n)
    return (-1) ** (n + 1) * y
''',
    "gelu": '''
def gelu(x):
    """x * Φ(x), with the exact normal distribution function."""
    tail = np.vectorize(math.erfc, otypes=[float])(-x / math.sqrt(2))
    return x * tail.astype(np.asarray(x).dtype) / 2
''',
    "softmax": '''
def softmax(x, axis=-1):
    """exp(x) / Σ exp(x) along an axis, without overflow."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
''',
    "logsumexp": '''
def logsumexp(x, axis=None, keepdims=False):
    """log(Σ exp(x)) along an axis, without overflow; the largest are counted, so that small ones show."""
    m = x.max(axis=axis, keepdims=True)
    top = (x == m).sum(axis=axis, keepdims=True, dtype=x.dtype)
    e = np.where(x == m, 0, np.exp(x - np.where(np.isfinite(m), m, 0)))
    y = m + (np.log(top) + np.log1p(e.sum(axis=axis, keepdims=True) / top))
    return y if keepdims else np.squeeze(y, axis=axis)
''',
    "log_softmax": '''
def log_softmax(x, axis=-1):
    """x - log(Σ exp(x)) along an axis, without overflow."""
    x = x - x.max(axis=axis, keepdims=True)
    return x - logsumexp(x, axis=axis, keepdims=True)
''',
    "weighted_softmax": '''
def weighted_softmax(x, w, axis=-1):
    """w * exp(x) / Σ w * exp(x) along an axis, without overflow."""
    m = np.where(w != 0, x, -np.inf).max(axis=axis, keepdims=True)
    e = w * np.exp(np.where(w != 0, x - m, -np.inf))
    return e / e.sum(axis=axis, keepdims=True)
''',
    "weighted_logsumexp": '''
def weighted_logsumexp(x, w, axis=None):
    """log(Σ w * exp(x)) along an axis, without overflow."""
    m = np.where(w != 0, x, -np.inf).max(axis=axis, keepdims=True)
    e = w * np.exp(np.where(w != 0, x - m, -np.inf))
    return np.squeeze(m + np.log(e.sum(axis=axis, keepdims=True)), axis=axis)
''',
    "norm": '''
def norm(x, axis=None, keepdims=False):
    """sqrt(Σ x²) along an axis; the squares neither overflow nor vanish."""
    m = np.abs(x).max(axis=axis, keepdims=True, initial=0)
    m = np.where(m > 0, m, 1)
    y = m * np.sqrt(((x / m) ** 2).sum(axis=axis, keepdims=True))
    return y if keepdims else np.squeeze(y, axis=axis)
''',
    "add_rows": '''
def add_rows(t, rows, x):
    """For each row v of the result the sum of the rows x[b] with t[b] = v."""
    y = np.zeros((rows,) + x.shape[1:], dtype=x.dtype)
    np.add.at(y, t, x)
    return y
''',
    "add_at": '''
def add_at(x, t, value):
    """x with the value added in each row where the last index is t."""
    y = np.array(x)
    y[(*np.indices(t.shape, sparse=True), t)] += value
    return y
''',
    "logdet": '''
def logdet(x):
    """log |det x|."""
    return np.linalg.slogdet(x)[1]
''',
    **NUMPY_HELPERS,
}
NEEDS: Final[dict[str, tuple[str, ...]]] = {"log_softmax": ("logsumexp",), **NUMPY_NEEDS}


def _contracts(spec: ast.expr) -> bool:
    """Whether two operands share an index that is summed: then NumPy has a matrix product for it."""
    if not isinstance(spec, ast.Constant) or not isinstance(spec.value, str):
        return False
    operands, _, result = spec.value.partition("->")
    first, *rest = operands.split(",")
    return any(k in other and k not in result for other in rest for k in first)


class NumPy(Speller):
    """Spells in NumPy. The variable `dtype` holds the floating type where one is needed."""

    names_of_target: ClassVar[Mapping[str, str]] = SAME
    helpers_of_target: ClassVar[Mapping[str, str]] = HELPERS
    needs = NEEDS
    casts_integers = False  # integers become float64, the widest type there is here

    def pi(self) -> ast.expr:
        return dotted("np.pi")

    def cast(self, tree: ast.expr) -> ast.expr:
        return method(tree, "astype", ast.Name(self.like, ast.Load()))

    def turned(self, tree: ast.expr) -> ast.expr:
        return module(
            "np.swapaxes", tree, ast.Constant(-1), ast.Constant(-2)
        )  # before NumPy 2 there is no mT

    def call(self, name: str, arguments: list[Spelt], options: dict[str, ast.expr]) -> ast.expr:
        trees = [a.tree if name == "where" else self.number(a) for a in arguments]
        match name:
            case "pick":
                picked = module("np.take_along_axis", trees[0], unsqueezed(trees[1]), axis=ast.Constant(-1))
                return method(picked, "squeeze", ast.Constant(-1))
            case "eye" | "ones" | "zeros":
                return self._filled(name, trees[0])
            case "onehot":
                return ast.Subscript(self._filled("eye", trees[1]), trees[0], ast.Load())
            case "einsum" if len(trees) > 3 or _contracts(trees[0]):
                options["optimize"] = ast.Constant(True)
            case "reshape" if arguments[0].kind == "number":
                return module("np.full", sequence(trees[1]), trees[0], dtype=ast.Name(self.like, ast.Load()))
            case "reshape" | "transpose":
                return method(trees[0], name, sequence(trees[1]))
            case "clip":
                return module("np.clip", trees[0], ast.Constant(0), trees[1])
            case "broadcast":
                return method(module("np.broadcast_to", trees[0], sequence(trees[1])), "copy")
        if name in CONVOLUTIONS:
            trees = [sequence(tree) for tree in trees]
        if name in METHODS and isinstance(trees[0], ast.Name):
            return method(trees[0], name, *trees[1:], **options)
        if name in SAME:
            return module(SAME[name], *trees, **options)
        return self.helper(name, trees, options)

    def _filled(self, name: str, shape: ast.expr) -> ast.expr:
        return module(f"np.{name}", sequence(shape), dtype=ast.Name(self.like, ast.Load()))
