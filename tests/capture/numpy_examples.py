"""NumPy code as people write it: courses, blog posts, notebooks."""

import math

import numpy as np
from scipy.special import digamma, expit, gammaln, logsumexp
from scipy.special import softmax as scipy_softmax


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, axis=-1):
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def affine(x, w, b):
    return x.reshape(x.shape[0], -1).dot(w) + b


def two_layer_net(X, W1, b1, W2, b2, y, reg=0.1):
    N, _ = X.shape
    hidden = np.maximum(0, X.dot(W1) + b1)
    scores = hidden.dot(W2) + b2
    scores -= np.max(scores, axis=1, keepdims=True)
    probs = np.exp(scores) / np.sum(np.exp(scores), axis=1, keepdims=True)
    data_loss = -np.sum(np.log(probs[np.arange(N), y])) / N
    reg_loss = 0.5 * reg * np.sum(W1 * W1) + 0.5 * reg * np.sum(W2 * W2)
    return data_loss + reg_loss


def svm_loss(W, X, y, reg=0.01):
    scores = X @ W
    correct = scores[np.arange(X.shape[0]), y][:, np.newaxis]
    margins = np.maximum(0, scores - correct + 1.0)
    return np.mean(np.sum(margins, axis=1)) - 1 + reg * np.sum(W**2)


def batch_norm(x, gamma, beta, eps=1e-5):
    mu = x.mean(axis=0)
    var = x.var(axis=0)
    x_hat = (x - mu) / np.sqrt(var + eps)
    return gamma * x_hat + beta


def layer_norm(x, g, b, eps=1e-5):
    mean = np.mean(x, axis=-1, keepdims=True)
    variance = np.var(x, axis=-1, keepdims=True)
    return g * (x - mean) / np.sqrt(variance + eps) + b


def rms_norm(x, weight, eps=1e-6):
    return x * (1.0 / np.sqrt((x**2).mean(-1, keepdims=True) + eps)) * weight


def group_norm(x, gamma, beta, G=2, eps=1e-5):
    N, C, H, W = x.shape
    x = x.reshape(N, G, C // G, H, W)
    mean = x.mean(axis=(2, 3, 4), keepdims=True)
    var = x.var(axis=(2, 3, 4), keepdims=True)
    x = (x - mean) / np.sqrt(var + eps)
    x = x.reshape(N, C, H, W)
    return gamma.reshape(1, C, 1, 1) * x + beta.reshape(1, C, 1, 1)


def causal_attention(Q, K, V):
    T, d = Q.shape
    scores = Q @ K.T / math.sqrt(d)
    mask = np.triu(np.ones((T, T)), k=1).astype(bool)
    scores[mask] = -np.inf
    return softmax(scores) @ V


def masked_attention(q, k, v):
    n_seq = q.shape[0]
    mask = (1 - np.tri(n_seq)) * -1e10
    return softmax(q @ k.T / np.sqrt(q.shape[-1]) + mask) @ v


def multi_head(x, c_attn, c_proj, n_head=2):
    x = x @ c_attn
    qkv = np.split(x, 3, axis=-1)
    heads = [np.split(part, n_head, axis=-1) for part in qkv]
    causal = (1 - np.tri(x.shape[0])) * -1e10
    out = [softmax(q @ k.T / np.sqrt(q.shape[-1]) + causal) @ v for q, k, v in zip(*heads, strict=True)]
    return np.hstack(out) @ c_proj


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def feed_forward(x, w1, b1, w2, b2):
    return gelu(x @ w1 + b1) @ w2 + b2


def lstm_step(x, prev_h, prev_c, Wx, Wh, b):
    H = prev_h.shape[1]
    a = x.dot(Wx) + prev_h.dot(Wh) + b
    i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H : 2 * H]), sigmoid(a[:, 2 * H : 3 * H])
    g = np.tanh(a[:, 3 * H :])
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    return next_h


def gru_step(x, h, Wz, Uz, Wr, Ur, Wn, Un):
    z = sigmoid(x @ Wz + h @ Uz)
    r = sigmoid(x @ Wr + h @ Ur)
    n = np.tanh(x @ Wn + (r * h) @ Un)
    return (1 - z) * n + z * h


def char_rnn(inputs, targets, hprev, Wxh, Whh, Why, bh, by):
    xs, hs, ys, ps = {}, {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0
    for t in range(len(inputs)):
        xs[t] = inputs[t]
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        ys[t] = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(ys[t]) / np.sum(np.exp(ys[t]))
        loss += -np.log(ps[t][targets[t]])
    return loss


def rnn_forward(x, h0, Wx, Wh, b):
    N, T, _ = x.shape
    H = h0.shape[1]
    h = np.zeros((N, T, H))
    prev = h0
    for t in range(T):
        prev = np.tanh(x[:, t, :] @ Wx + prev @ Wh + b)
        h[:, t, :] = prev
    return h


def rope(x, base=10000.0):
    T, D = x.shape
    theta = base ** (-2 * np.arange(D // 2) / D)
    angles = np.outer(np.arange(T), theta)
    out = np.empty_like(x)
    out[:, 0::2] = x[:, 0::2] * np.cos(angles) - x[:, 1::2] * np.sin(angles)
    out[:, 1::2] = x[:, 0::2] * np.sin(angles) + x[:, 1::2] * np.cos(angles)
    return out


def logistic_regression(w, X, t):
    y = expit(X @ w)
    return -np.mean(t * np.log(y) + (1 - t) * np.log(1 - y))


def logistic_stable(w, X, t):
    z = X @ w
    return np.sum(np.logaddexp(0, z) - t * z)


def linear_regression(w, b, X, y):
    return ((X @ w + b - y) ** 2).mean()


def gaussian_nll(mu, log_var, x):
    return 0.5 * np.sum(np.log(2 * np.pi) + log_var + (x - mu) ** 2 / np.exp(log_var))


def gp_likelihood(X, y, log_l, log_s):
    N = len(X)
    sq = np.sum(X**2, 1)[:, None] + np.sum(X**2, 1)[None, :] - 2 * X @ X.T
    K = np.exp(-0.5 * sq / np.exp(log_l) ** 2) + np.exp(log_s) * np.eye(N)
    alpha = np.linalg.solve(K, y)
    _, logdet = np.linalg.slogdet(K)
    return 0.5 * y @ alpha + 0.5 * logdet + 0.5 * N * np.log(2 * np.pi)


def tsne(Y, P):
    sum_Y = np.sum(np.square(Y), 1)
    num = 1 / (1 + np.add(np.add(-2 * np.dot(Y, Y.T), sum_Y).T, sum_Y))
    num = num * (1 - np.eye(len(Y)))
    Q = num / np.sum(num)
    return np.sum(P * np.log((P + 1e-12) / (Q + 1e-12)))


def soft_k_means(X, mu, beta=2.0):
    d = ((X[:, None, :] - mu[None, :, :]) ** 2).sum(-1)
    return -np.sum(logsumexp(-beta * d, axis=1)) / beta


def mixture_nll(X, means, log_scales, logits):
    log_weights = logits - logsumexp(logits)
    z = (X[:, None] - means[None, :]) / np.exp(log_scales)
    log_p = -0.5 * z**2 - log_scales - 0.5 * np.log(2 * np.pi)
    return -np.sum(logsumexp(log_weights + log_p, axis=1))


def embedding_bag(E, W, tokens):
    return E[tokens].mean(axis=1) @ W


def contrastive(a, b, tau=0.1):
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    logits = a @ b.T / tau
    labels = np.arange(len(a))
    log_p = logits - logsumexp(logits, axis=1, keepdims=True)
    return -log_p[labels, labels].mean()


def matrix_factorisation(U, V, R, M, lam=0.1):
    E = M * (R - U @ V.T)
    return np.sum(E**2) + lam * (np.sum(U**2) + np.sum(V**2))


def ridge_closed_form(X, y, lam):
    D = X.shape[1]
    w = np.linalg.solve(X.T @ X + lam * np.eye(D), X.T @ y)
    return np.sum((X @ w - y) ** 2)


def label_smoothing(logits, y, eps=0.1):
    N, C = logits.shape
    onehot = np.eye(C)[y]
    target = onehot * (1 - eps) + eps / C
    log_p = logits - logsumexp(logits, axis=1, keepdims=True)
    return -(target * log_p).sum() / N


def huber(pred, target, delta=1.0):
    r = np.abs(pred - target)
    return np.mean(np.where(r <= delta, 0.5 * r**2, delta * (r - 0.5 * delta)))


def focal(p, t, gamma=2.0):
    pt = np.where(t > 0.5, p, 1 - p)
    return np.mean(-((1 - pt) ** gamma) * np.log(pt))


def conv_naive(x, w):
    H, W = x.shape
    R, S = w.shape
    out = np.zeros((H - R + 1, W - S + 1))
    for i in range(R):
        for j in range(S):
            out += w[i, j] * x[i : i + H - R + 1, j : j + W - S + 1]
    return out


def total_variation(u):
    return np.sum(np.abs(np.diff(u, axis=0))) + np.sum(np.abs(u[:, 1:] - u[:, :-1]))


def polynomial_fit(c, x, y):
    powers = np.stack([np.ones_like(x), x, x**2, x**3], axis=1)
    return 0.5 * np.sum((powers @ c - y) ** 2)


def positional(x):
    T, D = x.shape
    pos = np.arange(T)[:, np.newaxis]
    div = np.exp(np.arange(D) * -(math.log(10000.0) / D))
    return x + np.sin(pos * div)


def swiglu(x, W, V, W2):
    gate = x @ W
    return (gate * expit(gate) * (x @ V)) @ W2


def log_barrier(x, A, b, c):
    return c @ x - np.sum(np.log(b + 10 - A @ x))


def cosine_similarity(a, b):
    return np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))


def squeeze_excite(x, w1, w2):
    s = x.mean(axis=(2, 3))
    s = np.maximum(s @ w1, 0)
    s = sigmoid(s @ w2)
    return x * s[:, :, None, None]


def einsum_attention(q, k, v):
    scores = np.einsum("bhqd,bhkd->bhqk", q, k) / np.sqrt(q.shape[-1])
    weights = scipy_softmax(scores, axis=-1)
    return np.einsum("bhqk,bhkd->bhqd", weights, v)


def heatmap_loss(x, w):
    return np.sum(w * scipy_softmax(x, axis=(1, 2)))


def mlp_of_params(params, x):
    for W, b in params[:-1]:
        x = np.tanh(np.dot(x, W) + b)
    W, b = params[-1]
    return np.dot(x, W) + b


def named_params(p, x):
    h = np.tanh(x @ p["encoder"]["w"] + p["encoder"]["b"])
    return np.sum((h @ p["decoder"] - x) ** 2)


def transposed_convolution(x, w):
    (n,) = x.shape
    y = np.zeros(2 * n + len(w) - 2)
    for i in range(n):
        y[2 * i : 2 * i + len(w)] += x[i] * w
    return y


def grouped_queries(q, k, v, groups=2):
    k, v = np.repeat(k, groups, axis=0), np.repeat(v, groups, axis=0)
    s = np.einsum("htd,hsd->hts", q, k) / np.sqrt(q.shape[-1])
    return np.einsum("hts,hsd->htd", scipy_softmax(s, axis=-1), v)


def mixture_of_experts(x, gate, experts):
    g = np.exp(x @ gate)
    g /= g.sum(-1, keepdims=True)
    return np.einsum("ne,neh->nh", g, np.einsum("nd,edh->neh", x, experts))


def advantage(r, v, gamma=0.99):
    adv = 0.0
    for t in reversed(range(len(r))):
        adv = r[t] + gamma * adv - v[t]
    return adv**2


def skip_gram(W_in, W_out, centre, context, negatives):
    v, u, un = W_in[centre], W_out[context], W_out[negatives]
    loss = -np.log(sigmoid(u @ v))
    loss -= np.sum(np.log(sigmoid(-un @ v)))
    return loss


def split_heads(x, W, heads=2):
    parts = np.split(x @ np.pad(W, ((1,), (0,))), heads, axis=-1)
    return np.hstack([softmax(a @ b.T) @ b for a, b in zip(parts, parts[::-1], strict=True)])


def bearing_loss(p, q):
    angle = np.arctan2(q[:, 1] - p[:, 1], q[:, 0] - p[:, 0])
    return np.sum(angle**2) + np.sum(np.arcsin(0.5 * np.tanh(p)) + np.arccos(0.5 * np.tanh(q)))


def log_beta(a, b):
    return np.sum(gammaln(a) + gammaln(b) - gammaln(a + b)) + np.sum(digamma(a) * b)


def smoothed(x, k):
    return np.convolve(x, k, mode="same") + np.convolve(x, k)[1:-1] + np.convolve(x, k, "valid").sum()


def statistics(X):
    return np.cov(X, rowvar=False) + np.ptp(X, axis=0) + np.trapezoid(X, dx=0.5, axis=0)


def horner(p, x):
    return np.polyval(p, x) + np.cumprod(np.sinh(x) / np.cosh(x)) + np.arctanh(np.tanh(x)) * np.arcsinh(x)


def wide_diagonal(A):
    return np.diag(A) + np.diagonal(A, 1)


CASES = [
    (bearing_loss, {"p": "N 2", "q": "N 2"}),
    (log_beta, {"a": "N", "b": "N"}),
    (smoothed, {"x": "N", "k": "3"}),
    (statistics, {"X": "N D"}),
    (horner, {"p": "3", "x": "N"}),
    (wide_diagonal, {"A": "3 5"}),
    (
        skip_gram,
        {"W_in": "V D", "W_out": "V D", "centre": " in V", "context": " in V", "negatives": "K in V"},
    ),
    (split_heads, {"x": "T D+2", "W": "D H"}),
    (transposed_convolution, {"x": "3", "w": "2"}),
    (grouped_queries, {"q": "4 T D", "k": "2 T D", "v": "2 T D"}),
    (mixture_of_experts, {"x": "N D", "gate": "D E", "experts": "E D H"}),
    (advantage, {"r": "3", "v": "3"}),
    (affine, {"x": "N 2 3", "w": "6 M", "b": "M"}),
    (two_layer_net, {"X": "N D", "W1": "D H", "b1": "H", "W2": "H C", "b2": "C", "y": "N"}),
    (svm_loss, {"W": "D C", "X": "N D", "y": "N"}),
    (batch_norm, {"x": "N D", "gamma": "D", "beta": "D"}),
    (layer_norm, {"x": "B T D", "g": "D", "b": "D"}),
    (rms_norm, {"x": "T D", "weight": "D"}),
    (group_norm, {"x": "N C H W", "gamma": "C", "beta": "C"}),
    (causal_attention, {"Q": "T D", "K": "T D", "V": "T M"}),
    (masked_attention, {"q": "T D", "k": "T D", "v": "T M"}),
    (multi_head, {"x": "T D", "c_attn": "D 3*D", "c_proj": "D D"}),
    (feed_forward, {"x": "T D", "w1": "D F", "b1": "F", "w2": "F D", "b2": "D"}),
    (lstm_step, {"x": "N D", "prev_h": "N H", "prev_c": "N H", "Wx": "D 4*H", "Wh": "H 4*H", "b": "4*H"}),
    (
        gru_step,
        {
            "x": "N D",
            "h": "N H",
            "Wz": "D H",
            "Uz": "H H",
            "Wr": "D H",
            "Ur": "H H",
            "Wn": "D H",
            "Un": "H H",
        },
    ),
    (
        char_rnn,
        {
            "inputs": "3 V",
            "targets": "3",
            "hprev": "H",
            "Wxh": "H V",
            "Whh": "H H",
            "Why": "V H",
            "bh": "H",
            "by": "V",
        },
    ),
    (rnn_forward, {"x": "N 3 D", "h0": "N H", "Wx": "D H", "Wh": "H H", "b": "H"}),
    (rope, {"x": "T D"}),
    (logistic_regression, {"w": "D", "X": "N D", "t": "N"}),
    (logistic_stable, {"w": "D", "X": "N D", "t": "N"}),
    (linear_regression, {"w": "D", "b": "", "X": "N D", "y": "N"}),
    (gaussian_nll, {"mu": "D", "log_var": "D", "x": "N D"}),
    (gp_likelihood, {"X": "N D", "y": "N", "log_l": "", "log_s": ""}),
    (tsne, {"Y": "N D", "P": "N N"}),
    (soft_k_means, {"X": "N D", "mu": "K D"}),
    (mixture_nll, {"X": "N", "means": "K", "log_scales": "K", "logits": "K"}),
    (embedding_bag, {"E": "V D", "W": "D M", "tokens": "B T"}),
    (contrastive, {"a": "N D", "b": "N D"}),
    (matrix_factorisation, {"U": "N K", "V": "M K", "R": "N M", "M": "N M"}),
    (ridge_closed_form, {"X": "N D", "y": "N", "lam": ""}),
    (label_smoothing, {"logits": "N C", "y": "N"}),
    (huber, {"pred": "N", "target": "N"}),
    (focal, {"p": "N", "t": "N"}),
    (conv_naive, {"x": "H W", "w": "3 2"}),
    (total_variation, {"u": "H W"}),
    (polynomial_fit, {"c": "4", "x": "N", "y": "N"}),
    (positional, {"x": "T D"}),
    (swiglu, {"x": "N D", "W": "D F", "V": "D F", "W2": "F D"}),
    (log_barrier, {"x": "D", "A": "M D", "b": "M", "c": "D"}),
    (cosine_similarity, {"a": "D", "b": "D"}),
    (squeeze_excite, {"x": "N C H W", "w1": "C R", "w2": "R C"}),
    (heatmap_loss, {"x": "B H W", "w": "B H W"}),
    (einsum_attention, {"q": "B H T D", "k": "B H S D", "v": "B H S M"}),
    (mlp_of_params, {"params": [("D H", "H"), ("H M", "M")], "x": "N D"}),
    (named_params, {"p": {"encoder": {"w": "D H", "b": "H"}, "decoder": "H D"}, "x": "N D"}),
]
