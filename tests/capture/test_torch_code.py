"""Modules of PyTorch: derived, compiled, and held against autograd; what cannot be read is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import pullback
from pullback.capturing import capture
from pullback.errors import DomainProblem

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
nn, F = torch.nn, torch.nn.functional


class Cell(nn.Module):  # type: ignore[misc,name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(3, 2)

    def forward(self, x: Any, h: Any, c: Any) -> Any:
        return self.cell(x, (h, c))[0]


class Tied(nn.Module):  # type: ignore[misc,name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.emb.weight

    def forward(self, t: Any, y: Any) -> Any:
        return F.cross_entropy(self.head(self.emb(t)).view(-1, 5), y.view(-1))


class Doubled(torch.autograd.Function):  # type: ignore[misc,name-defined]
    """A backward of its own: twice the true one."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return 4 * ctx.saved_tensors[0] * g


class Code(nn.Module):  # type: ignore[misc,name-defined]
    """A function as a module."""

    def __init__(self, f: Any) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Any) -> Any:
        return self.f(x)


def gradients(module: Any, args: Sequence[Any], upstream: Any, names: Sequence[str]) -> dict[str, Any]:
    """By autograd, for parameters by their path and arguments by their position."""
    leaves = [a.double().requires_grad_() if a.is_floating_point() else a for a in args]
    held = {n: p for n, p in module.double().named_parameters() if n in names}
    given = {str(k): leaf for k, leaf in enumerate(leaves) if leaf.requires_grad}
    found = module(*leaves)
    out = found[0] if isinstance(found, tuple) else found
    every = {**held, **given}
    return dict(zip(every, torch.autograd.grad(out, list(every.values()), upstream(out)), strict=True))


def compare(module: Any, args: Sequence[Any]) -> pullback.Derivation:
    torch.manual_seed(1)
    derivation = pullback.derive(module, tuple(args))
    captured = derivation.captured
    assert captured is not None
    names = [n for n in captured.names if captured.names[n] not in captured.parameters]
    kept: list[Any] = []

    def upstream(out: Any) -> Any:
        kept.append(torch.randn_like(out))
        return kept[0]

    true = gradients(module, args, upstream, list(captured.names))
    inputs = dict(zip(names, args, strict=True))
    found = derivation.compile()({n: x.double() if x.is_floating_point() else x for n, x in inputs.items()},
                                 float(kept[0]) if not kept[0].dim() else kept[0].numpy())  # fmt: skip
    for name, expected in true.items():
        own = names[int(name)] if name.isdigit() else name
        np.testing.assert_allclose(found[own], expected.numpy(), rtol=1e-10, atol=1e-10, err_msg=own)
    assert len(true) == len(found)
    return derivation


CASES = {
    "mlp": (lambda: nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2)), lambda: [torch.randn(2, 3)]),
    "lstm": (Cell, lambda: [torch.randn(2, 3), torch.randn(2, 2), torch.randn(2, 2)]),
    "gru": (lambda: nn.GRUCell(3, 2), lambda: [torch.randn(2, 3), torch.randn(2, 2)]),
    "norm": (lambda: nn.LayerNorm(4), lambda: [torch.randn(2, 4)]),
    "rms": (lambda: nn.RMSNorm(4), lambda: [torch.randn(2, 4)]),
    "batch": (lambda: nn.BatchNorm1d(3), lambda: [torch.randn(4, 3)]),
    "running": (lambda: nn.BatchNorm1d(3).eval(), lambda: [torch.randn(4, 3)]),
    "conv": (lambda: nn.Conv2d(2, 2, 2, stride=2, groups=2), lambda: [torch.randn(1, 2, 4, 4)]),
    "tied": (Tied, lambda: [torch.randint(0, 5, (2, 3)), torch.randint(0, 5, (2, 3))]),
    "lstm layer": (lambda: nn.LSTM(3, 2, batch_first=True), lambda: [torch.randn(2, 3, 3)]),
    "gru layer": (lambda: nn.GRU(3, 2, bidirectional=True), lambda: [torch.randn(2, 2, 3)]),
    "rnn layer": (lambda: nn.RNN(3, 2, 2, nonlinearity="relu"), lambda: [torch.randn(3, 2, 3)]),
    "projected": (lambda: nn.LSTM(3, 4, proj_size=2), lambda: [torch.randn(2, 2, 3)]),
    "padding row": (lambda: nn.Embedding(4, 3, padding_idx=0), lambda: [torch.tensor([[0, 1], [3, 0]])]),
    "mirror": (lambda: nn.ReflectionPad2d((1, 2, 0, 1)), lambda: [torch.randn(1, 2, 3, 4)]),
    "circle": (
        lambda: nn.Conv1d(2, 2, 3, padding=1, padding_mode="circular"),
        lambda: [torch.randn(1, 2, 4)],
    ),
    "ignored": (
        lambda: nn.CrossEntropyLoss(ignore_index=1),
        lambda: [torch.randn(3, 4), torch.tensor([0, 1, 3])],
    ),
    "smoothed": (
        lambda: nn.CrossEntropyLoss(
            weight=torch.tensor([1.0, 2.0, 3.0]), label_smoothing=0.1, ignore_index=-1
        ),
        lambda: [torch.randn(4, 3), torch.tensor([0, -1, 2, 2])],
    ),
    "poisson": (nn.PoissonNLLLoss, lambda: [torch.randn(2, 3), torch.rand(2, 3)]),
    "assigned": (lambda: Code(assigned), lambda: [torch.randn(2, 3)]),
    "hinge": (lambda: Code(lambda x: hinge(x, torch.tensor([1, 2]))), lambda: [torch.randn(2, 3)]),
    "added up": (
        lambda: Code(lambda x: torch.zeros(4, 3, dtype=x.dtype).index_add(0, ROWS, x)),
        lambda: [torch.randn(3, 3)],
    ),
    "scattered": (
        lambda: Code(lambda x: x.scatter(1, ROWS[:2, None], 2 * x[:, :1])),
        lambda: [torch.randn(2, 3)],
    ),
    "put": (lambda: Code(lambda x: x.index_put((ROWS[:2],), x[:2] ** 2)), lambda: [torch.randn(3, 3)]),
    "places": (lambda: Code(lambda x: x[ROWS, ROWS]), lambda: [torch.randn(3, 3)]),
    "diagonals": (
        lambda: Code(lambda x: x.diagonal(1) * x.diagonal(-1).flip(0) + torch.diag(x.sum(0), 1)[:-2, 1:3]),
        lambda: [torch.randn(3, 3)],
    ),
    "windows": (lambda: Code(lambda x: x.unfold(1, 2, 1).prod(-1)), lambda: [torch.randn(2, 4)]),
    "bag": (lambda: nn.EmbeddingBag(4, 3), lambda: [torch.tensor([[0, 1], [3, 1]])]),
    "volume": (lambda: nn.Conv3d(1, 2, 2, stride=(1, 2, 1), padding=1), lambda: [torch.randn(1, 1, 2, 2, 2)]),
    "transposed": (
        lambda: nn.ConvTranspose2d(2, 4, 3, stride=2, padding=1, output_padding=1, groups=2),
        lambda: [torch.randn(1, 2, 2, 3)],
    ),
    "bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), lambda: [torch.randn(1, 2, 2, 3)]),
    "uneven": (lambda: nn.AdaptiveAvgPool2d((2, 3)), lambda: [torch.randn(1, 1, 3, 5)]),
    "pool3d": (lambda: nn.MaxPool3d(2), lambda: [torch.randn(1, 2, 2, 2, 4)]),
    "unshuffle": (lambda: nn.PixelUnshuffle(2), lambda: [torch.randn(1, 1, 2, 4)]),
    "running products": (
        lambda: Code(lambda x: x.cumprod(0) * x.logcumsumexp(1)),
        lambda: [torch.randn(2, 3)],
    ),
    "factor": (
        lambda: Code(lambda x: torch.linalg.solve_triangular(torch.linalg.cholesky(x @ x.T), x, upper=False)),
        lambda: [torch.randn(2, 3)],
    ),
    "distances": (lambda: Code(lambda x: torch.cdist(x, x[:2] + 1, p=1.0)), lambda: [torch.randn(3, 2)]),
    "norms": (lambda: Code(lambda x: x.norm(p=3, dim=1) * torch.linalg.norm(x)), lambda: [torch.randn(2, 3)]),
    "counts": (
        lambda: Code(
            lambda x: torch.zeros(4, 1, dtype=x.dtype).index_add(0, ROWS, torch.ones(3, 1, dtype=x.dtype)) * x
        ),
        lambda: [torch.randn(4, 2)],
    ),
    "loss": (lambda: nn.CrossEntropyLoss(), lambda: [torch.randn(3, 4), torch.tensor([0, 3, 1])]),
    "huber": (lambda: nn.HuberLoss(), lambda: [torch.randn(3, 4), 3 * torch.randn(3, 4)]),
    "logits": (lambda: nn.BCEWithLogitsLoss(), lambda: [torch.randn(3, 4), torch.rand(3, 4)]),
}


MASK = torch.tensor([[True, False, True], [False, False, True]])
ROWS = torch.tensor([2, 0, 2])


def statistics_as_data(x: Any, w: Any) -> Any:
    with torch.no_grad():
        scale = (x @ w).abs().mean()
    return (x @ w) / scale


def assigned(x: Any) -> Any:
    out = torch.zeros(2, 5, dtype=x.dtype)
    out[:, 1:4] = x
    out[0] += 1
    out[:, 2] = x[:, 0]
    return out


def hinge(x: Any, t: Any) -> Any:
    margins = (x - x[torch.arange(2), t][:, None] + 1).clamp(min=0)
    margins[torch.arange(2), t] = 0
    return margins.sum()


# What has no gradient is data of the program: how it is called, and the function.
DATA = {
    "detach": (lambda x: x.detach() * x, ["x_held"]),
    "straight through": (lambda x: x + (torch.sign(x) - x).detach(), ["h_held"]),
    "no_grad": (lambda x: statistics_as_data(x, x.T), ["held"]),
    "sort": (lambda x: torch.sort(x, dim=-1, descending=True).values ** 2, ["order"]),
    "topk": (lambda x: x.topk(2).values.prod(-1), ["top"]),
    "median": (lambda x: x.median(1).values * x.median(), ["at", "at1"]),
    "quantile": (lambda x: x.flatten().quantile(0.3), ["order"]),
    "argmax": (lambda x: x.gather(1, x.argmax(1, keepdim=True)), ["argmax"]),
    "cummax": (lambda x: x.cummax(1).values, ["at"]),
    "mask": (lambda x: (x[MASK] ** 2).mean(), ["kept"]),
    "mask of values": (lambda x: x[x > 0].sum(), ["kept"]),
    "rows": (lambda x: x[torch.tensor([True, False])].exp(), ["kept"]),
    "masked_select": (lambda x: x.masked_select(MASK), ["kept"]),
    "round": (lambda x: x * x.round(), ["whole"]),
    "remainder": (lambda x: x % 0.7, ["n"]),
}


@pytest.mark.parametrize("name", DATA)
def test_what_has_no_gradient_is_data_and_said_to_be(name: str) -> None:
    code, names = DATA[name]
    torch.manual_seed(3)
    derivation = compare(Code(code), [torch.randn(2, 3)])
    assert derivation.captured is not None
    notes = " ".join(derivation.captured.notes)
    assert all(f"{name} is data from" in notes for name in names)


@pytest.mark.parametrize("name", CASES)
def test_the_compiled_backward_agrees_with_autograd(name: str) -> None:
    torch.manual_seed(0)
    module, args = CASES[name]
    compare(module(), args())


def test_a_linear_layer_reads_as_a_person_writes_it() -> None:
    derivation = compare(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), [torch.randn(2, 3)])
    assert derivation.captured is not None
    assert derivation.captured.program.splitlines()[0] == "layer0 = input @ layer0_weight.T + layer0_bias"
    assert str(derivation.gradients["layer2_weight"]) == "dlayer2_weight = dlayer2.T @ relu(layer0)"


def test_the_batch_is_a_free_size_and_parameters_may_be_given() -> None:
    module = nn.Linear(3, 2).double()
    backward = pullback.derive(module, (torch.randn(2, 3),), wrt=["weight"]).compile()
    x = np.ones((7, 3))
    assert np.array_equal(backward({"input": x}, np.ones((7, 2)))["weight"], np.full((2, 3), 7.0))
    assert backward({"input": x, "weight": np.zeros((2, 3))}, np.ones((7, 2)))["weight"].shape == (2, 3)


def test_a_function_of_tensors_is_read_too() -> None:
    captured = capture(lambda x: (x.exp() ** 2).sum(), torch.randn(3))
    assert captured.program == "L = sum(exp(x) ** 2)"


def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    mean = x.mean(-1, keepdim=True)
    var = x.var(-1, unbiased=False, keepdim=True)
    rstd = (var + 1e-5).rsqrt()
    xhat = (x - mean) * rstd
    return xhat * weight + bias


def test_a_line_of_the_code_is_a_line_of_the_program_under_its_name() -> None:
    """The mean inside `var` is the one that has a name; what a line assigns is the value of its last operation."""
    derivation = pullback.derive(layer_norm, (torch.randn(4, 6), torch.randn(6), torch.randn(6)))
    assert derivation.captured is not None
    assert derivation.captured.program.splitlines() == [
        "mean1 = mean(x, axis=1, keepdims=True)",
        "var = mean((x - mean1) ** 2, axis=1, keepdims=True)",
        "rstd = 1 / sqrt(var + 1e-05)",
        "xhat = (x - mean1) * rstd",
        "Y = xhat * weight + bias",
    ]
    assert derivation.lines == (
        "dxhat = dY * weight",
        "dx = rstd * (dxhat - xhat * mean(dxhat * xhat, axis=1, keepdims=True) - mean(dxhat, axis=1, keepdims=True))",
        "dweight = sum(dY * xhat, axis=0)",
        "dbias = sum(dY, axis=0)",
    )


def test_of_several_outputs_the_first_is_meant_and_the_result_says_so() -> None:
    args = (torch.randn(2, 3), (torch.randn(2, 2), torch.randn(2, 2)))
    assert capture(nn.LSTMCell(3, 2), args).output == "h_next"
    assert capture(nn.LSTMCell(3, 2), args, output=1).output == "c_next"
    assert capture(nn.LSTMCell(3, 2), args).notes == (
        "the code gives 2 tensors; this is the first of them (output=1)",
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            lambda x: torch.fft.fft(x).real.sum(),
            r"the operation aten.fft_fft.default is not known",
        ),
        (lambda x: F.dropout(x, 0.5), r"dropout with p = 0.5 draws at random"),
        (lambda x: x if x.sum() > 0 else -x, "the code cannot be exported"),
        (lambda x: x.sum() @ x, "the code does not run on the example"),
        (lambda x: x > 0, "the code gives no tensor of floats"),
        (lambda x: x.round().sum(), "no gradient flows from the output to any input"),
        (lambda x: Doubled.apply(x).sum(), "a derivative that is not the one of its forward"),
    ],
)
def test_what_cannot_be_read_is_refused(code: Any, message: str) -> None:
    with pytest.raises(DomainProblem, match=message):
        capture(code, (torch.randn(4),))


def test_detach_of_what_depends_on_no_input_is_a_constant() -> None:
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    capture(lambda x: (x * (2 * weights).detach()).sum(), (torch.randn(4),))
    capture(lambda x: (x * torch.arange(4).detach()).sum(), (torch.randn(4),))


def test_an_example_is_needed_and_its_names_are_those_of_the_code() -> None:
    with pytest.raises(DomainProblem, match="an example of the arguments is needed"):
        capture(nn.Linear(2, 2))
    with pytest.raises(DomainProblem, match="y is no argument of the code"):
        capture(nn.Linear(2, 2), {"y": torch.randn(1, 2)})
    with pytest.raises(DomainProblem, match="list is nothing that can be derived"):
        capture([], None)


POOLS = {
    "ceil_mode": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    "count_include_pad": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "divisor_override": lambda x: F.avg_pool2d(x, 2, divisor_override=3),
    "dilation": lambda x: F.max_pool2d(x, 2, 1, dilation=2),
    "dilation and ceil_mode": lambda x: F.max_pool2d(x, 3, 2, 1, 2, True),
    "fold": lambda x: F.fold(
        torch.tanh(F.unfold(x[:, :1, :4, :3], 2, padding=1, stride=2)), (4, 3), 2, padding=1, stride=2
    ),
}


@pytest.mark.parametrize("name", POOLS)
def test_windows_agree_with_autograd(name: str) -> None:
    x = torch.randn(2, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    y = POOLS[name](x)
    upstream = torch.randn_like(y)
    (expected,) = torch.autograd.grad(y, x, upstream)
    derivation = pullback.derive(POOLS[name], (x,))
    found = derivation.compile()({"x": x.detach().numpy()}, upstream.numpy())["x"]
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-10)
    assert derivation.report.unknown == 0
