"""The losses of ATen. `reduction` is 0 for none, 1 for the mean, 2 for the sum."""

from __future__ import annotations

from typing import Any, Final

from pullback.capture import phrases
from pullback.capture.aten import Row, refuse, value
from pullback.capture.writing import Value, Writer


def reduced(w: Writer, x: Value, reduction: int) -> Value:
    """The entries, their mean or their sum."""
    if reduction == 0:
        return x
    return phrases.reduce(w, "mean" if reduction == 1 else "sum", x, hint="L")


def _of_difference(template: str, *defaults: Any) -> Row:
    """A loss of the difference of two tensors; `{1}`, … are its further numbers."""

    def row(w: Writer, x: Value, target: Value, reduction: int = 1, *more: Any) -> Value:
        e = w.elementwise("{0} - {1}", x, target, hint="E")
        numbers = [value(w, n) for n in (*more, *defaults[len(more) :])]
        return reduced(w, w.elementwise(template, e, *numbers), reduction)

    return row


def _smooth_l1(w: Writer, x: Value, target: Value, reduction: int = 1, beta: float = 1.0) -> Value:
    template = "where(abs({0}) < {1}, {0} ** 2 / (2 * {1}), abs({0}) - {1} / 2)"
    found: Value = _of_difference(template, beta)(w, x, target, reduction)
    return found


def _bce(w: Writer, p: Value, y: Value, weight: Any = None, reduction: int = 1) -> Value:
    terms = w.elementwise("-({1} * log({0}) + (1 - {1}) * log(1 - {0}))", p, y)
    return reduced(w, terms if weight is None else phrases.times(w, terms, weight), reduction)


def _bce_with_logits(
    w: Writer, x: Value, y: Value, weight: Any = None, pos_weight: Any = None, reduction: int = 1
) -> Value:
    if pos_weight is None:
        terms = w.elementwise("softplus({0}) - {1} * {0}", x, y)
    else:
        terms = w.elementwise("{2} * {1} * softplus(-{0}) + (1 - {1}) * softplus({0})", x, y, pos_weight)
    return reduced(w, terms if weight is None else phrases.times(w, terms, weight), reduction)


def _kl_div(w: Writer, x: Value, y: Value, reduction: int = 1, *, log_target: bool = False) -> Value:
    template = "exp({1}) * ({1} - {0})" if log_target else "{1} * (log({1}) - {0})"
    return reduced(w, w.elementwise(template, x, y), reduction)


def _counted(w: Writer, target: Value, ignored: int) -> tuple[Value, Value | None]:
    """The labels, and which of them count: `ignore_index` drops rows. None where the example drops none."""
    found = w.see(1) if target.data is None else target.data
    if not (found == ignored).any():
        return target, None

    def labels(_: Any, args: tuple[Any, ...]) -> Any:
        return args[1].masked_fill(args[1] == ignored, 0).numpy()

    def counted(_: Any, args: tuple[Any, ...]) -> Any:
        return (args[1] != ignored).numpy()

    return w.computed("labels", labels, target.shape), w.computed("counted", counted, target.shape)


def _share(w: Writer, labels: Value, counted: Value | None, weight: Value | None) -> Value | None:
    """How much each label counts: the weight of its class, nothing where it is ignored; None where all count."""
    share = None if weight is None else phrases.take(w, weight, labels, 0)
    return counted if share is None else share if counted is None else phrases.times(w, share, counted)


def _picked(w: Writer, logp: Value, labels: Value) -> Value:
    """logp[n, t[n]], or logp[t] of a single example."""
    if logp.rank > 1:
        return phrases.picked(w, logp, labels, "picked")
    w.ranges_over(labels, logp.shape[0])
    return w.define("{0}[{1}]", logp, labels, shape=(), style="view", hint="picked")


def _weighed(w: Writer, terms: Value, share: Value | None, reduction: int) -> Value:
    """The terms; their mean is over what counts."""
    if share is None or reduction != 1:
        return reduced(w, terms, reduction)
    total, count = phrases.reduce(w, "sum", terms), phrases.reduce(w, "sum", share)
    return w.elementwise("{0} / {1}", total, count, hint="L")


def _nll(w: Writer, logp: Value, target: Value, weight: Any, reduction: int, ignored: int) -> Value:
    """-logp[n, t[n]]; weights of classes enter the mean's denominator too."""
    labels, counted = _counted(w, target, ignored)
    share = _share(w, labels, counted, weight)
    chosen = _picked(w, logp, labels)
    terms = w.elementwise("-{0}", chosen) if share is None else w.elementwise("-{0} * {1}", share, chosen)
    return _weighed(w, terms, share, reduction)


def nll_loss(
    w: Writer, logp: Value, target: Value, weight: Any = None, reduction: int = 1, ignored: int = -100
) -> Value:
    return _nll(w, logp, target, weight, reduction, ignored)


def cross_entropy(
    w: Writer,
    x: Value,
    target: Value,
    weight: Any = None,
    reduction: int = 1,
    ignored: int = -100,
    label_smoothing: float = 0.0,
) -> Value:
    """Labels are class numbers, or probabilities of the shape of x."""
    axis = 1 if x.rank > 1 else 0
    logp = phrases.along(w, "log_softmax", x, axis, "logp")
    if target.kind == "float":
        return _soft_labels(w, logp, target, weight, reduction, label_smoothing)
    if not label_smoothing:
        return _nll(w, logp, target, weight, reduction, ignored)
    labels, counted = _counted(w, target, ignored)
    share = _share(w, labels, counted, weight)
    chosen = _picked(w, logp, labels)
    hard = chosen if share is None else phrases.times(w, share, chosen)
    spread = logp if weight is None else phrases.times(w, logp, phrases.per_channel(w, weight, logp))
    even = phrases.reduce(w, "mean", spread, axis)
    even = even if counted is None else phrases.times(w, counted, even)
    a, b = w.number(1 - label_smoothing), w.number(label_smoothing)
    terms = w.elementwise("-({1} * {0} + {3} * {2})", hard, a, even, b)
    return _weighed(w, terms, share, reduction)


def _soft_labels(
    w: Writer, logp: Value, target: Value, weight: Any, reduction: int, smoothing: float
) -> Value:
    axis = 1 if logp.rank > 1 else 0
    if smoothing:
        even = w.elementwise("{1} / {0}", w.size(logp.shape[axis]), w.number(smoothing))
        target = w.elementwise("{1} * {0} + {2}", target, w.number(1 - smoothing), even)
    terms = w.elementwise("{0} * {1}", target, logp)
    if weight is not None:
        terms = phrases.times(w, terms, phrases.per_channel(w, weight, logp))
    rows = w.elementwise("-{0}", phrases.reduce(w, "sum", terms, axis))
    return reduced(w, rows, reduction)


def _cosine(w: Writer, a: Value, b: Value, dim: int = 1, eps: float = 1e-8) -> Value:
    """PyTorch bounds each norm from below by eps."""
    norms = [_bounded_norm(w, x, dim, eps) for x in (a, b)]
    product = phrases.reduce(w, "sum", w.elementwise("{0} * {1}", a, b), dim)
    return w.elementwise("{0} / ({1} * {2})", product, *norms)


def _bounded_norm(w: Writer, x: Value, dim: int, eps: float) -> Value:
    return w.elementwise("maximum({0}, {1})", phrases.reduce(w, "norm", x, dim), w.number(eps))


def _cosine_embedding(
    w: Writer, a: Value, b: Value, y: Value, margin: float = 0.0, reduction: int = 1
) -> Value:
    """1 - cos for y = 1, relu(cos - margin) for y = -1; PyTorch adds 1e-12 under the roots."""
    product = phrases.reduce(w, "sum", w.elementwise("{0} * {1}", a, b), -1)
    squares = [phrases.reduce(w, "sum", w.elementwise("{0} ** 2", x), -1) for x in (a, b)]
    template = "{0} / sqrt(({1} + 1e-12) * ({2} + 1e-12))"
    cosine = w.elementwise(template, product, *squares, hint="cosine")
    cosine.named = True
    far = w.elementwise("relu({0} - {1})", cosine, w.number(margin))
    return reduced(w, w.elementwise("where({0} == 1, 1 - {1}, {2})", y, cosine, far), reduction)


def _margin(w: Writer, a: Value, b: Value, y: Value, margin: float = 0.0, reduction: int = 1) -> Value:
    terms = w.elementwise("relu({3} - {2} * ({0} - {1}))", a, b, y, w.number(margin))
    return reduced(w, terms, reduction)


def _triplet(
    w: Writer,
    a: Value,
    p: Value,
    n: Value,
    margin: float = 1.0,
    order: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: int = 1,
) -> Value:
    if order != 2 or swap:
        raise refuse("a triplet loss with swap, or of another order than 2")
    near, far = (_distance(w, a, other, eps) for other in (p, n))
    return reduced(w, w.elementwise("relu({0} - {1} + {2})", near, far, w.number(margin)), reduction)


def _distance(w: Writer, a: Value, b: Value, eps: float) -> Value:
    return phrases.reduce(w, "norm", w.elementwise("{0} - {1} + {2}", a, b, w.number(eps)), -1)


_DIFFERENCES: Final = {
    "mse_loss": "{0} ** 2",
    "l1_loss": "abs({0})",
}
TABLE: Final[dict[str, Row]] = {
    **{name: _of_difference(template) for name, template in _DIFFERENCES.items()},
    "huber_loss": _of_difference("where(abs({0}) < {1}, {0} ** 2 / 2, {1} * (abs({0}) - {1} / 2))", 1.0),
    "smooth_l1_loss": _smooth_l1,
    "binary_cross_entropy": _bce,
    "binary_cross_entropy_with_logits": _bce_with_logits,
    "kl_div": _kl_div,
    "nll_loss": nll_loss,
    "nll_loss_nd": nll_loss,
    "nll_loss2d": nll_loss,
    "cross_entropy_loss": cross_entropy,
    "soft_margin_loss": lambda w, x, y, r=1: reduced(w, w.elementwise("softplus(-{0} * {1})", x, y), r),
    "cosine_similarity": _cosine,
    "cosine_embedding_loss": _cosine_embedding,
    "margin_ranking_loss": _margin,
    "triplet_margin_loss": _triplet,
}
