"""PyTorch: a module or function, exported before decomposition, so that a layer norm is still one operation."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback.capture.captured import Captured
from pullback.capture.torch_graph import LETTERS, Reading, TorchCode, flat
from pullback.errors import DomainProblem, PullbackError
from pullback.tracing.numpy_pair import CODE_ERRORS


@dataclass
class Exported(TorchCode):
    """Code that is exported, once with free sizes and, where that fails, with the numbers of the example."""

    def capture(self) -> Captured:
        """With free sizes where the code allows it, else with the numbers of the example."""
        problem: PullbackError | None = None
        for free in (True, False):
            exported = self._exported(free)
            if exported is None:
                continue
            try:
                return Reading(self, exported).captured()
            except PullbackError as error:
                problem = error
        assert problem is not None
        raise problem

    def _exported(self, free: bool) -> Any:
        import torch
        from torch.export import Dim, export

        def dimensions(x: Any) -> Any:
            if not isinstance(x, torch.Tensor):
                return [dimensions(part) for part in x] if isinstance(x, list | tuple) else None
            named = LETTERS.get(x.dim(), ())
            return {axis: Dim.AUTO for axis in range(len(named)) if x.shape[axis] > 1}

        shapes = None
        if free:
            listed = [dimensions(x) for x in (*self.args, *self.kwargs.values())]
            shapes = (
                tuple(listed) if not self.kwargs else _by_name(self.module, self.args, self.kwargs, listed)
            )
        try:
            return export(self.module, self.args, self.kwargs, dynamic_shapes=shapes, strict=False)
        except CODE_ERRORS as error:
            if free:
                return None
            first = str(error).strip().splitlines()[0] if str(error).strip() else ""
            raise DomainProblem(
                f"the code cannot be exported ({type(error).__name__}: {first})",
                hint="no control flow that depends on values, no conversion of a tensor to a number",
            ) from error


def _by_name(
    module: Any, args: Sequence[Any], kwargs: Mapping[str, Any], listed: list[Any]
) -> dict[str, Any]:
    names = list(inspect.signature(module.forward).parameters)[: len(args)]
    return dict(zip((*names, *kwargs), listed, strict=True))


# ---- from what the user hands over


def capture_torch(obj: Any, given: Any, output: int | str | None = None) -> Captured:
    """The program of a `torch.nn.Module` or a function of tensors, at an example of its arguments.

    given: a tensor, a tuple of the arguments, or a dictionary by name. The code runs in float64, on a copy.
    """
    import torch

    module = _module(obj)
    if isinstance(given, Mapping):
        names = list(inspect.signature(module.forward).parameters)
        unknown = [str(name) for name in given if name not in names]
        if unknown:
            raise DomainProblem(f"{unknown[0]} is no argument of the code", hint=", ".join(names))
        listed = [n for n in names if n in given]
        args, kwargs = ((), {n: _double(given[n]) for n in listed})
        if names[: len(listed)] == listed:
            args, kwargs = tuple(kwargs.values()), {}
    else:
        whole = given if isinstance(given, tuple | list) else (given,)
        args, kwargs = tuple(_double(x) for x in whole), {}
    if not any(isinstance(x, torch.Tensor) for x in flat((args, kwargs))):
        raise DomainProblem(
            "an example of the arguments is needed", hint="pullback.derive(module, (torch.randn(2, 4),))"
        )
    code = Exported(module, args, kwargs, output)
    _runs(code)
    return code.capture()


def _runs(code: TorchCode) -> None:
    """The code runs on its example; its own words where it does not."""
    held = {**dict(code.module.named_parameters()), **dict(code.module.named_buffers())}
    try:
        code.outputs({n: x.detach().clone() for n, x in held.items()}, [*code.args, *code.kwargs.values()])
    except CODE_ERRORS as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise DomainProblem(
            f"the code does not run on the example ({type(error).__name__}: {first})"
        ) from error


def _module(obj: Any) -> Any:
    import torch

    if isinstance(obj, torch.nn.Module):
        return copy.deepcopy(obj).double().cpu()

    class Function(torch.nn.Module):
        """The function as a module without parameters."""

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return obj(*args, **kwargs)

    made = Function()
    made.forward = obj  # type: ignore[method-assign]
    return made


def _double(x: Any) -> Any:
    import torch

    if isinstance(x, list | tuple):
        return type(x)(_double(part) for part in x)
    if isinstance(x, np.ndarray):
        x = torch.from_numpy(x)
    if not isinstance(x, torch.Tensor):
        return x
    x = x.detach().cpu()
    return x.double() if x.is_floating_point() else x
