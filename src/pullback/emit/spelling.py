"""The language's functions in NumPy's spelling."""

from __future__ import annotations

import ast
from typing import Final

# Functions that are one call of NumPy with the same arguments.
SAME: Final = {
    "exp": "exp", "log": "log", "log1p": "log1p", "expm1": "expm1", "logaddexp": "logaddexp", "sqrt": "sqrt",
    "tanh": "tanh", "sin": "sin", "cos": "cos",
    "abs": "abs", "sign": "sign", "maximum": "maximum", "minimum": "minimum", "where": "where",
    "outer": "outer", "diag": "diag", "trace": "trace", "tril": "tril", "triu": "triu", "kron": "kron",
    "cumsum": "cumsum", "take": "take", "sum": "sum", "mean": "mean", "max": "max", "min": "min",
    "prod": "prod", "reshape": "reshape", "transpose": "transpose", "concatenate": "concatenate",
    "einsum": "einsum",
}  # fmt: skip
LINALG: Final = {"inv": "inv", "det": "det", "solve": "solve", "cholesky": "cholesky"}
METHODS: Final = ("sum", "mean", "max", "min", "prod", "reshape", "transpose", "cumsum")

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
    "logdet": '''
def logdet(x):
    """log |det x|."""
    return np.linalg.slogdet(x)[1]
''',
}
NEEDS: Final = {"log_softmax": ("logsumexp",)}


def np_call(name: str, *arguments: ast.expr, **keywords: ast.expr) -> ast.expr:
    return ast.Call(attribute(name), list(arguments), [ast.keyword(k, v) for k, v in keywords.items()])


def attribute(dotted: str) -> ast.expr:
    """`np.name`, with dots in the name."""
    node: ast.expr = ast.Name("np", ast.Load())
    for part in dotted.split("."):
        node = ast.Attribute(node, part, ast.Load())
    return node


class ToNumpy(ast.NodeTransformer):
    """Rewrites an expression of the language into NumPy. `helpers` collects what has to be written out."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype  # the name of a variable that holds the floating type
        self.helpers: set[str] = set()
        self.uses_dtype = False

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return attribute("pi") if node.id == "pi" else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        node.left, node.right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Add | ast.Sub | ast.Div | ast.MatMult):
            # NumPy subtracts no booleans, and adds them as "or".
            node.left, node.right = self._number(node.left), self._number(node.right)
        elif isinstance(node.op, ast.Mult) and _is_mask(node.left) and _is_mask(node.right):
            node.left = self._number(node.left)
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        node.operand = self._number(self.visit(node.operand))
        return node

    def _number(self, node: ast.expr) -> ast.expr:
        if not _is_mask(node):
            return node
        self.uses_dtype = True
        return ast.Call(ast.Attribute(node, "astype", ast.Load()), [ast.Name(self.dtype, ast.Load())], [])

    def visit_Call(self, node: ast.Call) -> ast.expr:
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        arguments = [self.visit(argument) for argument in node.args]
        keywords = {k.arg: self.visit(k.value) for k in node.keywords if k.arg is not None}
        if name not in ("where",):
            arguments = [self._number(argument) for argument in arguments]
        match name:
            case "eye" | "ones" | "zeros":
                return self._filled(name, arguments[0])
            case "onehot":
                rows = self._filled("eye", arguments[1])
                return ast.Subscript(rows, arguments[0], ast.Load())
            case "einsum" if len(arguments) > 3:
                keywords["optimize"] = ast.Constant(True)
            case "reshape":
                return _method(arguments[0], "reshape", _tuple(arguments[1]))
            case "transpose":
                return _method(arguments[0], "transpose", _tuple(arguments[1]))
        if name in METHODS and isinstance(arguments[0], ast.Name):
            return _method(arguments[0], name, *arguments[1:], **keywords)
        if name in SAME:
            return np_call(SAME[name], *arguments, **keywords)
        if name in LINALG:
            return np_call(f"linalg.{LINALG[name]}", *arguments, **keywords)
        self.helpers.update((name, *NEEDS.get(name, ())))
        return ast.Call(
            ast.Name(name, ast.Load()), arguments, [ast.keyword(k, v) for k, v in keywords.items()]
        )

    def _filled(self, name: str, shape: ast.expr) -> ast.expr:
        self.uses_dtype = True
        return np_call(name, _tuple(shape), dtype=ast.Name(self.dtype, ast.Load()))


def _is_mask(node: ast.expr) -> bool:
    return isinstance(node, ast.Compare)


def _tuple(node: ast.expr) -> ast.expr:
    return ast.Tuple(node.elts, ast.Load()) if isinstance(node, ast.List) else node


def _method(node: ast.expr, name: str, *arguments: ast.expr, **keywords: ast.expr) -> ast.expr:
    function = ast.Attribute(node, name, ast.Load())
    return ast.Call(function, list(arguments), [ast.keyword(k, v) for k, v in keywords.items()])
