"""The libraries that a compiled pass runs on: what they take for an array, and how they make one fit."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np

from pullback.errors import DomainProblem, PullbackError
from pullback.tracing.numpy_layer import is_layer

Holds = Literal["real", "integer", "boolean", "other"]


class Library(ABC):
    """Arrays of one library. They are `Any` here: only this library's own functions touch them."""

    @abstractmethod
    def array(self, value: Any) -> Any:
        """The value as an array of this library, without a copy where it is one."""

    @abstractmethod
    def holds(self, array: Any) -> Holds: ...

    @abstractmethod
    def real(self, array: Any) -> Any:
        """Integers as the widest floating type."""

    @abstractmethod
    def fitted(self, value: Any, shape: Sequence[int], like: Sequence[Any]) -> Any:
        """The value with that shape, and the floating type that the arrays have together."""

    def bounds(self, array: Any) -> tuple[int, int] | None:
        """The smallest and the largest entry, where they are known now."""
        return int(array.min()), int(array.max())


class NumPy(Library):
    def array(self, value: Any) -> Any:
        # Of a tensor of PyTorch its values are meant.
        return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)

    def holds(self, array: Any) -> Holds:
        kinds: dict[str, Holds] = {"f": "real", "i": "integer", "u": "integer", "b": "boolean"}
        return kinds.get(array.dtype.kind, "other")

    def real(self, array: Any) -> Any:
        return array.astype(np.float64)

    def fitted(self, value: Any, shape: Sequence[int], like: Sequence[Any]) -> Any:
        dtype = np.result_type(*(array.dtype for array in like)) if like else np.dtype(np.float64)
        array = np.asarray(value, dtype=dtype)
        return array if array.shape == tuple(shape) else np.broadcast_to(array, shape).copy()


class Torch(Library):
    def __init__(self) -> None:
        try:
            import torch
        except ModuleNotFoundError:
            raise missing("torch") from None
        self.torch = torch

    def array(self, value: Any) -> Any:
        return self.torch.as_tensor(value)

    def holds(self, array: Any) -> Holds:
        if array.is_floating_point():
            return "real"
        if array.dtype is self.torch.bool:
            return "boolean"
        return "other" if array.is_complex() else "integer"

    def real(self, array: Any) -> Any:
        return array.double()

    def fitted(self, value: Any, shape: Sequence[int], like: Sequence[Any]) -> Any:
        dtype = like[0].dtype if like else self.torch.float64
        for array in like[1:]:
            dtype = self.torch.promote_types(dtype, array.dtype)
        array = self.torch.as_tensor(value, dtype=dtype)
        return array if array.shape == tuple(shape) else array.expand(*shape)


class Jax(Library):
    def __init__(self) -> None:
        try:
            import jax
        except ModuleNotFoundError:
            raise missing("jax") from None
        self.jax, self.jnp = jax, jax.numpy

    def array(self, value: Any) -> Any:
        return self.jnp.asarray(value)

    def holds(self, array: Any) -> Holds:
        if self.jnp.issubdtype(array.dtype, self.jnp.floating):
            return "real"
        if array.dtype == bool:
            return "boolean"
        return "integer" if self.jnp.issubdtype(array.dtype, self.jnp.integer) else "other"

    def real(self, array: Any) -> Any:
        return array.astype(float)

    def fitted(self, value: Any, shape: Sequence[int], like: Sequence[Any]) -> Any:
        dtype = self.jnp.result_type(*(array.dtype for array in like)) if like else float
        return self.jnp.broadcast_to(self.jnp.asarray(value, dtype=dtype), tuple(shape))

    def bounds(self, array: Any) -> tuple[int, int] | None:
        # Under jit and vmap an array has a shape and no values yet.
        return None if isinstance(array, self.jax.core.Tracer) else super().bounds(array)


def missing(name: str) -> PullbackError:
    return PullbackError(f"{name} is not installed", hint=f"pip install pullback[{name}]")


LIBRARIES: Final[dict[str, type[Library]]] = {"numpy": NumPy, "torch": Torch, "jax": Jax}


def rule_of(obj: Any) -> Any:
    """The `custom_vjp` function behind one that is compiled (`jax.jit`); anything else as it is."""
    jax = sys.modules.get("jax")
    inner = getattr(obj, "__wrapped__", None)
    return inner if jax is not None and isinstance(inner, jax.custom_vjp) else obj


def kind_of_backward(obj: Any) -> Literal["pair", "function", "rule", "layer"]:
    """What a hand-written backward is: two functions, an `autograd.Function`, a `custom_vjp` function, a layer.

    Raises `DomainProblem` for an object of another kind.
    """
    if isinstance(obj, tuple | list) and len(obj) == 2 and all(callable(f) for f in obj):
        return "pair"
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(obj, type) and issubclass(obj, torch.autograd.Function):
        return "function"
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(obj, jax.custom_vjp):
        return "rule"
    if is_layer(obj):
        return "layer"
    raise DomainProblem(
        f"{type(obj).__name__} is no pair (forward, backward), layer, autograd.Function or custom_vjp function",
        hint="pullback.check((forward, backward), [x, w])",
    )
