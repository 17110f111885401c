"""Tensors of the same values laid out otherwise in memory: what a backward gives must not depend on it.

Such tensors are common: a sum hands an expanded gradient back, a transpose a transposed one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from pullback.tracing.aten_graph import seeded
from pullback.tracing.passes import CodeProblem, Fault

# Another order of summation moves the last digits, of bfloat16 inside the code the second one; entries that
# are read from the wrong place differ as much as they are large.
APART: Final = 0.1

Backward = Callable[[Sequence[Any]], Sequence[Any]]
Whole = Callable[[Sequence[Any]], tuple[Sequence[Any], Sequence[Any]]]


def relaid(x: Any) -> Any:
    """The same values, not contiguous: the last two axes exchanged in memory, or every other place of a vector.

    >>> import pytest; torch = pytest.importorskip("torch")
    >>> x = torch.arange(6.0).reshape(2, 3)
    >>> bool((relaid(x) == x).all()), relaid(x).stride(), relaid(x[0]).stride()
    (True, (1, 2), (2,))
    """
    import torch

    if not isinstance(x, torch.Tensor) or x.dim() == 0 or not x.is_floating_point():
        return x
    if x.dim() > 1 and x.shape[-1] > 1 and x.shape[-2] > 1:
        return x.transpose(-1, -2).contiguous().transpose(-1, -2)
    return x.repeat_interleave(2, dim=-1)[..., ::2]


def told_apart(
    back: Backward, whole: Whole, given: tuple[Sequence[Any], Sequence[Any]], run: tuple[Any, Any]
) -> tuple[list[tuple[int, str]], list[str]]:
    """Which gradients depend on the layout, with the words for it; and where the code raises, as notes.

    `given` are the arguments and the upstream gradients, `run` the outputs and the gradients as they were found.
    """

    arguments, upstream = given
    outs, grads = run
    wrong: list[tuple[int, str]] = []
    notes: list[str] = []
    try:
        found = back([relaid(g) for g in upstream])
    except CodeProblem as problem:
        notes.append(f"for an upstream gradient that is not contiguous {problem}")
    else:
        what = "for an upstream gradient that is not contiguous"
        wrong += [(k, what) for k, (a, b) in enumerate(zip(found, grads, strict=True)) if _differ(a, b)]
    seeded()
    try:
        again, found = whole([relaid(a) for a in arguments])
    except CodeProblem as problem:
        return wrong, [*notes, f"for inputs that are not contiguous {problem}"]
    if any(_differ(a, b) for a, b in zip(again, outs, strict=True)):
        return wrong, notes  # the forward itself reads memory or draws numbers in its order
    seen = {k for k, _ in wrong}
    what = "for inputs that are not contiguous"
    pairs = enumerate(zip(found, grads, strict=True))
    wrong += [(k, what) for k, (a, b) in pairs if k not in seen and _differ(a, b)]
    return wrong, notes


def faults(names: Sequence[str], wrt: Sequence[int], wrong: Sequence[tuple[int, str]]) -> list[Fault]:
    """One fault a gradient."""
    return [Fault("strides", f"d{names[wrt[k]]} has other values {what}", wrt[k]) for k, what in wrong]


def _differ(a: Any, b: Any) -> bool:
    import torch

    if not isinstance(a, torch.Tensor) or not isinstance(b, torch.Tensor):
        return False
    if a.shape != b.shape:
        return True
    if not (a.is_floating_point() and b.is_floating_point()):
        return False
    known = torch.isfinite(a) & torch.isfinite(b)
    if not bool(known.any()):
        return False
    x, y = a[known].double(), b[known].double()
    return bool((x - y).abs().max() > APART * torch.maximum(x.abs().max(), y.abs().max()))
