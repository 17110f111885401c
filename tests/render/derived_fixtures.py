"""Programs built by hand, and what is derived from them: renderers are tested without the reader."""

from __future__ import annotations

from pullback.derivation import Derived, Report, derive_program, with_sections
from pullback.expression import (
    ONE,
    Access,
    Definition,
    Element,
    Expr,
    Index,
    Size,
    Sum,
    Tensor,
    add,
    bracket,
    call,
    mul,
    num,
    over,
    power,
)
from pullback.formula import gradient_program
from pullback.program import Program
from pullback.rewriting import Section

N, D, M = Size("N"), Size("D"), Size("M")
n, d, m, k = Index("n", N), Index("d", D), Index("m", M), Index("k", M)


def matrix(name: str, *shape: Expr) -> Tensor:
    return Tensor(name, shape)


X, W, B_ = matrix("X", N, D), matrix("W", D, M), matrix("b", M)


def product() -> Program:
    y = Definition(
        matrix("Y", N, M), (n, m), Sum((d,), mul(Access(X, (n, d)), Access(W, (d, m)))), "Y = X @ W"
    )
    return Program((X, W), (y,), "Y = X @ W", (X, W))


def affine() -> Program:
    body = add(Sum((d,), mul(Access(X, (n, d)), Access(W, (d, m)))), Access(B_, (m,)))
    return Program((X, W, B_), (Definition(matrix("Y", N, M), (n, m), body, "Y = X @ W + b"),))


def vector() -> Program:
    x, w = matrix("x", N), matrix("W", M, N)
    body = Sum((n,), mul(Access(w, (m, n)), Access(x, (n,))))
    return Program((w, x), (Definition(matrix("y", M), (m,), body, "y = W @ x"),))


def square() -> Program:
    a = matrix("A", N, N)
    i, j, r = Index("i", N), Index("j", N), Index("r", N)
    body = Sum((r,), mul(Access(a, (i, r)), Access(a, (r, j))))
    return Program((a,), (Definition(matrix("Y", N, N), (i, j), body, "Y = A @ A"),))


def two_layers() -> Program:
    f, g = Size("F"), Size("G")
    x, w1, w2 = matrix("x", D), matrix("W1", D, f), matrix("W2", f, g)
    p, q = Index("f", f), Index("g", g)
    y1, y2 = matrix("y1", f), matrix("y2", g)
    return Program(
        (x, w1, w2),
        (
            Definition(y1, (p,), Sum((d,), mul(Access(x, (d,)), Access(w1, (d, p)))), "y1 = x @ W1"),
            Definition(y2, (q,), Sum((p,), mul(Access(y1, (p,)), Access(w2, (p, q)))), "y2 = y1 @ W2"),
            Definition(matrix("L"), (), Sum((q,), Access(y2, (q,))), "L = sum(y2)"),
        ),
    )


def mean_square() -> Program:
    y = matrix("Y", N, M)
    first = product().definitions[0]
    loss = over(Sum((n, m), power(Access(y, (n, m)), num(2))), N)
    return Program((X, W), (first, Definition(matrix("L"), (), loss, "L = sum(Y**2) / N")))


def tanh() -> Program:
    body = call("tanh", mul(num("0.5"), Access(X, (n, d))))
    return Program((X,), (Definition(matrix("Y", N, D), (n, d), body, "Y = tanh(0.5 * X)"),))


def relu() -> Program:
    body = call("relu", Access(X, (n, d)))
    return Program((X,), (Definition(matrix("Y", N, D), (n, d), body, "Y = relu(X)"),))


def softmax() -> Program:
    body = Element("softmax", (m,), ((k,),), (Access(matrix("x_hat", N, M), (n, k)),), ())
    x = matrix("x_hat", N, M)
    return Program((x,), (Definition(matrix("P", N, M), (n, m), body, "P = softmax(x_hat, axis=1)"),))


def convolution() -> Program:
    h, r = Size("H"), Size("R")
    out = add(h, mul(num(-1), r), ONE)
    p, t = Index("p", out), Index("r", r)
    x, w = matrix("x", h), matrix("w", r)
    body = Sum((t,), mul(Access(x, (add(p, t),)), Access(w, (t,))))
    return Program((x, w), (Definition(matrix("y", out), (p,), body, "y[p] = x[p+r] * w[r]"),))


def causal() -> Program:
    i, j = Index("i", N), Index("j", N)
    body = Sum((j,), mul(bracket("<=", j, i), Access(matrix("x", N), (j,))))
    return Program((matrix("x", N),), (Definition(matrix("y", N), (i,), body, "y[i] = (j <= i) * x[j]"),))


def gather() -> Program:
    v = Size("V")
    t, e = Tensor("t", (N,), v), matrix("E", v, D)
    body = Access(e, (Access(t, (n,)), d))
    return Program((e, t), (Definition(matrix("Y", N, D), (n, d), body, "Y[n,d] = E[t[n],d]"),))


PROGRAMS = {
    f.__name__: f
    for f in (
        product, affine, vector, square, two_layers, mean_square, tanh, relu,
        softmax, convolution, causal, gather,
    )
}  # fmt: skip


def derived(name: str) -> Derived:
    """A derivation whose steps all carry the status "exact"."""
    found = derive_program(PROGRAMS[name]())
    sections = [
        Section(s.definition, s.operand, tuple(step.checked("exact") for step in s.steps))
        for s in found.sections
    ]
    return with_sections(found, sections)


def formulas(found: Derived) -> dict[str, list[str]]:
    """The lines of each gradient, as a user sees them."""
    return {t.name: [str(line) for line in gradient_program(found, [t.name])] for t in found.wrt}


REPORT = Report(exact=16, numerical=0, unknown=0, error_bound=3e-17, central=2.4e-9, trials=({"N": 2},))
MIXED = Report(exact=3, numerical=1, unknown=2, error_bound=0.0, central=None)
