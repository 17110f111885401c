"""What a `torch.autograd.Function` runs in while it is checked: `ctx`, traceable backward, PyTorch's threads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CellType, FunctionType
from typing import Any


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch, where it is loaded, on one thread: with tensors of a few entries more of them only cost time."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Context:
    """What a Function may ask of its `ctx`."""

    def __init__(self, needs: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs
        self.saved_tensors: tuple[Any, ...] = ()
        self.not_differentiable: tuple[Any, ...] = ()
        self.dirty: tuple[Any, ...] = ()
        self.materialize_grads = True

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved_tensors = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Tensors for forward mode, which is not checked."""

    def mark_dirty(self, *tensors: Any) -> None:
        self.dirty = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        self.not_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        self.materialize_grads = value


def traceable(backward: Any) -> Any:
    """The function under the name `forward`: PyTorch's export records the lines of functions of that name alone.

    >>> def backward(ctx, g):
    ...     return g
    >>> traceable(backward).__name__
    'forward'
    """
    if not isinstance(backward, FunctionType):
        return backward
    inner = getattr(backward, "__wrapped__", None)
    if inner is None:
        return _copied(backward, "forward", backward.__closure__)
    if backward.__globals__.get("__name__", "").split(".")[0] == "torch":
        return traceable(inner)  # once_differentiable and its like, which leave the values alone
    cells = backward.__closure__ or ()
    closure = tuple(CellType(traceable(inner)) if cell.cell_contents is inner else cell for cell in cells)
    return _copied(backward, backward.__name__, closure or None)


def _copied(f: FunctionType, name: str, closure: tuple[CellType, ...] | None) -> FunctionType:
    made = FunctionType(f.__code__.replace(co_name=name), f.__globals__, name, f.__defaults__, closure)
    made.__kwdefaults__ = f.__kwdefaults__
    made.__dict__.update(f.__dict__)
    return made


@contextmanager
def undivided() -> Iterator[None]:
    """`detach` and `no_grad` cut nothing: in an `autograd.Function` PyTorch records nothing that they could cut."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Undivided(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in (torch.Tensor.detach, torch.detach):
                return args[0]
            return None if func is torch._C._set_grad_enabled else func(*args, **(kwargs or {}))

    with Undivided():
        yield
