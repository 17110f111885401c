"""How people write, in the language."""

from __future__ import annotations

import pytest

from pullback.derivations.grammar import read_sides
from pullback.derivations.handwriting import plain
from pullback.derivations.lowering import Lowering
from pullback.derivations.names import Names
from pullback.errors import PullbackError


def names() -> Names:
    ranks = {
        "X": 2,
        "W": 2,
        "Y": 2,
        "A": 2,
        "Q": 2,
        "K": 2,
        "O": 2,
        "P": 2,
        "x": 1,
        "y": 1,
        "p": 1,
        "y2": 1,
        "a": 0,
    }
    return Names(ranks, {"N", "B", "M", "d_k"}, {"L"}, "Y")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("X^T dY", "X.T @ dY"),
        ("Xᵀ G", "X.T @ dY"),
        ("X' dY", "X.T @ dY"),
        ("XW", "X @ W"),
        ("QKᵀ/sqrt(d_k)", "Q @ K.T / sqrt(d_k)"),
        ("QKᵀ/√d_k", "Q @ K.T / sqrt(d_k)"),
        ("∂L/∂W_ij", "dW[i, j]"),
        ("dL/dW_ij", "dW[i, j]"),
        ("∂L/∂Wᵢⱼ", "dW[i, j]"),
        (r"\frac{\partial L}{\partial W_{ij}}", "dW[i, j]"),
        ("∇_W L", "dW"),
        ("grad_W", "dW"),
        ("W_grad", "dW"),
        ("X̄", "dX"),
        ("dL_dX", "dX"),
        ("grad_output", "dY"),
        ("∂Y[a][j]/∂X[i][j]", "dY_by_dX[a, j, i, j]"),
        ("∂y_{2k}/∂X_ij", "dy2_by_dX[k, i, j]"),
        ("Σ_k X_ik W_kj", "X[i, k] * W[k, j]"),
        ("Σₖ Xᵢₖ Wₖⱼ", "X[i, k] * W[k, j]"),
        ("sum_k X_ik W_kj", "X[i, k] * W[k, j]"),
        ("Σ_{k=1}^{N} Σ_l X_kl", "X[k, l]"),
        ("Σ_{j<=i} P_ij", "P[i, j] * (j <= i)"),
        ("p_j (x_j − Σ_k x_k p_k)", "part1 = x[k] * p[k]; p[j] * (x[j] - part1)"),
        ("δ_ik x_l", "(i == k) * x[l]"),
        ("[i = k] x_l", "(i == k) * x[l]"),
        ("delta_ik x_l", "(i == k) * x[l]"),
        ("x yᵀ", "outer(x, y)"),
        ("x ⊗ y", "outer(x, y)"),
        ("xᵀ A x", "x @ A @ x"),
        ("A^{-1} A^-T", "inv(A) @ inv(A).T"),
        ("P ∘ (X − Y)", "P * (X - Y)"),
        ("P ⊙ X", "P * X"),
        ("rowsum(X ∘ Y)", "sum(X * Y, axis=-1, keepdims=True)"),
        ("dY.sum(0)", "sum(dY, axis=0)"),
        ("np.sum(dY, axis=0)", "sum(dY, axis=0)"),
        ("tr(AᵀX)", "trace(A.T @ X)"),
        ("||x||²", "norm(x) ** 2"),
        ("|a|", "abs(a)"),
        ("(X W)_ij", "part1 = X @ W; part1[i, j]"),
        ("W^T[i][a]", "W[a, i]"),
        ("2 a x", "2 * a * x"),
        ("x_{1}", "x[0]"),
        ("x[1]", "x[1]"),
        ("-2Xᵀ(Y - X A)/N", "-(2 * X.T @ (Y - X @ A) / N)"),
    ],
)
def test_spellings(written: str, read: str) -> None:
    lowering = Lowering(names())
    (tree,) = read_sides(written, lowering.names)
    low = lowering.side(tree)
    assert "; ".join([*low.above, low.text]) == read


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("X W +", "is expected before `the end of the line`"),
        ("X W)", "stands where the line should end"),
        ("(X W", "`)` is expected"),
        ("X ? W", "has no meaning here"),
        ("Σ X", "says over which index"),
        ("Σ_N X", "has another meaning"),
        ("Σ_k x_i", "has no term with k"),
        ("δ_ijk", "two indices"),
        ("∂/∂X", "is expected before `the end of the line`"),
        ("∂/X", "`∂` is expected before `X`"),
        ("∂Y/∂(X)", "a derivative is by a name"),
        ("∂(X W)/∂X", "a derivative of this is not read"),
        ("∂ softmax(X)/∂X", "a derivative of softmax is not read here"),
        ("foo(X)", ""),
        ("Z", "`Z` is not known here"),
        ("X^*", "is expected before"),
        ("X[]", "an index is missing"),
        ("X.fit(3)", "is not known"),
        ("∇ L", "says by which tensor"),
        ("(" * 60 + "X" + ")" * 60, "nest more than 40 deep"),
        ("X" * 3000, "a line of 3,000 characters"),
    ],
)
def test_errors(written: str, message: str) -> None:
    lowering = Lowering(names())
    if not message:
        assert lowering.side(read_sides(written, lowering.names)[0]).text == written
        return
    with pytest.raises(PullbackError) as caught:
        lowering.side(read_sides(written, lowering.names)[0])
    assert message in caught.value.message


def test_an_index_that_nothing_binds() -> None:
    lowering = Lowering(names())
    (tree,) = read_sides("Σ_k X_ik x_r", lowering.names)
    with pytest.raises(PullbackError, match="the index r stands neither on the left nor under a sum"):
        lowering.side(tree, ["i"])


@pytest.mark.parametrize(("text", "found"), [("x̂ᵢ²", "x_hat_{i}^{2}"), ("σ(z)", "sigma(z)"), ("𝐖ᵀ", "W^{T}")])
def test_signs(text: str, found: str) -> None:
    assert plain(text) == found
