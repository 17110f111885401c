"""The words of JAX."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import ClassVar, Final

from pullback.emit.convolution_words import CONVOLUTIONS, JAX_HELPERS, JAX_NEEDS
from pullback.emit.spelling import Speller, Spelt, dotted, method, module, sequence, unsqueezed

SAME: Final = {
    "exp": "jnp.exp", "log": "jnp.log", "log1p": "jnp.log1p", "expm1": "jnp.expm1", "logaddexp": "jnp.logaddexp",
    "hypot": "jnp.hypot",
    "sqrt": "jnp.sqrt", "tanh": "jnp.tanh", "sin": "jnp.sin", "cos": "jnp.cos", "abs": "jnp.abs",
    "sign": "jnp.sign", "maximum": "jnp.maximum", "minimum": "jnp.minimum", "where": "jnp.where",
    "outer": "jnp.outer", "diag": "jnp.diag", "trace": "jnp.trace", "tril": "jnp.tril", "triu": "jnp.triu",
    "kron": "jnp.kron", "cumsum": "jnp.cumsum", "take": "jnp.take", "sum": "jnp.sum", "mean": "jnp.mean",
    "max": "jnp.max", "min": "jnp.min", "prod": "jnp.prod", "concatenate": "jnp.concatenate",
    "einsum": "jnp.einsum", "arange": "jnp.arange", "inv": "jnp.linalg.inv", "det": "jnp.linalg.det",
    "solve": "jnp.linalg.solve", "cholesky": "jnp.linalg.cholesky", "erf": "jax.scipy.special.erf",
    "arctan": "jnp.arctan", "arcsin": "jnp.arcsin", "arccos": "jnp.arccos", "arctan2": "jnp.arctan2",
    "lgamma": "jax.scipy.special.gammaln", "digamma": "jax.scipy.special.digamma",
    "polygamma": "jax.scipy.special.polygamma", "sigmoid": "jax.nn.sigmoid", "relu": "jax.nn.relu",
    "softplus": "jax.nn.softplus",
    "softmax": "jax.nn.softmax", "log_softmax": "jax.nn.log_softmax", "logsumexp": "jax.nn.logsumexp",
}  # fmt: skip
METHODS: Final = ("sum", "mean", "max", "min", "prod", "cumsum")

HELPERS: Final = {
    "gelu": '''
def gelu(x: Array) -> Array:
    """x * Φ(x), with the exact normal distribution function."""
    return x * jax.scipy.special.erfc(-x / math.sqrt(2)) / 2
''',
    "weighted_softmax": '''
def weighted_softmax(x: Array, w: Array, axis: int | tuple[int, ...] = -1) -> Array:
    """w * exp(x) / Σ w * exp(x) along an axis, without overflow."""
    m = jax.lax.stop_gradient(jnp.where(w != 0, x, -jnp.inf).max(axis=axis, keepdims=True))
    e = w * jnp.exp(jnp.where(w != 0, x - m, -jnp.inf))
    return e / e.sum(axis=axis, keepdims=True)
''',
    "weighted_logsumexp": '''
def weighted_logsumexp(x: Array, w: Array, axis: int | tuple[int, ...] = -1) -> Array:
    """log(Σ w * exp(x)) along an axis, without overflow."""
    m = jax.lax.stop_gradient(jnp.where(w != 0, x, -jnp.inf).max(axis=axis, keepdims=True))
    e = w * jnp.exp(jnp.where(w != 0, x - m, -jnp.inf))
    return jnp.squeeze(m + jnp.log(e.sum(axis=axis, keepdims=True)), axis=axis)
''',
    "norm": '''
def norm(x: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
    """sqrt(Σ x²) along an axis; the squares neither overflow nor vanish."""
    m = jax.lax.stop_gradient(jnp.abs(x).max(axis=axis, keepdims=True, initial=0))
    m = jnp.where(m > 0, m, 1)
    y = m * jnp.sqrt(((x / m) ** 2).sum(axis=axis, keepdims=True))
    return y if keepdims else jnp.squeeze(y, axis=axis)
''',
    "add_rows": '''
def add_rows(t: Array, rows: int, x: Array) -> Array:
    """For each row v of the result the sum of the rows x[b] with t[b] = v."""
    return jnp.zeros((rows,) + x.shape[1:], x.dtype).at[t].add(x)
''',
    "logdet": '''
def logdet(x: Array) -> Array:
    """log |det x|."""
    return jnp.linalg.slogdet(x).logabsdet
''',
    **JAX_HELPERS,
}


class Jax(Speller):
    """Spells in JAX. New arrays take their type from the array named `like`."""

    names_of_target: ClassVar[Mapping[str, str]] = SAME
    helpers_of_target: ClassVar[Mapping[str, str]] = HELPERS
    needs = JAX_NEEDS
    adds_at_labels = False  # it is compiled into one loop

    def pi(self) -> ast.expr:
        return dotted("math.pi")

    def cast(self, tree: ast.expr) -> ast.expr:
        return method(tree, "astype", self._type())

    def call(self, name: str, arguments: list[Spelt], options: dict[str, ast.expr]) -> ast.expr:
        untouched = name in ("where", "take", "abs", "maximum", "minimum", "reshape", "transpose", "clip")
        trees = [self.number(a) if untouched else self.real(a) for a in arguments]
        match name:
            case "pick":
                picked = module(
                    "jnp.take_along_axis", trees[0], unsqueezed(arguments[1].tree), axis=ast.Constant(-1)
                )
                return method(picked, "squeeze", ast.Constant(-1))
            case "where":
                return self._where(*arguments)
            case "eye" | "ones" | "zeros":
                return module(f"jnp.{name}", sequence(arguments[0].tree), dtype=self._type())
            case "onehot":
                return module("jax.nn.one_hot", arguments[0].tree, arguments[1].tree, dtype=self._type())
            case "arange":
                return module("jnp.arange", arguments[0].tree)
            case "broadcast" | "reshape" if arguments[0].kind == "number":
                return module("jnp.full", sequence(trees[1]), trees[0], self._type())
            case "reshape" | "transpose":
                return method(trees[0], name, sequence(trees[1]))
            case "clip":
                return module("jnp.clip", trees[0], ast.Constant(0), trees[1])
            case "broadcast":
                return module("jnp.broadcast_to", trees[0], sequence(trees[1]))
        if name in CONVOLUTIONS:
            trees = [sequence(tree) for tree in trees]
        if name in METHODS and isinstance(trees[0], ast.Name):
            return method(trees[0], name, *trees[1:], **options)
        if name in SAME:
            return module(SAME[name], *trees, **options)
        return self.helper(name, trees, options)

    def _where(self, condition: Spelt, a: Spelt, b: Spelt) -> ast.expr:
        second = self.number(b)
        if a.kind == b.kind == "number":  # two Python numbers would make the default type
            second = module("jnp.asarray", second, self._type())
        return module("jnp.where", condition.tree, self.number(a), second)

    def _type(self) -> ast.expr:
        return dotted(f"{self.like}.dtype")
