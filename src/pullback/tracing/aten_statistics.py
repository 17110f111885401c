"""The meaning of ATen's batch norms, distances, pools to a given size and their gradients, and of remainders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from pullback.tracing.arrays import Numbers, mean, numbers, var, wrapped
from pullback.tracing.numbers import Untraceable

Row = Callable[..., Any]


def _batch_norm(x: Any, w: Any, b: Any, *rest: Any) -> Any:
    """In its three forms: with running statistics and a flag, with the flag alone, and for evaluation alone."""
    match rest:
        case (bool() as training, _, eps):
            running = None
        case (first, second, bool() as training, _, eps):
            running = (first, second)
        case (first, second, _, eps):
            training, running = False, (first, second)
        case _:
            raise Untraceable("this form of the batch norm is not known")
    axes = (0, *range(2, np.ndim(x)))
    shape = (1, -1, *(1,) * (np.ndim(x) - 2))
    if training or running is None:
        mu, spread = mean(x, axis=axes), var(x, axis=axes)
    else:
        mu, spread = running
    rstd = 1 / np.sqrt(spread + eps)
    out = (x - np.reshape(mu, shape)) * np.reshape(rstd, shape)
    out = out if w is None else out * np.reshape(w, shape)
    out = out if b is None else out + np.reshape(b, shape)
    return (out, mu, rstd) if training else (out, numbers(np.zeros(0)), numbers(np.zeros(0)))


def _batch_norm_with_statistics(x: Any, w: Any, b: Any, first: Any, second: Any, *rest: Any) -> Any:
    """Beside the results, what the running statistics become."""
    training, momentum, _ = rest
    found = _batch_norm(x, w, b, first, second, *rest)
    if not training:
        return (*found, first, second)
    axes = (0, *range(2, np.ndim(x)))
    unbiased = var(x, axis=axes, ddof=1)
    return (
        *found,
        (1 - momentum) * first + momentum * found[1],
        (1 - momentum) * second + momentum * unbiased,
    )


def _distances(x: Any, y: Any, p: float, *_: Any) -> Any:
    apart = x[..., :, None, :] - y[..., None, :, :]
    if p == 2:
        return wrapped(np.sqrt(np.sum(apart * apart, axis=-1)))
    if p == 1:
        return wrapped(np.sum(abs(apart), axis=-1))
    raise Untraceable(f"distances of the {p:g}-norm have no meaning here")


def _average_to(x: Any, size: Sequence[int]) -> Any:
    """The mean of each of `size` stretches of the last axes, which may overlap."""
    for axis, count in zip(range(np.ndim(x) - len(size), np.ndim(x)), size, strict=True):
        whole = np.shape(x)[axis]
        ends = [(k * whole // count, -(-(k + 1) * whole // count)) for k in range(count)]
        parts = [mean(np.take(x, np.arange(a, b), axis=axis), axis=axis) for a, b in ends]
        x = wrapped(np.stack(parts, axis=axis))
    return x


def _embedding_back(g: Any, index: Any, rows: int, padding: int, by_frequency: bool) -> Any:
    if by_frequency:
        raise Untraceable("gradients that are divided by the frequency of a word have no meaning here")
    found = numbers(np.zeros((rows, np.shape(g)[-1])))
    flat, kept = np.reshape(g, (-1, np.shape(g)[-1])), np.reshape(index, -1) != padding
    np.add.at(found.view(np.ndarray), np.reshape(index, -1)[kept], flat.view(np.ndarray)[kept])
    return found


def _largest_pool_back(g: Any, x: Any, *rest: Any) -> Any:
    lead = np.shape(x)[:-2]
    found = numbers(np.zeros((int(np.prod(lead)), int(np.prod(np.shape(x)[-2:])))))
    rows = np.arange(len(found))[:, None]
    where = np.reshape(rest[-1], (len(found), -1))
    np.add.at(found.view(np.ndarray), (rows, where), np.reshape(g, where.shape).view(np.ndarray))
    return np.reshape(found, np.shape(x))


def _of_whole_numbers(f: Callable[[Any, Any], Any]) -> Row:
    def row(a: Any, b: Any) -> Any:
        if any(isinstance(x, Numbers | float) for x in (a, b)):
            raise Untraceable("a remainder of numbers that are not whole has no meaning here")
        return np.asarray(f(a, b))

    return row


STATISTICS: Final[dict[str, Row]] = {
    "native_batch_norm": _batch_norm, "_native_batch_norm_legit": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "_native_batch_norm_legit_functional": _batch_norm_with_statistics,
    "_cdist_forward": _distances, "_adaptive_avg_pool2d": _average_to, "_adaptive_avg_pool3d": _average_to,
    "embedding_dense_backward": _embedding_back, "max_pool2d_with_indices_backward": _largest_pool_back,
    "fmod": _of_whole_numbers(np.fmod), "remainder": _of_whole_numbers(np.mod),
    "bitwise_xor": _of_whole_numbers(np.bitwise_xor),
}  # fmt: skip
