"""`autograd.Function`s written anew: what the forward makes for itself, saves and takes apart; what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pullback import check
from pullback.errors import DomainProblem
from pullback.mending import mended

torch = pytest.importorskip("torch")
Function, F = torch.autograd.Function, torch.nn.functional
pytestmark = pytest.mark.torch


def normal(*shape: int) -> Any:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


class Wrong(Function):
    @staticmethod
    def backward(ctx, g):
        return (*(3 * torch.ones_like(x) for x in ctx.saved_tensors), *[None] * 9)[: ctx.count]


class CausalScores(Wrong):
    """A mask that it makes for itself, and an argument that is no array."""

    @staticmethod
    def forward(ctx, q, k, causal):
        ctx.save_for_backward(q, k)
        ctx.count = 3
        s = q @ k.T
        if causal:
            i = torch.arange(q.shape[0])
            s = s.masked_fill(i[:, None] < i[None, :], 0.0)
        return s.tanh()


class Ridge(Wrong):
    """A number times an identity matrix."""

    @staticmethod
    def forward(ctx, x, y, weight):
        ctx.save_for_backward(x, y)
        ctx.count = 3
        return torch.linalg.solve(x.T @ x + weight * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)


class Silent(Wrong):
    """Without recording, which a Function does not do anyway; attributes of ctx."""

    @staticmethod
    def forward(ctx, x):
        with torch.no_grad():
            y = torch.sigmoid(x)
        ctx.y = y.detach()
        ctx.save_for_backward(x)
        ctx.count = 1
        return x * y.detach()


class Scan(Wrong):
    """A loop over the rows of an array."""

    @staticmethod
    def forward(ctx, a, u):
        ctx.save_for_backward(a, u)
        ctx.count = 2
        h, found = torch.zeros_like(u[0]), []
        for t in range(u.shape[0]):
            h = a[t] * h + u[t]
            found.append(h)
        return torch.stack(found)


class Apart(Function):
    """forward and setup_context apart."""

    @staticmethod
    def forward(x, w, eps):
        return x / (x.pow(2).sum(-1, keepdim=True) + eps).sqrt() @ w

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g @ w.T, x.T @ g, None


CASES = [
    (CausalScores, (normal(4, 3), normal(4, 3), True)),
    (Ridge, (normal(5, 3), normal(5), 0.5)),
    (Silent, (normal(3, 4),)),
    (Scan, (normal(4, 2), normal(4, 2))),
    (Apart, (normal(3, 4), normal(4, 2), 1e-6)),
]


@pytest.mark.parametrize(("function", "inputs"), CASES)
def test_what_is_written_gives_the_same_and_is_right(function: Any, inputs: tuple[Any, ...]) -> None:
    namespace: dict[str, Any] = {"__name__": "mended"}
    exec(compile(mended(function, inputs), "<mended>", "exec"), namespace)
    new = namespace[function.__name__]
    assert torch.allclose(new.apply(*inputs), function.apply(*inputs))
    assert check(function, inputs).ok is False
    assert check(new, inputs).ok is True


class Two(Function):
    @staticmethod
    def forward(ctx, x):
        return x, 2 * x

    @staticmethod
    def backward(ctx, g, h):
        return g + h


class Largest(Function):
    """A mask that depends on the values."""

    @staticmethod
    def forward(ctx, x):
        return torch.where(x == torch.sort(x, -1).values[..., -1:], x, 0.0)

    @staticmethod
    def backward(ctx, g):
        return g


class Windowed(Function):
    @staticmethod
    def forward(ctx, x):
        return x * torch.hann_window(300, dtype=x.dtype)

    @staticmethod
    def backward(ctx, g):
        return g


@pytest.mark.parametrize(
    ("function", "inputs", "said"),
    [
        (Two, (normal(3),), "2 outputs"),
        (Windowed, (normal(300),), "300 entries"),
        (Largest, (normal(3, 4),), "without a gradient"),
    ],
)
def test_what_cannot_be_written_is_refused(function: Any, inputs: tuple[Any, ...], said: str) -> None:
    with pytest.raises(DomainProblem, match=said):
        mended(function, inputs)
