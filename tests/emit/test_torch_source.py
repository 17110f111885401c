"""Emitted Functions: right in value, in both derivatives and under every transformation, and they save little."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from pullback.errors import NameProblem
from pullback.sizes import evaluate_size

from .emitted import NAMES, derivation, example_sizes, load

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
torch.set_num_threads(1)


class Case:
    """One emitted function with example arguments."""

    def __init__(self, name: str, sizes: dict[str, int] | None = None, dtype: Any = None) -> None:
        self.derivation = derivation(name)
        self.text = self.derivation.emit("torch", name=name)
        self.function = load(self.text, name)
        self.sizes = {**example_sizes(name), **(sizes or {})}
        inputs = self.derivation.program.inputs
        torch.manual_seed(0)
        self.arguments: list[Any] = []
        for tensor in inputs:
            shape = [evaluate_size(extent, self.sizes) for extent in tensor.shape]
            if tensor.is_integer:
                self.arguments.append(torch.randint(0, evaluate_size(tensor.values, self.sizes), shape))
            else:
                drawn = torch.rand(shape, dtype=torch.float64) + 0.5
                self.arguments.append(drawn.to(dtype or torch.float64).requires_grad_())
        self.hidden = [self.sizes["K"]] if name == "filled" else []

    def __call__(self, *real: Any) -> Any:
        """The function of its real arguments alone."""
        given = iter(real)
        every = [next(given) if a.is_floating_point() else a for a in self.arguments]
        return self.function(*every, *self.hidden)

    @property
    def real(self) -> list[Any]:
        return [a for a in self.arguments if a.is_floating_point()]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_numpy(name: str) -> None:
    case = Case(name)
    output = case(*case.real)
    upstream = torch.randn_like(output)
    found = torch.autograd.grad(output, case.real, upstream)
    inputs = {
        t.name: a.detach().numpy()
        for t, a in zip(case.derivation.program.inputs, case.arguments, strict=True)
    }
    sizes = {"K": case.sizes["K"]} if case.hidden else None
    wanted = case.derivation.compile(sizes=sizes)(inputs, upstream.numpy())
    for gradient, expected in zip(found, wanted.values(), strict=True):
        np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_both_derivatives_are_right(name: str) -> None:
    case = Case(name)
    assert torch.autograd.gradcheck(case, case.real)
    assert torch.autograd.gradgradcheck(case, case.real)


@pytest.mark.parametrize("name", NAMES)
def test_transformations(name: str) -> None:
    case = Case(name)
    real = [a.detach() for a in case.real]
    batched = [torch.stack([a, a + 0.1, a + 0.2]) for a in real]

    def loss(*arguments: Any) -> Any:
        return (case(*arguments) ** 2).sum()

    for k in range(len(real)):
        gradient = torch.func.grad(loss, argnums=k)
        alone = torch.stack([gradient(*(b[i] for b in batched)) for i in range(3)])
        torch.testing.assert_close(torch.func.vmap(gradient)(*batched), alone)
    torch.testing.assert_close(
        torch.func.jacrev(case)(*real),
        torch.autograd.functional.jacobian(lambda x: case(x, *real[1:]), real[0]),
    )
    torch.testing.assert_close(
        torch.func.jacrev(torch.func.grad(loss))(*real),
        torch.autograd.functional.hessian(lambda x: loss(x, *real[1:]), real[0]),
    )


@pytest.mark.parametrize("name", ["linear", "cross_entropy", "attention", "embedding", "total", "layer_norm"])
def test_it_compiles_as_one_graph(name: str) -> None:
    case = Case(name)
    wanted = torch.autograd.grad(case(*case.real).sum(), case.real)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch.compile(case.function, fullgraph=True, backend="aot_eager")
        output = compiled(*case.arguments)
        found = torch.autograd.grad(output.sum(), case.real)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


def saved_shapes(case: Case) -> list[list[int]]:
    shapes: list[list[int]] = []

    def pack(x: Any) -> Any:
        shapes.append(list(x.shape))
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        case(*case.real)
    return shapes


SAVED = [
    ("softmax", [[2, 3]]),  # P
    ("linear", [[3, 2], [2, 4]]),  # X, W
    ("total", []),
    ("embedding", [[4]]),  # t
    ("itself", []),
]


@pytest.mark.parametrize(("name", "shapes"), SAVED)
def test_only_what_the_backward_reads_is_saved(name: str, shapes: list[list[int]]) -> None:
    assert saved_shapes(Case(name)) == shapes


def test_softmax_saves_its_output_and_not_its_input() -> None:
    assert "ctx.save_for_backward(output)" in Case("softmax").text
    saved = next(line for line in Case("attention").text.splitlines() if "save_for_backward" in line)
    assert saved.strip() in ("ctx.save_for_backward(Q, K, V, P)", "ctx.save_for_backward(Q, K, V, O, P)")


FUNCTIONS = [("linear", "LinearFunction"), ("attention", "AttentionFunction"), ("mlp", "MlpFunction")]


class Context:
    """Stands for what PyTorch hands to the three functions."""

    def __init__(self, needs: list[bool]) -> None:
        self.needs_input_grad = needs
        self.saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved_tensors = tensors

    def set_materialize_grads(self, value: bool) -> None:
        pass


@pytest.mark.parametrize(("name", "function"), FUNCTIONS)
def test_gradients_that_nobody_asks_for_are_not_computed(name: str, function: str) -> None:
    case = Case(name)
    written = load(case.text, function)
    output = written.forward(*case.arguments)
    first = output[0] if isinstance(output, tuple) else output
    for k in range(len(case.arguments)):
        context = Context([place == k for place in range(len(case.arguments))])
        written.setup_context(context, tuple(case.arguments), output)
        more = len(output) - 1 if isinstance(output, tuple) else 0
        found = written.backward(context, torch.ones_like(first), *[None] * more)
        assert [gradient is not None for gradient in found] == context.needs_input_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", [n for n in NAMES if n != "log_det"])
def test_the_type_of_the_arguments_is_kept(name: str, dtype: Any) -> None:
    case = Case(name, dtype=dtype)
    output = case(*case.real)
    assert output.dtype is dtype
    for gradient in torch.autograd.grad(output.sum(), case.real):
        assert gradient.dtype is dtype


@pytest.mark.parametrize(
    "name", ["linear", "softmax", "attention", "layer_norm", "embedding", "mlp", "convolution"]
)
def test_arguments_need_not_be_contiguous(name: str) -> None:
    case = Case(name)
    strided = [torch.stack([a.detach(), a.detach()], dim=-1)[..., 0].requires_grad_() for a in case.real]
    assert not all(a.is_contiguous() for a in strided)
    found = torch.autograd.grad(case(*strided).sum(), strided)
    for a, b in zip(found, torch.autograd.grad(case(*case.real).sum(), case.real), strict=True):
        torch.testing.assert_close(a, b)


EMPTY = "linear N, linear D, mlp N, softmax N, embedding B, layer_norm N, attention N"


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize(("name", "axis"), [row.split() for row in EMPTY.split(", ")])
def test_sizes_0_and_1(name: str, axis: str, size: int) -> None:
    case = Case(name, {axis: size})
    for a, gradient in zip(case.real, torch.autograd.grad(case(*case.real).sum(), case.real), strict=True):
        assert gradient.shape == a.shape
        assert torch.isfinite(gradient).all()


def test_names_that_cannot_be_are_refused() -> None:
    linear = derivation("linear")
    for name in ("X", "1st", "class", "torch", "dX", "a b"):
        with pytest.raises(NameProblem):
            linear.emit("torch", name=name)
    with pytest.raises(NameProblem, match="there is no target fortran"):
        linear.emit("fortran")
