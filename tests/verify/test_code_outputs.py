"""`autograd.Function`s with several outputs: which of them have a gradient, and what is said of each."""

from __future__ import annotations

from typing import Any

import pytest

from pullback.checking import check

torch = pytest.importorskip("torch")
Function, F = torch.autograd.Function, torch.nn.functional
pytestmark = pytest.mark.torch


class Preference(Function):
    """A loss, and two rewards that are for the log alone."""

    @staticmethod
    def forward(ctx, chosen, rejected, beta):
        d = beta * (chosen - rejected)
        ctx.save_for_backward(d)
        ctx.beta = beta
        rewards = beta * chosen, beta * rejected
        ctx.mark_non_differentiable(*rewards)
        return -F.logsigmoid(d).mean(), *rewards

    @staticmethod
    def backward(ctx, dl, *_):
        (d,) = ctx.saved_tensors
        g = -torch.sigmoid(-d) * ctx.beta / d.numel() * dl
        return g, -g, None


class PreferenceSign(Preference):
    @staticmethod
    def backward(ctx, dl, *_):
        g, _, _ = Preference.backward(ctx, dl)
        return g, g, None


def vectors(count: int) -> list[Any]:
    torch.manual_seed(0)
    return [torch.randn(4, dtype=torch.float64) for _ in range(count)]


def pasted(source: str, function: Any) -> Any:
    """What the code of a counterexample prints, run as it stands."""
    seen: list[Any] = []
    exec(source, {function.__name__: function, "print": seen.append})
    return seen[0]


def test_an_output_that_is_marked_has_no_gradient() -> None:
    assert check(Preference, [*vectors(2), 0.1]).ok is True


def test_the_code_of_a_counterexample_leaves_marked_outputs_out() -> None:
    verdict = check(PreferenceSign, [*vectors(2), 0.1])
    chosen, rejected = verdict.verdicts
    assert chosen.ok is True and rejected.ok is False
    assert rejected.mend.words == "the sign"
    gradient = pasted(rejected.paste, PreferenceSign)[1]
    assert float(gradient[rejected.witness.entry]) == pytest.approx(float(rejected.witness.claimed))
