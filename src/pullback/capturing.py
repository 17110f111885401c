"""Which reader real code goes to: one row a kind of code. Each gives a `Captured` program, held against its code."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from pullback.capture.captured import Captured
from pullback.capture.numpy_function import capture_numpy
from pullback.capture.torch_code import capture_torch
from pullback.errors import DomainProblem

KINDS = 'a program, as "Y = X @ W", a NumPy-style function with shapes, or a torch.nn.Module with an example'


def capture(
    obj: Any,
    given: Any = None,
    *,
    integers: Mapping[str, Any] | None = None,
    assume: Mapping[str, Any] | None = None,
    output: int | str | None = None,
) -> Captured:
    """The program that stands for an object of real code.

    given: shapes by name, or an example of the arguments (a tuple, or a dictionary by name); integers and assume are
    as those of `derive`; output: which one, of several.
    Raises `DomainProblem` for an object of no known kind, and `PullbackError` for code that cannot be read.
    """
    parts = (
        given.values()
        if isinstance(given, Mapping)
        else given
        if isinstance(given, tuple | list)
        else (given,)
    )
    if _is_of("torch", *parts) or _is_module(obj):
        return capture_torch(obj, given, output)
    if callable(obj):
        return capture_numpy(obj, given, integers=integers, assume=assume, output=output)
    raise DomainProblem(f"{type(obj).__name__} is nothing that can be derived", hint=KINDS)


def _is_module(obj: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(obj, torch.nn.Module)


def _is_of(library: str, *parts: Any) -> bool:
    """Whether any part is an array of the library, where it is imported at all."""
    module = sys.modules.get(library)
    kind = {"torch": "Tensor", "jax": "Array"}[library]
    return module is not None and any(isinstance(part, getattr(module, kind)) for part in parts)
