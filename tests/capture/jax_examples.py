"""JAX code as people write it: tutorials, example networks, library layers."""

import jax
import jax.numpy as jnp
from jax import lax


def predict(params, inputs):
    for W, b in params:
        outputs = jnp.dot(inputs, W) + b
        inputs = jnp.tanh(outputs)
    return outputs


def logistic_loss(w, b, X, y):
    p = jax.nn.sigmoid(X @ w + b)
    label_probs = p * y + (1 - p) * (1 - y)
    return -jnp.sum(jnp.log(label_probs))


def cross_entropy(W, b, X, y):
    logits = X @ W + b
    log_p = jax.nn.log_softmax(logits)
    return -jnp.mean(log_p[jnp.arange(X.shape[0]), y])


def one_hot_loss(W, X, y):
    logits = X @ W
    targets = jax.nn.one_hot(y, logits.shape[-1])
    return -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(logits, axis=-1), axis=-1))


def taken_loss(W, X, y):
    log_p = jax.nn.log_softmax(X @ W)
    return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()


def relu_net(params, x):
    h = jax.nn.relu(x @ params["layer0"]["w"] + params["layer0"]["b"])
    return h @ params["layer1"]["w"] + params["layer1"]["b"]


def attention(q, k, v):
    scores = q @ k.T / jnp.sqrt(q.shape[-1])
    mask = jnp.tril(jnp.ones((q.shape[0], q.shape[0]), dtype=bool))
    scores = jnp.where(mask, scores, -jnp.inf)
    weights = jax.nn.softmax(scores, axis=-1)
    return weights @ v


def multi_head_attention(x, wqkv, wo, heads=2):
    B, T, D = x.shape
    qkv = (x @ wqkv).reshape(B, T, 3, heads, D // heads)
    q, k, v = jnp.moveaxis(qkv, 2, 0)
    s = jnp.einsum("bqhd,bkhd->bhqk", q, k) / jnp.sqrt(D // heads)
    p = jax.nn.softmax(s)
    o = jnp.einsum("bhqk,bkhd->bqhd", p, v).reshape(B, T, D)
    return o @ wo


def layer_norm(x, scale, bias):
    mean = jnp.mean(x, axis=-1, keepdims=True)
    var = jnp.var(x, axis=-1, keepdims=True)
    return scale * (x - mean) * lax.rsqrt(var + 1e-6) + bias


def rms_norm(x, w):
    return x * lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-6) * w


def gelu_mlp(x, w1, w2):
    return jax.nn.gelu(x @ w1) @ w2


def swiglu(x, w, v, w2):
    return (jax.nn.silu(x @ w) * (x @ v)) @ w2


def lstm_cell(h, c, x, wx, wh, b):
    gates = x @ wx + h @ wh + b
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c)


def rnn(xs, h0, wx, wh):
    def step(h, x):
        h = jnp.tanh(x @ wx + h @ wh)
        return h, h

    last, hs = lax.scan(step, h0, xs)
    return jnp.sum(last**2) + jnp.sum(hs)


def rope(x):
    T, D = x.shape
    inv_freq = 1.0 / (10000 ** (jnp.arange(0, D, 2) / D))
    angles = jnp.outer(jnp.arange(T), inv_freq)
    x1, x2 = x[:, : D // 2], x[:, D // 2 :]
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.concatenate([x1 * cos - x2 * sin, x2 * cos + x1 * sin], axis=-1)


def conv_net(x, w1, w2):
    dims = ("NHWC", "HWIO", "NHWC")
    x = lax.conv_general_dilated(x, w1, (1, 1), "SAME", dimension_numbers=dims)
    x = jax.nn.relu(x)
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = x.reshape(x.shape[0], -1)
    return x @ w2


def strided_conv(x, w):
    return lax.conv(x, w, (2, 2), [(1, 1), (1, 1)])


def mean_pool(x):
    return lax.reduce_window(x, 0.0, lax.add, (1, 1, 2, 2), (1, 1, 2, 2), "VALID") / 4


def gp_nll(X, y, log_length):
    sq = jnp.sum((X[:, None] - X[None]) ** 2, -1)
    K = jnp.exp(-0.5 * sq / jnp.exp(log_length) ** 2) + 0.1 * jnp.eye(X.shape[0])
    L = jnp.linalg.cholesky(K)
    alpha = jax.scipy.linalg.cho_solve((L, True), y)
    return 0.5 * y @ alpha + jnp.sum(jnp.log(jnp.diag(L)))


def gaussian_logpdf(x, mu, S):
    d = x - mu
    return -0.5 * (d @ jnp.linalg.solve(S, d)) - 0.5 * jnp.linalg.slogdet(S)[1]


def batched(W, X):
    return jax.vmap(lambda x: jnp.tanh(W @ x))(X)


def embedding(E, W, tokens):
    return jnp.mean(E[tokens], axis=1) @ W


def segments(x, ids):
    return jnp.zeros((3, x.shape[1])).at[ids].add(x)


def updates(x):
    y = jnp.zeros_like(x)
    y = y.at[:, 0].set(x[:, 1] ** 2)
    return y.at[:, 1].add(x[:, 0])


def smooth_l1(p, t):
    d = jnp.abs(p - t)
    return jnp.mean(jnp.where(d < 1, 0.5 * d**2, d - 0.5))


def bce(logits, t):
    return jnp.mean(jnp.maximum(logits, 0) - logits * t + jnp.log1p(jnp.exp(-jnp.abs(logits))))


def vae_kl(mu, logvar):
    return -0.5 * jnp.sum(1 + logvar - mu**2 - jnp.exp(logvar))


def info_nce(a, b):
    a = a / jnp.linalg.norm(a, axis=-1, keepdims=True)
    b = b / jnp.linalg.norm(b, axis=-1, keepdims=True)
    logits = a @ b.T / 0.1
    return jnp.mean(jax.scipy.special.logsumexp(logits, axis=1) - jnp.diag(logits))


def soft_k_means(X, mu):
    d = jnp.sum((X[:, None, :] - mu[None]) ** 2, axis=-1)
    return -jnp.sum(jax.nn.logsumexp(-d, axis=1))


@jax.jit
def compiled(x, w):
    return jnp.sum(jnp.sin(x @ w) ** 2)


@jax.checkpoint
def block(x, w):
    return jax.nn.softplus(x @ w)


def remat(x, w1, w2):
    return block(block(x, w1), w2)


def power_iteration(A, v):
    def body(_, v):
        v = A @ v
        return v / jnp.linalg.norm(v)

    v = lax.fori_loop(0, 3, body, v)
    return v @ A @ v


def cumulative(x):
    return jnp.sum(jnp.cumsum(x, axis=0) ** 2) + jnp.sum(x[::-1] * x)


def kalman(m, P, A, Q, H, R, y):
    m = A @ m
    P = A @ P @ A.T + Q
    S = H @ P @ H.T + R
    K = P @ H.T @ jnp.linalg.inv(S)
    return m + K @ (y - H @ m)


def neighbours(x, w, source, target):
    h = x @ w
    return jax.nn.relu(jnp.zeros_like(h).at[target].add(h[source]))


def angles(y, x):
    return (
        jnp.arctan2(y, x)
        + jnp.arctan(x)
        + jnp.arcsin(0.5 * jnp.tanh(y))
        + jnp.arccos(0.5 * jnp.tanh(x))
        + jnp.cbrt(x)
    )


def student_nll(x, log_nu):
    nu = jnp.exp(log_nu)
    constant = (
        jax.scipy.special.gammaln((nu + 1) / 2) - jax.scipy.special.gammaln(nu / 2) - jnp.log(nu * jnp.pi) / 2
    )
    return -jnp.sum(constant - (nu + 1) / 2 * jnp.log1p(x**2 / nu)) + jax.scipy.special.digamma(nu)


def survival(hazard):
    return jnp.cumprod(1 - jax.nn.sigmoid(hazard), axis=1)


CASES = [
    (angles, {"y": "N", "x": "N"}),
    (student_nll, {"x": "N", "log_nu": ""}),
    (survival, {"hazard": "N T"}),
    (neighbours, {"x": "N D", "w": "D M", "source": "E in N", "target": "E in N"}),
    (predict, {"params": [("D H", "H"), ("H M", "M")], "inputs": "N D"}),
    (logistic_loss, {"w": "D", "b": "", "X": "N D", "y": "N"}),
    (cross_entropy, {"W": "D C", "b": "C", "X": "N D", "y": "N in C"}),
    (one_hot_loss, {"W": "D C", "X": "N D", "y": "N in C"}),
    (taken_loss, {"W": "D C", "X": "N D", "y": "N in C"}),
    (relu_net, {"params": {"layer0": {"w": "D H", "b": "H"}, "layer1": {"w": "H M", "b": "M"}}, "x": "N D"}),
    (attention, {"q": "T D", "k": "T D", "v": "T M"}),
    (multi_head_attention, {"x": "B T 2*K", "wqkv": "2*K 6*K", "wo": "2*K 2*K"}),
    (layer_norm, {"x": "N D", "scale": "D", "bias": "D"}),
    (rms_norm, {"x": "B T D", "w": "D"}),
    (gelu_mlp, {"x": "N D", "w1": "D H", "w2": "H D"}),
    (swiglu, {"x": "N D", "w": "D H", "v": "D H", "w2": "H D"}),
    (lstm_cell, {"h": "B H", "c": "B H", "x": "B D", "wx": "D 4*H", "wh": "H 4*H", "b": "4*H"}),
    (rnn, {"xs": "3 B D", "h0": "B H", "wx": "D H", "wh": "H H"}),
    (rope, {"x": "T 2*K"}),
    (conv_net, {"x": "N 4 6 2", "w1": "3 3 2 C", "w2": "6*C M"}),
    (strided_conv, {"x": "N C 5 7", "w": "O C 3 3"}),
    (mean_pool, {"x": "N C 4 6"}),
    (gp_nll, {"X": "N D", "y": "N", "log_length": ""}),
    (gaussian_logpdf, {"x": "D", "mu": "D", "S": "D D"}),
    (batched, {"W": "M D", "X": "N D"}),
    (embedding, {"E": "V D", "W": "D M", "tokens": "B T in V"}),
    (segments, {"x": "N D", "ids": "N in 3"}),
    (updates, {"x": "N 3"}),
    (smooth_l1, {"p": "N", "t": "N"}),
    (bce, {"logits": "N", "t": "N"}),
    (vae_kl, {"mu": "N D", "logvar": "N D"}),
    (info_nce, {"a": "N D", "b": "N D"}),
    (soft_k_means, {"X": "N D", "mu": "K D"}),
    (compiled, {"x": "N D", "w": "D M"}),
    (remat, {"x": "N D", "w1": "D H", "w2": "H M"}),
    (power_iteration, {"A": "D D", "v": "D"}),
    (cumulative, {"x": "N D"}),
    (kalman, {"m": "D", "P": "D D", "A": "D D", "Q": "D D", "H": "M D", "R": "M M", "y": "M"}),
]
