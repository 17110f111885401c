"""`proofread`: what a user brings, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pullback import PullbackError, proofread
from pullback.cli import main
from pullback.proofreading import Proofreading

LINEAR = "X: [N, D]\nW: [D, M]\nY = X @ W\n"


def block(text: str) -> str:
    return f"```\n{text}\n```"


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        (LINEAR + "dW = X.T @ dY", True),
        (LINEAR + "dW = dY.T @ X", False),
        (LINEAR + "dW = Xᵀ G", True),
        (LINEAR + "dW[i,j] = X[n,i] * dY[n,j]", True),
        (LINEAR + "dW_ij = X_ni dY_nj = dY_nj X_ni", True),
        (LINEAR + "X̄ = Ȳ Wᵀ", True),
        (LINEAR + "grad_X = grad_output @ W.T", True),
        (LINEAR + "dW = X^T dY +", None),
        (LINEAR + "dW = X^T dZ", None),
        ("x: [N]\nL = sum(x**2)\ndx = 2 x", True),
        ("x: [N]\nL = sum(x**2)\ndx = x", False),
        ("x: [N]\ny = tanh(x)\ndx = dy ∘ (1 − y²)", True),
        ("x: [N]\ny = σ(x)\n∂y_i/∂x_j = δ_ij y_i (1 - y_i)", True),
        ("x: [N]\np = softmax(x)\n∂p_i/∂x_j = p_i (δ_ij − p_j)", True),
        ("x: [N]\np = softmax(x)\n∂p_i/∂x_j = p_i (δ_ij + p_j)", False),
        ("x: [N]\np = softmax(x)\ndx_j = p_j (dp_j − Σ_k dp_k p_k)", True),
        ("x: [N]\ns = x @ x\nlet = 2 s\nds = 1", None),
        ("A: [N, N]\nx: [N]\nf = x^T A x\ndx = 2 A x", False),
        ("A: [N, N]\nx: [N]\nsymmetric(A)\nf = x^T A x\ndx = 2 A x", True),
        ("A: [N, N]\nx: [N]\nf = x^T A x\ndx = (A + A^T) x\ndA = x x^T", True),
        ("X: [N, D]\nw: [D]\ny: [N]\nL = ||X w - y||²/N\n∂L/∂w = 2/N Xᵀ(X w − y)", True),
        ("S: [N, N]\nf = logdet(S)\ndS = S^{-T}", True),
        ("X: [N, D]\nμ = mean(X, axis=0)\nY = X − μ\ndX = dY − mean(dY, axis=0)", True),
        ("Q: [N, d]\nK: [N, d]\nS = Q Kᵀ\ndK = dSᵀ Q\ndQ = dS K", True),
    ],
)
def test_verdicts(text: str, ok: bool | None) -> None:
    assert proofread(block(text)).ok is ok


def test_a_line_is_held_against_the_one_before() -> None:
    report = proofread(block(LINEAR + "dW = X dY = dY X\ndW = X^T dY\ndX = 2 dY W^T\ndX = dY W^T + dY W^T"))
    assert [line.follows for line in report.lines[1:]] == [None, None, None, None, True]
    assert [line.ok for line in report.lines[1:]] == [False, False, True, False, False]
    assert "it follows from what was said before, which is wrong already" in report.explain()


CROSS_ENTROPY = r"""
Let $z \in \mathbb{R}^K$ be logits and $y \in \mathbb{R}^K$ a target distribution. Define
$$p_i = \frac{e^{z_i}}{\sum_k e^{z_k}}, \qquad L = -\sum_i y_i \log p_i$$
The Jacobian of the softmax is
$$\frac{\partial p_i}{\partial z_j} = p_i(\delta_{ij} - p_j)$$
and therefore
$$\frac{\partial L}{\partial z_j} = -\sum_i y_i \frac{1}{p_i} \frac{\partial p_i}{\partial z_j}
  = -y_j + p_j \sum_i y_i$$
Because y sums to one, $\frac{\partial L}{\partial z} = p - y$.
"""
LOGISTIC = """
Data X ∈ ℝ^{n×d}, labels t ∈ ℝ^n, weights w ∈ ℝ^d.
z = X w
p = σ(z)
L = −(1/n) Σ_i [t_i log p_i + (1 − t_i) log(1 − p_i)]
∂L/∂z_i = (p_i − t_i)/n
∂L/∂w_j = 1/n Σ_i (p_i − t_i) X_ij
∂p_i/∂z_j = p_i(1 − p_i)
"""
RIDGE = """
Let X be N×D, y a vector in R^N. J(w) = ||Xw - y||^2 + λ||w||^2.
Expanding, ∇J = 2X^T(Xw - y) + 2λw.
"""
QUADRATIC = """
We want the gradient of `f(x) = xᵀAx + bᵀx`, where `x ∈ ℝⁿ`, `A ∈ ℝⁿˣⁿ`, `b ∈ ℝⁿ`.
- ∂f/∂x = 2Ax + b
- ∂f/∂x = (A + Aᵀ)x + b
- ∂f/∂A = x xᵀ
- ∂f/∂x_k = Σ_j A_kj x_j + Σ_i A_ik x_i + b_k
"""
LAYER_NORM = """
Layer norm without affine parameters on a row vector $x \\in \\mathbb{R}^D$:

    μ = (1/D) Σ_i x_i
    v = (1/D) Σ_i (x_i − μ)²
    σ = √(v + 0.1)
    y_i = (x_i − μ) / σ

    dx = (1/σ) (dy − mean(dy) − y ∘ mean(dy ∘ y))
    dx_j = 1/σ (dy_j − 1/D Σ_i dy_i − y_j/D Σ_i dy_i y_i)
    dx_j = 1/σ (dy_j − 1/D Σ_i dy_i)
"""


@pytest.mark.parametrize(
    ("text", "verdicts", "reason"),
    [
        (CROSS_ENTROPY, [True, True, True, True], ""),
        (
            CROSS_ENTROPY.replace("a target distribution", "given").replace("Because y sums to one", "So"),
            [True, True, True, False],
            "it is right only if the entries of y sum to 1",
        ),
        (LOGISTIC, [True, True, False], "it is right only if n = 1"),
        (RIDGE, [True], ""),
        (QUADRATIC, [False, True, True, True], "it is right only if A is symmetric"),
        (LAYER_NORM, [True, True, False], "it is right only if D = 1"),
    ],
)
def test_documents(text: str, verdicts: list[bool], reason: str) -> None:
    report = proofread(text)
    assert [line.ok for line in report.lines if line.is_judged] == verdicts
    assert report.first_wrong is None or reason in report.first_wrong.reason
    assert (report.first_wrong is None) is (not reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("W: [M, N]\nx: [N]\ny = W x\n∂L/∂x = ∂y/∂x ∂L/∂y", "layout of the Jacobian"),
        (LINEAR + "∂L/∂W = ∂L/∂Y ∂Y/∂W", "layout of the Jacobian"),
        (LINEAR + "D = rowsum(dY ∘ Y)\ndW = X^T dY", "`D` is a size here"),
        (LINEAR + "dY = X W", "is given from outside"),
    ],
)
def test_what_may_mean_something_else_is_left_open(text: str, reason: str) -> None:
    report = proofread(block(text))
    assert report.ok is None
    assert any(reason in line.reason for line in report.lines)


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        (LINEAR + "f = sum(Y)\ndf = tr(W^T dX^T)", [False]),
        (LINEAR + "dY = dX W + X dW", [True]),
        (LINEAR + "dY = dX W", [True]),
        (LINEAR + "dY = W dX", [False]),
        (LINEAR + "Z = tanh(Y)\ndY = dX W + X dW\ndZ = (1 - Z**2) ∘ dY", [True, True]),
        (LINEAR + "L = loss(Y)\ndL = tr(G^T dX W) = tr(W G^T dX)\n∂L/∂X = G W^T", [True, True, True]),
        (LINEAR + "L = loss(Y)\ndL = tr(G dX W)", [False]),
        ("X: [N, D]\nA: [N, N]\nf = tr(X^T A X)\ndf = tr(2 X^T A dX)\n∇_X f = (A + A^T) X", [False, True]),
        ("A: [N, N]\nsymmetric(A)\nX: [N, D]\nf = tr(X^T A X)\ndf = tr(2 X^T A dX)", [True]),
        ("X: [N, N]\nf = log det(X)\ndf = tr(X^{-1} dX)\ndf = tr(X dX)", [True, False]),
    ],
)
def test_differentials(text: str, verdicts: list[bool]) -> None:
    assert judged(proofread(block(text))) == verdicts


ATTENTION = "Q, K, V: [N, E]\nS = Q K^T\nP = softmax(S)\nO = P V\n"


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        ("X: [N, D]\nb: [D]\nY = X + b\n∂L/∂b = Σ_n dY_n", [True]),
        ("X: [N, D]\nb: [D]\nY = X + b\n∂L/∂b = (1/N) Σ_n dY_n", [False]),
        (ATTENTION + "dv_j = Σ_i P_ij do_i\ndP_ij = do_i^T v_j\ndq_i = Σ_j dS_ij k_j", [True, True, True]),
        (ATTENTION + "dv_j = Σ_i P_ji do_i\ndk_j = Σ_i dS_ij q_i", [False, True]),
        (ATTENTION + "D_i = do_i^T o_i\ndS_ij = P_ij (dP_ij - D_i)", [True]),
        (ATTENTION + "dS_{i:} = P_{i:} ∘ dP_{i:} - (P_{i:}^T dP_{i:}) P_{i:}", [True]),
        (LINEAR + "dW = Σ_i x_i dy_i^T", [True]),
        (LINEAR + "dW = Σ_i dy_i x_i^T", [False]),
        (LINEAR + "dX_i = W dY_i", [True]),
        ("X: [N, D]\nW: [D, M]\nb: [M]\ny_i = W^T x_i + b\ndb = Σ_i dy_i\ndx_i = W dy_i", [True, True]),
        ("X: [N, D]\nW: [D, M]\nb: [M]\nY = X W + 𝟙 b^T\ndb = dY^T 𝟙\ndb = dY 𝟙", [True, False]),
        (
            "A: [M, N]\nx: [N]\nL = ½ ||A x||² + ½ lam ||x||²\n∇²_x L = A^T A + λ I\n∇²_x L = A^T A",
            [True, False],
        ),
    ],
)
def test_rows_by_one_index_ones_and_the_identity(text: str, verdicts: list[bool]) -> None:
    assert judged(proofread(block(text))) == verdicts


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        ("z: [N]\na = σ(z)\n∂L/∂z = ∂L/∂a ⊙ σ'(z)\n∂L/∂z = ∂L/∂a ⊙ σ'(a)", [True, False]),
        ("z: [N]\na = tanh(z)\n∂L/∂z = ∂L/∂a ⊙ tanh'(z)", [True]),
        ("x: []\nf(x) = log(1 + exp(x))\nf'(x) = σ(x)\nf''(x) = σ(x)(1 − σ(x))", [True, True]),
        ("x: []\nf(x) = log(1 + exp(x))\nf''(x) = σ(x)(1 + σ(x))", [False]),
        ("x: []\nf = x**3\nd²f/dx² = 6 x\n∂²f/∂x² = 3 x", [True, False]),
        ("x: [N]\nL = Σ_i x_i³\n∂²L/∂x_i∂x_j = 6 x_i δ_ij\n∂²L/∂x_i∂x_j = 6 x_i", [True, False]),
        ("x: [N]\nA: [N, N]\nf = x^T A x\n∇²_x f = A + A^T\n∇_x² f = 2 A", [True, False]),
    ],
)
def test_primes_and_second_derivatives(text: str, verdicts: list[bool]) -> None:
    assert judged(proofread(block(text))) == verdicts


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        # Definitions in any order, names for parts, functions by a name.
        ("    X: [N, D]\n    W: [D, M]\n    h = relu(Z)\n    Z = X W\n\n    dW = X^T (dh ∘ (Z > 0))", [True]),
        ("    x: [N]\n    W: [M, N]\n    y = 3 relu(W x)\n    a = relu(W x)\n\n    da = 3 dy", [True]),
        (
            "    x: [N]\n    y = φ(x), where φ = tanh\n\n    dx = dy ∘ (1 - y²)\n    dx = dy ∘ φ'(x)",
            [True, True],
        ),
        ("    x: [N]\n    y = x σ(x)\n\n    dx = dy ∘ (σ(x) + y ∘ (1 - σ(x)))", [True]),
        (
            "    X: [N, D]\n    μ_j = 1/N Σ_i x_ij\n    Y_ij = x_ij - μ_j\n\n    dX_ij = dY_ij - 1/N Σ_k dY_kj",
            [True],
        ),
        (
            "    x: [N]\n    σ² = 1/N Σ_i x_i²\n    y_i = x_i / σ\n\n    ∂L/∂σ² = -1/(2 σ³) Σ_i dy_i x_i",
            [True],
        ),
        ("    x: [P+K-1]\n    w: [K]\n    y[p] = Σ_k x[p+k] w[k]\n\n    dw[k] = Σ_p dy[p] x[p+k]", [True]),
        # What the text states holds for its lines.
        (
            "z, y in R^K, where y is one-hot.\n\n    L = -Σ_i y_i log softmax(z)_i\n    dz = softmax(z) - y",
            [True],
        ),
        (
            "    z: [K]\n    y: [K]\n    L = -Σ_i y_i log softmax(z)_i\n    dz = softmax(z) - y   since Σ_i y_i = 1",
            [False],
        ),
        ("    A: [N, N]\n    x: [N]\n    f = x^T A x\n    ∇_x f = 2 A x\n\nHere A is symmetric.", [True]),
        (
            "    u: [D]\n    V: [N, D]\n    s_i = u^T v_i\n    L = -s_1 + log Σ_i exp(s_i)\n\n"
            "    ∂L/∂s_i = softmax(s)_i - [i = 1]",
            [True],
        ),
        (
            "    X: [N, M]\n    B: [M, K]\n    Y: [N, K]\n    R = Y - X B\n    J = ||R||²\n\n"
            "    dJ = 2 tr(R^T dR) = -2 tr(R^T X dB)",
            [True, True],
        ),
        (
            "x ∈ R^n, μ ∈ R^n, S ∈ R^{n×n}\n\n    f = (x − μ)ᵀ S⁻¹ (x − μ)\n    ∇_x f = (S⁻¹ + S⁻ᵀ) (x − μ)",
            [True],
        ),
        (
            "A: [m, n]\n\n    f = log det(I + AᵀA)\n    ∇_A f = 2 A (I + AᵀA)⁻¹\n    ∇_A f = A (I + AᵀA)⁻¹",
            [True, False],
        ),
        (
            "z: [K], τ: []\n\n    p = softmax(z / τ)\n    L = -log p_1\n    ∂L/∂z_j = (p_j - δ_{j1}) / τ",
            [True],
        ),
        ("A, X: [m, n]\n\n    f = ⟨A, X⟩\n    df = ⟨A, dX⟩\n    ∇_X f = A", [True, True]),
        ("h = silu(a) ∘ b, with a, b ∈ R^n and silu(a) = a σ(a)\n\n    db = dh ∘ silu(a)", [True]),
        # In prose, gradients of one letter and products of two are mathematics.
        ("Let y = W x with W ∈ R^{M×N}, x ∈ R^N. Then dW = dy x^T and dx = W^T dy hold.", [True, True]),
    ],
)
def test_what_people_leave_to_the_reader(text: str, verdicts: list[bool]) -> None:
    assert judged(proofread(text)) == verdicts


LATEX = r"""Let $Y = XW$ with $X \in \mathbb{R}^{N \times D}$, $W \in \mathbb{R}^{D \times M}$.
Let $h = \mathrm{ReLU}(Y)$.
"""


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        (
            LATEX
            + "$$\n\\boxed{\\frac{\\partial L}{\\partial W} = X^\\top \\frac{\\partial L}{\\partial Y}}\n$$",
            [True],
        ),
        (
            LATEX + "$$\\frac{\\partial L}{\\partial W} = \\frac{\\partial L}{\\partial Y} X^{\\mathsf{T}}$$",
            [False],
        ),
        (
            LATEX
            + "\\begin{align*}\n\\nabla_W L &= X^\\top \\nabla_Y L, \\\\\n"
            + "\\nabla_X L &= \\nabla_Y L\\, W^\\top\n\\end{align*}",
            [True, True],
        ),
        (
            LATEX
            + "\\[\n\\frac{\\partial h_{ij}}{\\partial Y_{ij}} = \\begin{cases} 1 & \\text{if } Y_{ij} > 0 "
            "\\\\ 0 & \\text{otherwise} \\end{cases}\n\\]",
            [True],
        ),
        (
            LATEX
            + "$$\\frac{\\partial L}{\\partial Y_{ij}} = \\begin{cases} \\frac{\\partial L}{\\partial h_{ij}} & "
            "Y_{ij} < 0 \\\\ 0 & \\text{else} \\end{cases}$$",
            [False],
        ),
        (LATEX + "Then $\\nabla_Y L = \\nabla_h L \\odot \\mathbb{1}[Y > 0]$ follows.", [True]),
    ],
)
def test_latex(text: str, verdicts: list[bool]) -> None:
    assert judged(proofread(text)) == verdicts


def judged(report: Proofreading) -> list[bool | None]:
    return [line.ok for line in report.lines if line.is_judged]


def test_a_line_that_is_right_with_what_was_said_above() -> None:
    scaled = "X: [N, D]\nW: [D, M]\nY = X W\nZ = 3 Y\nG = exp(Z)\ndZ = dG ∘ G ∘ 3\ndW = Xᵀ dZ"
    report = proofread(block(scaled.replace("∘ 3", "* 3")))
    assert [line.ok for line in report.lines if line.is_judged] == [False, True]
    assert "it is right with dZ as said above" in report.lines[-1].reason
    assert proofread(block(scaled.replace(" ∘ 3", "").replace("dW = Xᵀ dZ", "dW = 3 Xᵀ dZ"))).ok is True


@pytest.mark.parametrize(
    "text",
    [
        "V: [N, N]\nx: [N]\nL = tril(V)\nf = sum(L @ x)\ndV = tril(outer(ones([N]), x))",
        "S: [D, D]\nx: [D]\nz = solve(S, x)\nu = solve(S.T, dz)\nP = outer(u, z)\ndx = u\ndS = -P",
    ],
)
def test_names_that_could_be_taken_for_something_else(text: str) -> None:
    assert proofread(block(text)).ok is True


def test_row_sums_are_a_column_or_a_vector() -> None:
    text = "W: [M, N]\nb: [M]\nx: [N, K]\nY[m,k] = W[m,n] * x[n,k] + b[m] * (n == 0)\ndb = rowsum(dY)"
    assert proofread(block(text)).ok is not False
    assert proofread(block("A: [N, D]\nw: [N]\nY = A * reshape(w, [N, 1])\ndw = rowsum(dY ∘ A)")).ok is True


def test_a_helper_on_the_way_back() -> None:
    report = proofread(block("x: [N]\np = softmax(x)\ns = dp @ p\ndx = p ∘ (dp − s)"))
    assert report.ok is True
    assert [line.kind for line in report.lines] == ["definition", "definition", "gradient"]


def test_a_loss_without_a_formula() -> None:
    report = proofread(block(LINEAR + "Z = exp(Y)\nL = loss(Z)\n∂L/∂Y = ∂L/∂Z ∘ Z\n∂L/∂W = Xᵀ ∂L/∂Y"))
    assert report.ok is True
    assert report.program == "Y = X @ W\nZ = exp(Y)"


def test_the_program_may_stand_beside_the_text() -> None:
    report = proofread("Clearly dW = dY^T X.", "Y = X @ W", {"X": "N D", "W": "D M"})
    assert report.ok is False
    assert report.first_wrong is not None
    assert report.first_wrong.line == 1
    assert bool(report) is False


def test_prose_is_left_out_and_mathematics_is_not() -> None:
    text = (
        "In a linear layer the weight gradient = output gradient times input, people say.\n\n"
        "With X ∈ R^{N×D} and W ∈ R^{D×M} we have Y = X W, and so dW = X^T dY ~ dX.\n"
    )
    report = proofread(text)
    assert [line.text for line in report.unreadable] == ["dW = X^T dY ~ dX"]
    assert report.ok is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the derivation is empty"),
        ("Nothing at all.", "no forward definition is found"),
        (block(LINEAR), "claims nothing that could be judged"),
        ("x" * 300_000, "characters of the derivation"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(PullbackError) as caught:
        proofread(text)
    assert message in caught.value.message


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PullbackError, match="cannot be read"):
        proofread(tmp_path / "none.md")
    (tmp_path / "bytes.md").write_bytes(b"\xff\xfe")
    with pytest.raises(PullbackError, match="does not hold UTF-8 text"):
        proofread(tmp_path / "bytes.md")


def test_json() -> None:
    data: dict[str, Any] = json.loads(proofread(block(LINEAR + "dW = X^T dY\ndX = dY W")).json())
    assert data["ok"] is False
    assert [line["ok"] for line in data["lines"]] == [True, True, False]
    assert data["lines"][2]["verdict"]["mend"]["after"] == "dY @ W.T"
    assert data["lines"][1]["read"] == "X.T @ dY"


@pytest.mark.parametrize(("last", "code"), [("dW = X^T dY", 0), ("dW = X dY", 1), ("dW = X^T dY @", 2)])
def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str], last: str, code: int) -> None:
    path = tmp_path / "notes.md"
    path.write_text(block(LINEAR + last), "utf-8")
    assert main(["claim", str(path)]) == code
    assert "of 1 statements are right" in capsys.readouterr().out
    assert main(["claim", str(path), "--json"]) == code
    assert json.loads(capsys.readouterr().out)["lines"]


def test_a_program_and_a_file_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dW = X^T dY", "utf-8")
    assert main(["claim", "Y = X @ W", str(path)]) == 0
    assert "1 of 1 statements are right." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("program", "claim", "code"),
    [
        ("Y = X @ W", "dW = X^T dY", 0),
        ("Y = X @ W", "∂L/∂W = Xᵀ dY", 0),
        ("Y = XW", "∂L/∂W_ij = Σ_n X_ni dY_nj", 0),
        ("Y = X W", "grad_X = grad_output W^T", 0),
        ("Y = X @ W", "dL/dX = dY W", 1),
        ("Y = X @ W", "dX = dY W^T)", 2),
        ("Y = X @ W", "X.T @ dY", 2),
    ],
)
def test_claims_in_any_spelling(program: str, claim: str, code: int) -> None:
    assert main(["claim", program, claim, "--shapes", "X: N D, W: D M"]) == code


@pytest.mark.parametrize(
    "text",
    [
        "=", "= =", "∂", "∂L/∂", "Σ", "Y =", "= Y", "Y = = X", "[", "]", "Y = [", "(((", "$$", "```", "```\n=\n", "∈",
        "X ∈", "∈ R^{N}", "X ∈ R^{", "Y = X ∈ Z", "| = |", "a = b = c", "∂L/∂∂ = 3", "δ = δ", "Y = X^", "Y = X_",
        "X: [N]\nX: [M]\nY = X", "Y = X @ W\nd = e\ndd = f", "dY = dX", "x = x", "L = loss(L)", "Y = Y + 1",
        "\x00 = \x01", "𝟙 = 𝟙", "Y = " + "(" * 500, "Σ_{k=1}^{N} = 3", "\\frac{a}{b} = \\frac{c", "size() = 3",
        "bytes(Y) = 256 GB", "shape() = (3)", "N = 3, M = 4", "if x = y", "if x = y, then", "symmetric(",
        "A is symmetric",
    ],
)  # fmt: skip
@pytest.mark.parametrize("dress", [str, block, lambda text: f"    {text}", lambda text: block(LINEAR + text)])
def test_no_text_breaks_it(text: str, dress: Callable[[str], str]) -> None:
    report = None
    with suppress(PullbackError):
        report = proofread(dress(text))
    assert report is None or json.loads(report.json())["lines"]
    assert report is None or "statements are right" in report.explain()
