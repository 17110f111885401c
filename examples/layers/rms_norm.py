"""RMS norm by hand, with a slip: the ε stands outside the root in the backward. Try `pullback check` on it."""

import numpy as np

EPS = 1e-5


def rms_norm_forward(x, g):
    r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + EPS)
    return x * r * g, (x, g)


def rms_norm_backward(dy, cache):
    x, g = cache
    r = 1 / (np.sqrt((x * x).mean(-1, keepdims=True)) + EPS)
    dx = r * (dy * g - x * r * r * (dy * g * x).mean(-1, keepdims=True))
    dg = (dy * x * r).sum(0)
    return dx, dg
