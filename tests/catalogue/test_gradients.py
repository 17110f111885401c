"""Every layer of the catalogue: the checks of its derivation, and its compiled gradient against PyTorch's.

`FORWARD` holds the forward passes in PyTorch, by its own functions where it has them. They are written
from the papers and PyTorch's documentation, not from the catalogue's programs: a slip in one shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pullback
from pullback import Derivation, Layer

torch = pytest.importorskip("torch")
F = torch.nn.functional

Array = np.ndarray[Any, np.dtype[Any]]
Inputs = SimpleNamespace
FORWARD: dict[str, Callable[[Inputs], Any]] = {
    # linear
    "linear": lambda v: F.linear(v.X, v.W.T),
    "bias": lambda v: F.linear(v.X, v.W.T, v.b),
    "linear_tokens": lambda v: F.linear(v.X, v.W, v.b),
    "mlp": lambda v: F.linear(F.relu(F.linear(v.X, v.W1.T, v.b1)), v.W2.T, v.b2),
    "residual": lambda v: v.X + torch.tanh(v.X.mm(v.W1)).mm(v.W2),
    "bilinear": lambda v: F.bilinear(v.X, v.Z, v.W),
    "lora": lambda v: v.X.mm(v.W + v.s * v.A.mm(v.B)),
    "embedding": lambda v: F.embedding(v.t, v.E),
    "mixture_of_experts": lambda v: sum(
        F.softmax(v.X.mm(v.R), dim=1)[:, k : k + 1] * v.X.mm(v.W[k]) for k in range(len(v.W))
    ),
    "dropout": lambda v: torch.where(v.M > 0, v.X, torch.zeros_like(v.X)) / v.p,
    "cumsum": lambda v: torch.cumsum(v.X, dim=1),
    "pixel_shuffle": lambda v: F.pixel_shuffle(v.X.flatten(0, 2)[None], 2)[0],
    "weight_norm": lambda v: v.X.mm(v.g * F.normalize(v.V, dim=0)),
    # convolution
    "conv1d": lambda v: F.conv1d(v.X, v.K),
    "conv2d": lambda v: F.conv2d(v.X, v.K, stride=2, padding=1),
    "depthwise_conv2d": lambda v: F.conv2d(v.X, v.K[:, None], groups=v.X.shape[1]),
    "transposed_conv2d": lambda v: F.conv_transpose2d(v.X, v.K, stride=2),
    "conv3d": lambda v: F.conv3d(v.X, v.K),
    "max_pool2d": lambda v: F.max_pool2d(v.X, 2),
    "avg_pool2d": lambda v: F.avg_pool2d(v.X, 2),
    "global_avg_pool": lambda v: F.adaptive_avg_pool2d(v.X, 1)[:, :, 0, 0],
    "conv_max_over_time": lambda v: F.adaptive_max_pool1d(F.conv1d(v.X, v.K), 1)[:, :, 0],
    # normalisation
    "batch_norm": lambda v: F.batch_norm(v.X, None, None, v.gamma, v.beta, training=True, eps=1e-5),
    "layer_norm": lambda v: F.layer_norm(v.X, v.X.shape[1:], v.gamma, v.beta, eps=1e-5),
    "rms_norm": lambda v: v.X * torch.rsqrt(v.X.square().mean(1, keepdim=True) + 1e-6) * v.gamma,
    "group_norm": lambda v: F.group_norm(
        v.X.flatten(1, 2), v.X.shape[1], v.gamma.flatten(), v.beta.flatten(), eps=1e-5
    ).reshape(v.X.shape),
    "l2_normalize": lambda v: F.normalize(v.X, dim=1),
    "cosine_similarity": lambda v: F.cosine_similarity(v.A, v.B, dim=1)[:, None],
    # activations
    "relu": lambda v: F.relu(v.X),
    "leaky_relu": lambda v: F.leaky_relu(v.X, v.a.item()),
    "prelu": lambda v: F.prelu(v.X, v.a),
    "elu": lambda v: F.elu(v.X),
    "sigmoid": lambda v: 1 / (1 + torch.exp(-v.X)),
    "tanh": lambda v: torch.sinh(v.X) / torch.cosh(v.X),
    "softplus": lambda v: F.softplus(v.X),
    "silu": lambda v: F.silu(v.X),
    "gelu": lambda v: F.gelu(v.X),
    "gelu_tanh": lambda v: F.gelu(v.X, approximate="tanh"),
    "glu": lambda v: F.glu(torch.cat([v.X.mm(v.W), v.X.mm(v.V)], dim=1), dim=1),
    "swiglu": lambda v: (F.silu(v.X.mm(v.W)) * v.X.mm(v.V)).mm(v.U),
    "softmax": lambda v: F.softmax(v.X, dim=1),
    "log_softmax": lambda v: F.log_softmax(v.X, dim=1),
    "logsumexp": lambda v: torch.logsumexp(v.X, dim=1),
    # attention
    "attention": lambda v: F.scaled_dot_product_attention(v.Q[None], v.K[None], v.V[None])[0],
    "causal_attention": lambda v: F.scaled_dot_product_attention(
        v.Q[None], v.K[None], v.V[None], is_causal=True
    )[0],
    "attention_dropout": lambda v: (F.softmax(v.Q.mm(v.K.T) / math.sqrt(v.Q.shape[1]), dim=1) * v.M).mm(v.V),
    "multi_head_attention": lambda v: multi_head_attention(v),
    "grouped_query_attention": lambda v: F.scaled_dot_product_attention(
        v.Q, v.K[:, None].expand_as(v.Q), v.V[:, None].expand_as(v.Q)
    ),
    "linear_attention": lambda v: v.Q.mm(v.K.T).mm(v.V),
    "additive_attention": lambda v: F.softmax(torch.tanh(v.K.mm(v.W) + v.Q).mv(v.v), dim=0) @ v.K,
    "relative_position": lambda v: relative_position(v),
    "rope": lambda v: rope(v),
    # recurrent
    "rnn_step": lambda v: torch.rnn_tanh_cell(v.x, v.h, v.Wx.T, v.Wh.T, v.b),
    "lstm_step": lambda v: lstm_step(v),
    "gru_step": lambda v: gru_step(v),
    "state_space_step": lambda v: (v.h.mm(torch.diag(v.a)) + v.x.mm(v.B)).mm(v.C),
    # classification losses
    "softmax_cross_entropy": lambda v: F.cross_entropy(v.Z, v.t),
    "weighted_cross_entropy": lambda v: F.cross_entropy(v.Z, v.t, weight=v.w),
    "masked_cross_entropy": lambda v: F.cross_entropy(v.Z, torch.where(v.m > 0, v.t, -100)),
    "label_smoothing": lambda v: F.cross_entropy(v.Z, v.t, label_smoothing=v.a.item()),
    "binary_cross_entropy": lambda v: F.binary_cross_entropy(v.p, v.t),
    "bce_with_logits": lambda v: F.binary_cross_entropy_with_logits(v.z, v.t),
    "focal": lambda v: -((1 - torch.sigmoid(v.y * v.x)) ** 2 * F.logsigmoid(v.y * v.x)).mean(),
    "svm_hinge": lambda v: F.multi_margin_loss(v.S, v.t, reduction="sum") * v.S.shape[1] / len(v.S),
    "binary_hinge": lambda v: (1 - v.y * v.X.mv(v.w)).clamp(min=0).mean(),
    "dice": lambda v: 1 - 2 * v.p.dot(v.t) / (v.p + v.t).sum(),
    "policy_gradient": lambda v: (v.R * F.cross_entropy(v.Z, v.a, reduction="none")).mean(),
    # regression losses
    "mean_squared_error": lambda v: F.mse_loss(v.Y, v.T),
    "mean_absolute_error": lambda v: F.l1_loss(v.y, v.t),
    "huber": lambda v: F.huber_loss(v.y, v.t, delta=v.k.item()),
    "log_cosh": lambda v: torch.log(torch.cosh(v.y - v.t)).mean(),
    "quantile": lambda v: torch.maximum(v.q * (v.t - v.y), (v.q - 1) * (v.t - v.y)).mean(),
    "gaussian_nll": lambda v: F.gaussian_nll_loss(v.mu, v.y, torch.exp(v.lv), reduction="sum"),
    "poisson_regression": lambda v: F.poisson_nll_loss(v.X.mv(v.w), v.y, reduction="sum"),
    # contrastive and preference losses
    "triplet": lambda v: (
        (v.A - v.P).square().sum(1) - (v.A - v.M).square().sum(1) + v.k
    ).clamp(min=0).mean(),
    "contrastive": lambda v: (
        v.y * (v.A - v.B).square().sum(1)
        + (1 - v.y) * (v.k - (v.A - v.B).square().sum(1).sqrt()).clamp(min=0) ** 2
    ).mean() / 2,
    "info_nce": lambda v: F.cross_entropy(v.Q.mm(v.K.T) / v.tau, torch.arange(len(v.Q))),
    "clip": lambda v: (
        F.cross_entropy(v.tau * v.A.mm(v.B.T), torch.arange(len(v.A)))
        + F.cross_entropy(v.tau * v.B.mm(v.A.T), torch.arange(len(v.A)))
    ) / 2,
    "ranknet": lambda v: sum(
        F.softplus(v.s[j] - v.s[i]) for i in range(len(v.s)) for j in range(i + 1, len(v.s))
    ),
    "dpo": lambda v: -F.logsigmoid(v.beta * ((v.pw - v.pl) - (v.rw - v.rl))).mean(),
    "ppo_clip": lambda v: ppo_clip(v),
    # divergences
    "kl_divergence": lambda v: F.kl_div(F.log_softmax(v.Z, dim=1), v.P, reduction="batchmean"),
    "reverse_kl": lambda v: F.kl_div(
        v.lq, F.log_softmax(v.Z, dim=1), reduction="batchmean", log_target=True
    ),
    "jensen_shannon": lambda v: jensen_shannon(v),
    "distillation": lambda v: F.cross_entropy(v.Z / v.tau, F.softmax(v.U / v.tau, dim=1)) * v.tau**2,
    "vae_kl": lambda v: torch.distributions.kl_divergence(
        torch.distributions.Normal(v.mu, torch.exp(v.lv / 2)), torch.distributions.Normal(0.0, 1.0)
    ).sum() / len(v.mu),
    "reparametrisation": lambda v: v.mu + torch.exp(v.lv).sqrt() * v.e,
    # statistical models
    "least_squares": lambda v: F.mse_loss(v.X.mv(v.w), v.y, reduction="sum") / 2,
    "ridge": lambda v: (v.X.mv(v.w) - v.y).square().sum() / 2 + v.k * v.w.square().sum() / 2,
    "lasso": lambda v: (v.X.mv(v.w) - v.y).square().sum() / 2 + v.k * v.w.norm(p=1),
    "logistic_regression": lambda v: F.binary_cross_entropy_with_logits(v.X.mv(v.w) + v.b, v.y),
    "softmax_regression": lambda v: F.cross_entropy(v.X.mm(v.W) + v.b, v.t),
    "matrix_factorisation": lambda v: (
        ((v.R - v.U.mm(v.V.T))[v.M > 0] ** 2).sum() + v.k * (v.U.square().sum() + v.V.square().sum())
    ) / 2,
    "pca": lambda v: (v.X - v.X.mm(v.W).mm(v.W.T)).square().sum() / 2,
    "k_means": lambda v: torch.cdist(v.X, v.M).square().amin(dim=1).sum(),
    "gaussian_mixture": lambda v: -torch.logsumexp(
        torch.log(v.w) - (v.X[:, None] - v.M).square().sum(2) / 2, dim=1
    ).sum(),
    "gaussian_covariance": lambda v: gaussian_covariance(v),
    "gaussian_precision": lambda v: (v.C * v.K.T).sum() - torch.logdet(v.K),
    "gaussian_cholesky": lambda v: gaussian_cholesky(v),
    "gaussian_process": lambda v: (v.y @ torch.linalg.inv(v.K) @ v.y + torch.logdet(v.K)) / 2,
    "log_det": lambda v: torch.log(torch.abs(torch.linalg.det(v.X))),
    "quadratic_form": lambda v: v.x.dot(v.A.mv(v.x)),
}  # fmt: skip


def multi_head_attention(v: Inputs) -> Any:
    heads = [
        F.scaled_dot_product_attention(v.X.mm(q)[None], v.X.mm(k)[None], v.X.mm(w)[None])[0]
        for q, k, w in zip(v.Wq.unbind(1), v.Wk.unbind(1), v.Wv.unbind(1), strict=True)
    ]
    return torch.cat(heads, dim=1).mm(v.Wo.flatten(0, 1))


def relative_position(v: Inputs) -> Any:
    n = len(v.Q)
    rows = [torch.stack([v.Q[i].dot(v.K[j] + v.R[i - j + n - 1]) for j in range(n)]) for i in range(n)]
    return torch.stack(rows)


def rope(v: Inputs) -> Any:
    """By complex numbers: a turn is a product."""
    turned = torch.complex(v.X1, v.X2) * torch.complex(v.c, v.s)
    return torch.cat([turned.real, turned.imag], dim=1)


def lstm_step(v: Inputs) -> Any:
    order = "ifgo"  # PyTorch's order of the gates
    wx = torch.cat([getattr(v, f"W{gate}").T for gate in order])
    wh = torch.cat([getattr(v, f"U{gate}").T for gate in order])
    b = torch.cat([getattr(v, f"b{gate}") for gate in order])
    h1, c1 = torch.lstm_cell(v.x, (v.h, v.c), wx, wh, b, torch.zeros_like(b))
    return (v.Gh * h1).sum() + (v.Gc * c1).sum()


def gru_step(v: Inputs) -> Any:
    wx = torch.cat([v.Wr.T, v.Wz.T, v.Wn.T])
    wh = torch.cat([v.Ur.T, v.Uz.T, v.Un.T])
    bx = torch.cat([v.br, v.bz, v.bn])
    bh = torch.cat([torch.zeros_like(v.br), torch.zeros_like(v.bz), v.bu])
    return torch.gru_cell(v.x, v.h, wx, wh, bx, bh)


def ppo_clip(v: Inputs) -> Any:
    """As in the paper: min(r A, clip(r) A)."""
    r = torch.exp(v.lp - v.lo)
    clipped = torch.clamp(r, 1 - v.eps.item(), 1 + v.eps.item())
    return -torch.minimum(r * v.A, clipped * v.A).mean()


def jensen_shannon(v: Inputs) -> Any:
    log_m = torch.log((torch.exp(v.X) + torch.exp(v.Y)) / 2)
    halves = [F.kl_div(log_m, x, reduction="batchmean", log_target=True) for x in (v.X, v.Y)]
    return (halves[0] + halves[1]) / 2


def gaussian_covariance(v: Inputs) -> Any:
    """torch.distributions would read one triangle of S alone, and S is free here."""
    d = v.X - v.mu
    return (len(d) * torch.logdet(v.S) + (d * torch.linalg.solve(v.S, d.T).T).sum()) / 2


def gaussian_cholesky(v: Inputs) -> Any:
    normal = torch.distributions.MultivariateNormal(v.mu, scale_tril=torch.tril(v.V), validate_args=False)
    return -normal.log_prob(v.x) - len(v.x) * math.log(2 * math.pi) / 2


# ---- the cases ------------------------------------------------------------------------------


NAMES = [row.name for row in pullback.layers()]
# Sizes are odd and differ, so that no transpose or reduction along a wrong axis can pass.
SIZES = {"N": 5, "D": 3, "M": 7, "F": 9, "B": 3, "T": 5, "E": 7, "R": 3, "V": 11, "K": 3, "C": 7, "H": 9,
         "W": 11, "O": 5, "S": 5, "P": 3, "Q": 5, "G": 3, "U": 3, "I": 7}  # fmt: skip
SPECIAL_SIZES = {
    "conv2d": {"H": 7, "W": 9, "R": 2, "S": 3, "C": 3},  # H + 2 - R is odd: a row of the padding is unread
    "conv3d": {"N": 3, "C": 3, "H": 5, "W": 5, "T": 7, "R": 3, "S": 1, "D": 5, "O": 3},
    "depthwise_conv2d": {"R": 3, "S": 5, "C": 3, "H": 7, "W": 9},
    "transposed_conv2d": {"R": 3, "S": 5, "C": 3, "O": 5},
    "global_avg_pool": {"H": 3, "W": 5, "C": 3},
    "group_norm": {"N": 3, "G": 5, "C": 7, "S": 9},
    "multi_head_attention": {"H": 3, "E": 5, "D": 7},
}
# What is not drawn from the normal distribution.
DRAWS = {
    "dropout": {"M": "mask", "p": "unit"},
    "attention_dropout": {"M": "mask"},
    "leaky_relu": {"a": "unit"},
    "weighted_cross_entropy": {"w": "positive"},
    "masked_cross_entropy": {"m": "mask"},
    "label_smoothing": {"a": "unit"},
    "binary_cross_entropy": {"p": "unit", "t": "mask"},
    "bce_with_logits": {"t": "mask"},
    "focal": {"y": "sign"},
    "binary_hinge": {"y": "sign"},
    "dice": {"p": "unit", "t": "mask"},
    "huber": {"k": "unit"},
    "quantile": {"q": "unit"},
    "poisson_regression": {"y": "positive"},
    "triplet": {"k": "positive"},
    "contrastive": {"y": "mask", "k": "positive"},
    "info_nce": {"tau": "positive"},
    "clip": {"tau": "positive"},
    "dpo": {"beta": "positive"},
    "ppo_clip": {"eps": "unit"},
    "kl_divergence": {"P": "positive"},
    "distillation": {"tau": "positive"},
    "logistic_regression": {"y": "mask"},
    "matrix_factorisation": {"M": "mask"},
    "gaussian_mixture": {"w": "positive"},
    "gaussian_covariance": {"S": "spd"},
    "gaussian_precision": {"C": "spd", "K": "spd"},
    "gaussian_cholesky": {"V": "lower"},
    "gaussian_process": {"K": "spd"},
}


@cache
def derived(name: str) -> Derivation:
    return pullback.derive(**pullback.layer(name).setting)


def drawn(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    x = rng.normal(size=shape)
    match kind:
        case "positive":
            return np.exp(x / 2)
        case "unit":
            return np.asarray(rng.uniform(0.2, 0.8, size=shape))
        case "mask":
            values = (np.arange(x.size) % 3 > 0).astype(float)
            return np.asarray(values.reshape(shape))
        case "sign":
            return np.where(np.arange(x.size).reshape(shape) % 2 > 0, 1.0, -1.0)
        case "spd":
            return np.asarray(x @ x.T + len(x) * np.eye(len(x)))
        case "lower":
            return np.asarray(np.tril(x, -1) + np.diag(1 + np.abs(np.diag(x))))
    return np.asarray(x)


def number(text: str, sizes: dict[str, int]) -> int:
    """A size such as `N`, `2*P` or `2*N-1`."""
    product, _, less = text.partition("-")
    factors = [sizes[part] if part in sizes else int(part) for part in product.split("*")]
    return math.prod(factors) - int(less or 0)


def inputs_of(row: Layer, rng: np.random.Generator) -> dict[str, Array]:
    sizes = SIZES | SPECIAL_SIZES.get(row.name, {})
    numbers = lambda text: tuple(number(size, sizes) for size in text.split())  # noqa: E731
    draws = DRAWS.get(row.name, {})
    made = {name: drawn(draws.get(name, ""), numbers(text), rng) for name, text in row.shapes.items()}
    for name, (text, size) in row.integers.items():
        made[name] = rng.integers(0, *numbers(size), size=numbers(text))
    return made


@pytest.mark.parametrize("name", NAMES)
def test_no_line_of_a_layer_is_unknown(name: str) -> None:
    report = derived(name).report
    assert report.exact > 0
    assert (report.unknown, report.central is not None and report.central < 1e-6) == (0, True)


def test_a_reduction_inside_a_reduction_is_written_where_it_costs_no_more() -> None:
    text = str(derived("multi_head_attention").gradients["Wv"])
    assert "dV = einsum(" in text
    assert all(line.split("->")[0].count(",") == 1 for line in text.splitlines() if "einsum" in line), text


@pytest.mark.parametrize("name", NAMES)
def test_the_gradients_are_those_of_pytorch(name: str) -> None:
    row, derivation = pullback.layer(name), derived(name)
    rng = np.random.default_rng(len(name))
    inputs = inputs_of(row, rng)
    wanted = list(derivation.gradients)
    tensors = {key: torch.tensor(value, requires_grad=key in wanted) for key, value in inputs.items()}
    output = FORWARD[name](SimpleNamespace(**tensors))
    upstream = rng.normal(size=tuple(output.shape)) if output.ndim else None
    weight = torch.ones(()).double() if upstream is None else torch.tensor(upstream)
    expected = torch.autograd.grad((output * weight).sum(), [tensors[key] for key in wanted])
    found = derivation.compile()(inputs, upstream)
    for key, value in zip(wanted, expected, strict=True):
        size = np.abs(value.numpy()).max()
        assert size > 0, f"d{key} is zero: the case says nothing"
        np.testing.assert_allclose(found[key], value.numpy(), rtol=1e-10, atol=1e-10 * size, err_msg=key)


def test_every_layer_has_a_forward_pass_of_its_own() -> None:
    assert sorted(FORWARD) == sorted(NAMES)
