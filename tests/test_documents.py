"""Whole documents as people and language models write them: right as they stand, wrong with one change."""

from __future__ import annotations

import pytest

import pullback

DOCUMENTS: dict[str, str] = {}
DOCUMENTS["layers_above"] = r"""
## Backpropagation through a two-layer MLP

Let $X \in \mathbb{R}^{N \times D}$, $W^{(1)} \in \mathbb{R}^{D \times H}$, $b^{(1)} \in \mathbb{R}^{H}$,
$W^{(2)} \in \mathbb{R}^{H \times C}$, $b^{(2)} \in \mathbb{R}^{C}$.

**Forward pass:**

$$Z^{(1)} = X W^{(1)} + b^{(1)}$$
$$A^{(1)} = \mathrm{ReLU}(Z^{(1)})$$
$$Z^{(2)} = A^{(1)} W^{(2)} + b^{(2)}$$

Denote $\delta^{(2)} = \frac{\partial L}{\partial Z^{(2)}}$.

**Backward pass:**

$$\frac{\partial L}{\partial W^{(2)}} = (A^{(1)})^\top \delta^{(2)}$$
$$\frac{\partial L}{\partial b^{(2)}} = \sum_{n=1}^N \delta^{(2)}_n$$
$$\delta^{(1)} = (\delta^{(2)} (W^{(2)})^\top) \odot \mathbb{1}[Z^{(1)} > 0]$$
$$\frac{\partial L}{\partial W^{(1)}} = X^\top \delta^{(1)}$$
$$\frac{\partial L}{\partial X} = \delta^{(1)} (W^{(1)})^\top$$
"""
DOCUMENTS["numbers_above"] = r"""
The equations of backpropagation. Let $a^{0} \in \mathbb{R}^{n}$, $w^{1} \in \mathbb{R}^{m \times n}$,
$b^1 \in \mathbb{R}^m$.

$z^1 = w^1 a^0 + b^1$ and $a^1 = \sigma(z^1)$, with $\sigma$ the sigmoid.

$$\delta^1 = \nabla_{a^1} L \odot \sigma'(z^1)$$
$$\frac{\partial L}{\partial b^1_j} = \delta^1_j$$
$$\frac{\partial L}{\partial w^1_{jk}} = a^0_k \delta^1_j$$
"""
DOCUMENTS["shapes_respectively"] = r"""
We have Q, K, V with shapes N × d, N × d and N × d.

S = Q K^T / sqrt(d)
P = softmax(S, axis=1)
O = P V

Backward:

1. dV = P^T dO
2. dP = dO V^T
3. dS = P * (dP - rowsum(P * dP))
4. dQ = dS K / sqrt(d)
5. dK = dS^T Q / sqrt(d)
"""
DOCUMENTS["code_with_shapes_below"] = r"""
Here's how I'd derive it:

```python
# forward
h = np.tanh(x @ W1 + b1)
y = h @ W2 + b2
# backward, given dy
dW2 = h.T @ dy
db2 = dy.sum(axis=0)
dh = dy @ W2.T
dz = dh * (1 - h**2)
dW1 = x.T @ dz
db1 = dz.sum(axis=0)
dx = dz @ W1.T
```

with x: (N, D), W1: (D, H), b1: (H,), W2: (H, M), b2: (M,).
"""
DOCUMENTS["a_scalar_in_words"] = r"""
$y = x \Phi(x)$ where $\Phi(x) = \frac12 (1 + \mathrm{erf}(x/\sqrt2))$, for a scalar $x$.

$$\Phi'(x) = \frac{1}{\sqrt{2\pi}} e^{-x^2/2}$$
$$\frac{dy}{dx} = \Phi(x) + x \Phi'(x) = \Phi(x) + \frac{x}{\sqrt{2\pi}} e^{-x^2/2}$$
"""
DOCUMENTS["labels_of_two_values"] = r"""
# Logistic regression

- Data: $X \in \mathbb{R}^{N \times D}$, $y \in \{0,1\}^N$, $w \in \mathbb{R}^D$
- $z = Xw$, $p = \sigma(z)$
- $L = -\frac1N \sum_{n} \left[ y_n \log p_n + (1-y_n)\log(1-p_n) \right]$

$$\frac{\partial L}{\partial p_n} = -\frac1N\left(\frac{y_n}{p_n} - \frac{1-y_n}{1-p_n}\right)$$
$$\frac{\partial p_n}{\partial z_n} = p_n(1-p_n)$$
$$\frac{\partial L}{\partial z_n} = \frac1N (p_n - y_n)$$
$$\nabla_w L = \frac1N X^\top (p - y)$$
$$\nabla^2_w L = \frac1N X^\top \mathrm{diag}(p \odot (1-p)) X$$
"""
DOCUMENTS["a_condition_of_its_sentence"] = r"""
Let $f(x) = x^T A x + b^T x$ with $x, b \in \mathbb{R}^n$, $A \in \mathbb{R}^{n \times n}$.
Then $\nabla f(x) = (A + A^T)x + b$ and $\nabla^2 f(x) = A + A^T$.
If A is symmetric, this is $2Ax + b$.
"""
DOCUMENTS["a_step_of_time"] = r"""
One step of an RNN: $h_{t} = \tanh(W_h h_{t-1} + W_x x_t + b)$ where
$h_{t-1}, b \in \mathbb{R}^H$, $x_t \in \mathbb{R}^{D}$, $W_h \in \mathbb{R}^{H \times H}$,
$W_x \in \mathbb{R}^{H \times D}$.

Let $\delta_t = \frac{\partial L}{\partial h_t} \odot (1 - h_t^2)$. Then

$$\frac{\partial L}{\partial W_h} = \delta_t h_{t-1}^\top$$
$$\frac{\partial L}{\partial W_x} = \delta_t x_t^\top, \quad \frac{\partial L}{\partial h_{t-1}} = W_h^\top \delta_t$$
"""
DOCUMENTS["a_derivative_of_a_logarithm"] = r"""
Let p = softmax(z), z ∈ ℝ^n and q ∈ ℝ^n with Σ_i q_i = 1 and

KL = Σ_i q_i (log q_i - log p_i).

d log p_i / d z_j = δ_ij - p_j

dKL/dz_j = -Σ_i q_i (δ_ij - p_j) = p_j - q_j
"""
DOCUMENTS["a_definition_behind"] = r"""
f(x) = log Σ_i exp(x_i), x ∈ ℝ^n.

- ∂f/∂x_i = exp(x_i) / Σ_j exp(x_j) = softmax(x)_i
- ∂²f/∂x_i∂x_j = p_i δ_ij - p_i p_j where p = softmax(x)
"""
DOCUMENTS["differentials_of_an_inverse"] = r"""
Let Y = A^{-1}, A ∈ ℝ^{n×n}. From A Y = I we get dA Y + A dY = 0, hence

dY = -A^{-1} dA A^{-1}

For a loss L with G = ∂L/∂Y: ∂L/∂A = -A^{-T} G A^{-T}
"""
DOCUMENTS["a_greek_exponent"] = r"""
Focal loss for the probability p = σ(x) of the true class, x ∈ ℝ, γ ∈ ℝ:

FL = -(1 - p)^γ log p

dFL/dp = γ (1-p)^(γ-1) log p - (1-p)^γ / p

dFL/dx = (1-p)^γ (γ p log p - (1 - p))
"""
DOCUMENTS["a_scalar_beside_a_label"] = r"""
Label smoothing. z ∈ ℝ^K, y ∈ ℝ^K one-hot, scalar a. q_k = (1 - a) y_k + a/K, p = softmax(z), L = -Σ_k q_k log p_k.

Since Σ_k q_k = 1, ∂L/∂z_k = p_k - q_k.
"""
DOCUMENTS["the_larger_of_two"] = r"""
Binary hinge loss: L = 1/N Σ_n max(0, 1 - y_n s_n), s = X w, with X ∈ ℝ^{N×D}, w ∈ ℝ^D, y ∈ ℝ^N.

∂L/∂s_n = -1/N y_n [1 - y_n s_n > 0]

∂L/∂w = -1/N Σ_n y_n [y_n s_n < 1] x_n
"""

CHANGES = {
    "layers_above": (r"= X^\top \delta^{(1)}", r"= \delta^{(1)} X^\top"),
    "numbers_above": (r"a^0_k \delta^1_j", r"a^0_j \delta^1_k"),
    "shapes_respectively": (r"dS^T Q / sqrt(d)", r"dS^T Q"),
    "code_with_shapes_below": (r"dW1 = x.T @ dz", r"dW1 = dz.T @ x"),
    "a_scalar_in_words": (
        r"= \Phi(x) + \frac{x}{\sqrt{2\pi}} e^{-x^2/2}",
        r"= \Phi(x) + \frac{1}{\sqrt{2\pi}} e^{-x^2/2}",
    ),
    "labels_of_two_values": (r"\nabla_w L = \frac1N X^\top (p - y)", r"\nabla_w L = X^\top (p - y)"),
    "a_condition_of_its_sentence": (r"\nabla f(x) = (A + A^T)x + b", r"\nabla f(x) = 2Ax + b"),
    "a_step_of_time": (r"= W_h^\top \delta_t", r"= W_h \delta_t"),
    "a_derivative_of_a_logarithm": (r"= p_j - q_j", r"= q_j - p_j"),
    "a_definition_behind": (r"p_i δ_ij - p_i p_j", r"p_i δ_ij + p_i p_j"),
    "differentials_of_an_inverse": (r"-A^{-T} G A^{-T}", r"-A^{-1} G A^{-1}"),
    "a_greek_exponent": (r"dFL/dx = (1-p)^γ (γ p log p - (1 - p))", r"dFL/dx = (1-p)^γ (γ log p - (1 - p))"),
    "a_scalar_beside_a_label": (r"∂L/∂z_k = p_k - q_k", r"∂L/∂z_k = p_k - y_k"),
    "the_larger_of_two": (r"∂L/∂w = -1/N Σ_n y_n [y_n s_n < 1] x_n", r"∂L/∂w = -1/N Σ_n [y_n s_n < 1] x_n"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_right_and_wrong_with_one_change(name: str) -> None:
    text, (before, after) = DOCUMENTS[name], CHANGES[name]
    report = pullback.proofread(text)
    assert report.ok, report.explain()
    changed = pullback.proofread(text.replace(before, after))
    assert changed.first_wrong is not None, changed.explain()
    assert changed.first_wrong.line == text[: text.index(before)].count("\n") + 1


@pytest.mark.parametrize(
    ("line", "ok"),
    [
        ("∂ log p_i/∂z_j = δ_ij - p_j", True),
        ("d log p_i / d z_j = δ_ij - p_j", True),
        ("∂/∂z_j log p_i = 1/p_i ∂p_i/∂z_j", True),
        ("∂(p_i q_i)/∂z_j = q_i p_i (δ_ij - p_j)", True),
        ("∂(p_i^2 + 1)/∂z_j = 2 p_i^2 (δ_ij - p_j)", True),
        ("∂(q_i / p_i)/∂z_j = q_i / p_i (p_j - δ_ij)", True),
        ("∂ log p_i/∂z_j = δ_ij - p_i", False),
        ("∂(p_i q_i)/∂z_j = p_i (δ_ij - p_j)", False),
        ("∂(q_i / p_i)/∂z_j = q_i / p_i (δ_ij - p_j)", False),
    ],
)
def test_derivatives_of_what_has_no_name(line: str, ok: bool) -> None:
    report = pullback.proofread(f"z, q: [N]\n\n    p = softmax(z)\n    L = -Σ_i q_i log p_i\n    {line}\n")
    assert report.ok is ok, report.explain()


@pytest.mark.parametrize(
    ("sentence", "ok"),
    [
        ("If A is symmetric, ∇f(x) = 2Ax.", True),
        ("∇f(x) = 2Ax when A is symmetric.", True),
        ("If A is symmetric, ∇f(x) = 3Ax.", False),
        ("A is symmetric. ∇f(x) = 2Ax.", True),
        ("If A is diagonal, so much the better. ∇f(x) = 2Ax.", False),
    ],
)
def test_what_stands_behind_an_if_holds_for_its_sentence(sentence: str, ok: bool) -> None:
    text = f"Let f(x) = x^T A x with x ∈ ℝ^n and A ∈ ℝ^{{n×n}}.\n\n{sentence}\n"
    report = pullback.proofread(text)
    assert report.ok is ok, report.explain()


@pytest.mark.parametrize(
    ("line", "ok"),
    [
        ("A Y = I", True),
        ("A Y = 2 I", False),
        ("dA Y + A dY = 0", True),
        ("dA Y - A dY = 0", False),
        ("A Y - I = 0", True),
    ],
)
def test_sides_that_are_the_identity_or_zero(line: str, ok: bool) -> None:
    report = pullback.proofread(f"A: [n, n]\n\n    Y = A^{{-1}}\n    {line}\n")
    assert report.ok is ok, report.explain()
