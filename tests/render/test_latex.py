"""LaTeX of expressions, of lines in matrix notation, of names and of prose."""

from __future__ import annotations

import pytest
from derived_fixtures import REPORT, D, M, N, W, X, d, derived, formulas, m, n
from hypothesis import given
from hypothesis import strategies as st

from pullback.expression import (
    ONE,
    Access,
    Call,
    Element,
    Expr,
    Index,
    Num,
    Partial,
    Size,
    Sum,
    Tensor,
    add,
    bracket,
    call,
    mul,
    neg,
    num,
    over,
    power,
)
from pullback.render import latex as page
from pullback.render import markdown
from pullback.render.latex_expression import Counting, latex
from pullback.render.latex_source import latex_text
from pullback.render.names import latex_name, latex_prose

x = Access(Tensor("x", (N,)), (n,))
y = Access(Tensor("y1", (M,)), (m,))


@pytest.mark.parametrize(
    ("e", "expected"),
    [
        (Sum((d,), mul(Access(X, (n, d)), Access(W, (d, m)))), r"\sum_{d=1}^{D} X_{n,d} \, W_{d,m}"),
        (bracket("==", m, Index("j", M)), "[m = j]"),
        (bracket("<=", m, Index("j", M)), r"[m \le j]"),
        (Partial(x, y), r"\frac{\partial x_{n}}{\partial (y_{1})_{m}}"),
        (Partial(add(x, y), y), r"\frac{\partial}{\partial (y_{1})_{m}} (x_{n} + (y_{1})_{m})"),
        (over(mul(num(2), x), N), r"\frac{2 \, x_{n}}{N}"),
        (neg(x), "-x_{n}"),
        (add(x, neg(y)), "x_{n} - (y_{1})_{m}"),
        (mul(add(x, y), x), r"(x_{n} + (y_{1})_{m}) \, x_{n}"),
        (mul(num(2), neg(add(x, y))), r"2 \, (-x_{n} - (y_{1})_{m})"),
        (power(x, num(2)), "x_{n}^{2}"),
        (power(add(x, ONE), num(2)), "(x_{n} + 1)^{2}"),
        (power(x, num("0.5")), r"\sqrt{x_{n}}"),
        (power(x, num(-1)), r"\frac{1}{x_{n}}"),
        (num("0.5"), "0.5"),
        (Num(num(1).value / 3), r"\frac{1}{3}"),
        (num("0.00001"), r"1 \cdot 10^{-5}"),
        (call("tanh", x), r"\tanh(x_{n})"),
        (call("abs", x), r"\left|x_{n}\right|"),
        (Call("floordiv", (n, num(2))), r"\left\lfloor n / 2 \right\rfloor"),
        (Call("mod", (n, num(2))), r"n \bmod 2"),
        (Size("batch"), r"\mathit{batch}"),
        (
            Element("softmax", (m,), ((d,),), (Access(Tensor("x", (D,)), (d,)),), ()),
            r"\operatorname{softmax}(x)_{m}",
        ),
        (
            Element("inv", (n, m), ((d, n),), (Access(Tensor("S", (D, N)), (d, n)),), ()),
            r"(S^{-1})_{n,m}",
        ),
    ],
)
def test_expressions(e: Expr, expected: str) -> None:
    assert latex(e) == expected


def test_sums_start_where_the_page_counts_from() -> None:
    e = Sum((n,), Access(X, (add(n, ONE), d)))
    assert latex(e, Counting(from_one=False)) == r"\sum_{n=0}^{N - 1} X_{n + 1,d}"


RANKS = {"X": 2, "W": 2, "dY": 2, "P": 2, "dP": 2, "x": 1, "dy": 1}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dX = dY @ W.T", r"dX = dY\, W^{\top}"),
        ("dX = 2 * X / N", r"dX = \frac{2\, X}{N}"),
        ("dS = P * (dP - X)", r"dS = P \odot (dP - X)"),
        ("L = trace(X) * X", r"L = \operatorname{tr}(X)\, X"),
        ("dW = outer(dy, x)", r"dW = dy\, x^{\top}"),
        ("y = (X @ W).T", r"y = (X\, W)^{\top}"),
        ("y = X - (W - X)", "y = X - (W - X)"),
        ("y = X - (W + X) * P", r"y = X - (W + X) \odot P"),
        ("y = X**2", r"y = X^{\circ 2}"),
        ("y = x**2", "y = x^{2}"),
        ("y = -x**2", "y = -x^{2}"),
        ("y = (-x)**2", "y = (-x)^{2}"),
        ("s = sum(x)", r"s = \operatorname{sum}(x)"),
        ("s = sum(X, axis=0)", r"s = \operatorname{sum}_{\mathrm{axis}=0}(X)"),
        ("s = mean(X, keepdims=True)", r"s = \operatorname{mean}_{\mathrm{keepdims}}(X)"),
        ("s = exp(-x)", r"s = \exp(-x)"),
        ("s = einsum('ij,jk->ik', X, W)", r"s = \operatorname{einsum}(\text{ij,jk} \to \text{ik}, X, W)"),
        ("Y[i,k] = X[i,j] * W[j,k]", r"Y_{i,k} = X_{i,j}\, W_{j,k}"),
        ("Y = x[:,None] * X", r"Y = x_{:,\mathrm{new}} \odot X"),
        ("Y = (" + "x + " * 950 + "x) * x", "Y = (" + "x + " * 950 + r"x) \odot x"),
        ("s = inv(X) @ W", r"s = X^{-1}\, W"),
        ("s = eye(N)", "s = I_{N}"),
        ("dX = dY * (X > 0)", r"dX = dY \odot [X > 0]"),
        ("X: [N, D]", r"X \in \mathbb{R}^{N \times D}"),
    ],
)  # fmt: skip
def test_lines_in_matrix_notation(line: str, expected: str) -> None:
    assert latex_text(line, RANKS) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("W", "W"), ("W1", "W_{1}"), ("x_hat", r"\hat{x}"), ("dx_hat", r"d\hat{x}"), ("dW1", "dW_{1}"),
        ("mu", r"\mu"), ("dmu", r"d\mu"), ("logits", r"\mathit{logits}"), ("W_out", r"W_{\mathrm{out}}"),
        ("y_1", "y_{1}"), ("x2_hat", r"\hat{x}_{2}"), ("dY", "dY"), ("d", "d"), ("μ", r"\mu"), ("_", r"\_"),
    ],
)  # fmt: skip
def test_names(name: str, expected: str) -> None:
    assert latex_name(name) == expected


@given(st.text())
def test_prose_holds_no_command_of_its_author(text: str) -> None:
    shown = latex_prose(text)
    assert shown.isascii()
    allowed = ("textbackslash", "textasciitilde", "textasciicircum", *"{}$&#%_")
    known = (
        "sum",
        "partial",
        "delta",
        "ne",
        "le",
        "ge",
        "times",
        "cdot",
        "pi",
        "to",
        "approx",
        "top",
        "circ",
    )
    known += ("odot", "prod", "in", "surd", "varepsilon")
    for part in shown.split("\\")[1:]:
        assert part.startswith((*allowed, *known))


def test_the_page_has_the_lines_of_the_derivation() -> None:
    found = derived("product")
    for form in (page, markdown):
        shown = form(found, REPORT, formulas(found))
        for line in (
            r"dW_{i,j} &= \sum_{n=1}^{N}\sum_{m=1}^{M} dY_{n,m} \, \frac{\partial Y_{n,m}}{\partial W_{i,j}}",
            r"&= X_{n,i} \, [m = j] && \text{the sum over d keeps one term: zero unless d = i}",
            r"&= \sum_{n=1}^{N} dY_{n,j} \, X_{n,i}",
            r"dW &= X^{\top}\, dY",
            r"(D \times N)\,(N \times M) &= D \times M \text{, the shape of } dW",
        ):
            assert line in shown


def test_markdown_has_headings_formulas_and_the_program_as_code() -> None:
    found = derived("product")
    shown = markdown(found, REPORT, formulas(found))
    assert shown.startswith("# Backward pass of $Y = X\\, W$\n\n```python\nY = X @ W\n```\n")
    assert shown.count("$$") % 2 == 0
    assert "```python\ndX = dY @ W.T\ndW = X.T @ dY\n```" in shown
