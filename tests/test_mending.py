"""Code written anew: same names and arguments as the wrong code, and judged right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pullback import check
from pullback.cli import main
from pullback.errors import DomainProblem
from pullback.mending import mended

X, W = np.arange(12.0).reshape(3, 4) / 7 - 0.6, np.arange(4.0) + 1


def forward(x: Any, w: Any, scale: float = 2.0) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred * w * scale, (centred, w)


def backward(dout: Any, cache: Any) -> Any:
    centred, w = cache
    return dout * w, (dout * centred).sum(axis=0)


def plain(x: Any) -> Any:
    return np.exp(x)


def wrong(dout: Any, x: Any) -> Any:
    return dout * x


def loaded(text: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "mended"}
    exec(compile(text, "<mended>", "exec"), namespace)
    return namespace


@pytest.mark.parametrize(("pair", "inputs"), [((forward, backward), [X, W, 2.0]), ((plain, wrong), [X])])
def test_a_pair_is_written_anew_and_is_right(pair: tuple[Any, Any], inputs: list[Any]) -> None:
    assert check(pair, inputs).ok is False
    found = loaded(mended(pair, inputs))
    new = tuple(found[f.__name__] for f in pair)
    assert check(new, inputs).ok
    value = pair[0](*inputs)
    np.testing.assert_allclose(new[0](*inputs)[0], value[0] if isinstance(value, tuple) else value)


def test_constants_keep_their_value_and_their_place() -> None:
    text = mended((forward, backward), [X, W, 3.0])
    assert "scale: Any = 3.0" in text
    assert "scale is 3.0." in text


FUNCTION = """
import torch

class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, eps, w):
        r = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, w, r)
        return x * r * w

    @staticmethod
    def backward(ctx, g):
        x, w, r = ctx.saved_tensors
        return g * r * w, None, (g * x * r).sum(0)

def Scale_inputs():
    torch.manual_seed(0)
    kind = {"dtype": torch.float64, "requires_grad": True}
    return [torch.randn(3, 4, **kind), 1e-6, torch.rand(4, **kind)]
"""


@pytest.mark.torch
def test_a_function_is_written_anew_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    file, new = tmp_path / "layer.py", tmp_path / "mended.py"
    file.write_text(FUNCTION)
    assert main(["check", f"{file}::Scale", "--mend", "-o", str(new)]) == 1
    assert "class Scale" not in capsys.readouterr().out
    found = loaded(new.read_text("utf-8"))["Scale"]
    inputs = loaded(FUNCTION)["Scale_inputs"]()
    torch.testing.assert_close(found.apply(*inputs), loaded(FUNCTION)["Scale"].apply(*inputs))
    assert torch.autograd.gradcheck(found.apply, inputs)
    assert torch.autograd.gradgradcheck(found.apply, inputs)
    x, eps, w = inputs
    fewer = [x[:2], eps, w]
    torch.testing.assert_close(found.apply(*fewer), loaded(FUNCTION)["Scale"].apply(*fewer))
    narrow = [x[:, :3], eps, w[:3]]
    if "raise ValueError" in new.read_text("utf-8"):  # a size that is read as a number is refused elsewhere
        with pytest.raises(ValueError, match="this code is written for x"):
            found.apply(*narrow)
    else:
        torch.testing.assert_close(found.apply(*narrow), loaded(FUNCTION)["Scale"].apply(*narrow))
    assert main(["check", f"{file}::Scale", "--mend", "-o", str(new)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["check", f"{file}::Scale", "--mend"]) == 1
    assert "class Scale(torch.autograd.Function)" in capsys.readouterr().out


UNREADABLE = """
import numpy as np
inputs = [np.array([[2.0, 1.0], [1.0, 3.0]])]
def f(x): return np.linalg.svd(x)[1]
def b(dout, x): return x
"""


def test_what_cannot_be_mended_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DomainProblem, match="int is no pair"):
        mended(3, [X])
    with pytest.raises(DomainProblem, match="no array among the arguments"):
        mended((plain, wrong), [2.0])
    file = tmp_path / "a.py"
    file.write_text(UNREADABLE)
    assert main(["check", f"{file}::f,b", "--mend"]) in (1, 2)
    assert "No code is written: " in capsys.readouterr().out
    assert main(["check", f"{file}::f", "-o", "x.py"]) == 2
    assert "--mend -o FILE" in capsys.readouterr().err


class Scale:
    """A layer that keeps its input."""

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * x

    def backward(self, dout: Any) -> Any:
        return dout * self.x


def test_the_backward_of_a_layer_object_is_not_written() -> None:
    with pytest.raises(DomainProblem, match="layer object is not written") as caught:
        mended(Scale(), [np.ones(3)])
    assert "pair of functions" in str(caught.value)
