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


def test_the_output_that_is_wrong_is_named() -> None:
    def unmarked(ctx: Any, chosen: Any, rejected: Any, beta: Any) -> Any:
        out = Preference.forward(ctx, chosen, rejected, beta)
        ctx.mark_non_differentiable()
        return out

    made = type("Unmarked", (Preference,), {"forward": staticmethod(unmarked)})
    chosen, rejected = check(made, [*vectors(2), 0.1]).verdicts
    assert chosen.ok is False and "(in the part of output 1 alone)" in chosen.reason
    assert rejected.ok is False and "mark_non_differentiable" in rejected.reason


class Ranked(Function):
    """Signs as labels, which have no gradient."""

    @staticmethod
    def forward(ctx, a, b, sign):
        d = (-sign * (a - b) + 0.3).clamp(min=0)
        ctx.save_for_backward(d, sign)
        return d.mean()

    @staticmethod
    def backward(ctx, g):
        d, sign = ctx.saved_tensors
        w = sign * (d > 0) * g / d.numel()
        return -w, w, None


@pytest.mark.parametrize(
    ("name", "values", "asked", "ok"),
    [
        ("sign", [1.0, -1.0, 1.0, -1.0], None, True),
        ("target", [1.5, -0.5, 1.0, -1.0], None, True),
        ("weight", [1.5, -0.5, 1.0, -1.0], None, False),
        ("sign", [1.0, -1.0, 1.0, -1.0], ["a", "b", "sign"], False),
    ],
)
def test_labels_that_have_no_gradient_are_data_unless_asked_for(
    name: str, values: list[float], asked: list[str] | None, ok: bool
) -> None:
    def forward(ctx: Any, a: Any, b: Any, sign: Any) -> Any:
        return Ranked.forward(ctx, a, b, sign)

    code = forward.__code__
    forward.__code__ = code.replace(co_varnames=(*code.co_varnames[:3], name, *code.co_varnames[4:]))
    made = type("Ranked", (Ranked,), {"forward": staticmethod(forward)})
    wrt = None if asked is None else [name if x == "sign" else x for x in asked]
    verdict = check(made, [*vectors(2), torch.tensor(values, dtype=torch.float64)], wrt=wrt)
    assert verdict.ok is ok
    assert ("taken for data" in verdict.explain()) is ok


class HalfPrecision(Function):
    """Sums in float32, and hands that on."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x.float() ** 2).to(x.dtype)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * g.float() * x.float()


def test_more_digits_than_a_bfloat16_are_no_fault() -> None:
    assert check(HalfPrecision, [vectors(1)[0].bfloat16()]).ok is True
