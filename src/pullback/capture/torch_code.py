"""PyTorch: a module or function, exported before decomposition, so that a layer norm is still one operation."""

from __future__ import annotations

import copy
import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from pullback.capture.captured import Captured
from pullback.capture.torch_graph import LETTERS, TABLE, WHOLE, Reading, TorchCode, flat
from pullback.errors import DomainProblem, InternalProblem, PullbackError
from pullback.tracing.numpy_pair import CODE_ERRORS
from pullback.tracing.torch_context import traceable

# How many axes of an argument are free, and by which letters: the most first.
_SIZES: Final = ((4, WHOLE), (4, LETTERS), (1, LETTERS), (0, LETTERS))


@dataclass
class Exported(TorchCode):
    """Code that is exported, once with free sizes and, where that fails, with the numbers of the example."""

    graphs: dict[tuple[int, bool], Any] = field(default_factory=dict)  # by free axes, and whether decomposed

    def capture(self, bound: int = 0) -> Captured:
        """With free sizes where the code allows it, else with a free first axis, else with those of the example.

        bound: how many of these choices, the freest first, are not tried.
        """
        problems: list[PullbackError] = []
        own = any(True for _ in (*self.module.parameters(), *self.module.buffers()))
        choices = ((4, LETTERS), (1, LETTERS), (0, LETTERS)) if own else _SIZES
        for tried, (free, letters) in enumerate(choices[bound:], bound):
            if free and _twice_the_same(problems):
                continue  # what is refused for another reason than its sizes will be so at the example as well
            self.letters = letters
            exported = self._graph(free, False)
            if exported is None:
                continue
            for apart in (False, True) if _hides(exported) else (False,):
                try:
                    found = Reading(self, self._graph(free, apart)).captured()
                    return replace(found, bound=tried)
                except PullbackError as error:
                    problems.append(error)
        raise problems[0]

    def _graph(self, free: int, apart: bool) -> Any:
        if (free, apart) not in self.graphs:
            made = decomposed(self._graph(free, False)) if apart else self._exported(free)
            self.graphs[free, apart] = made
        return self.graphs[free, apart]

    def _exported(self, free: int) -> Any:
        """The graph; at most `free` axes of each argument have a size that is free."""
        import torch
        from torch.export import Dim, export

        def dimensions(x: Any) -> Any:
            if not isinstance(x, torch.Tensor):
                return [dimensions(part) for part in x] if isinstance(x, list | tuple) else None
            named = self.letters.get(x.dim(), ())[:free]
            return {axis: Dim.AUTO for axis in range(len(named)) if x.shape[axis] > 1}

        shapes = None
        if free:
            listed = [dimensions(x) for x in (*self.args, *self.kwargs.values())]
            shapes = (
                tuple(listed) if not self.kwargs else _by_name(self.module, self.args, self.kwargs, listed)
            )
        try:
            with _quiet():
                return export(self.module, self.args, self.kwargs, dynamic_shapes=shapes, strict=False)
        except CODE_ERRORS as error:
            if free:
                return None
            first = str(error).strip().splitlines()[0] if str(error).strip() else ""
            raise DomainProblem(
                f"the code cannot be exported ({type(error).__name__}: {first})",
                hint="no control flow that depends on values, no conversion of a tensor to a number",
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what PyTorch says to its own developers: pages about a graph that it cannot export, deprecations."""
    loggers = [logging.getLogger(f"torch.{name}") for name in ("fx.experimental.symbolic_shapes", "export")]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for logger, was in zip(loggers, before, strict=True):
            logger.disabled = was


def decomposed(exported: Any) -> Any:
    """The graph with assignments in place as values, and operations without a row as PyTorch says them in others."""
    from torch.export import default_decompositions

    table = default_decompositions()
    for operation in list(table):
        if str(operation).removeprefix("aten.").split(".")[0] in TABLE:
            del table[operation]
    try:
        with _quiet():
            return exported.run_decompositions(table)
    except CODE_ERRORS as error:
        raise InternalProblem(f"PyTorch cannot decompose the graph: {error}") from error


def _twice_the_same(problems: Sequence[PullbackError]) -> bool:
    return len({str(p) for p in problems}) < len(problems)


def _hides(exported: Any) -> bool:
    """Whether decomposition can tell more: operations without a row, or that change what other tensors show."""
    for node in exported.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if schema is None or not str(node.target).startswith("aten."):
            continue
        if schema.is_mutable or str(node.target).split(".")[1] not in TABLE:
            return True
    return False


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
    return _exporting(obj, given, output).capture()


def capture_each(
    obj: Any, given: Any, outputs: Sequence[int], bound: int
) -> Iterator[Captured | PullbackError]:
    """The value of each of several outputs as a program, or why there is none: the code is exported once for all.

    bound: of the choices of free sizes, the freest first, those that are not tried.
    """
    code = _exporting(obj, given, None)
    code.differentiated = False
    for output in outputs:
        code.output = output
        try:
            yield code.capture(bound)
        except PullbackError as error:
            yield error


def _exporting(obj: Any, given: Any, output: int | str | None) -> Exported:
    """The code with an example of its arguments. Raises `DomainProblem` where it does not run on it."""
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
    return code


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
    # The line of a lambda assigns what its caller makes of it.
    is_lambda = getattr(obj, "__name__", "") == "<lambda>"
    made.forward = obj if is_lambda else traceable(obj)  # type: ignore[method-assign]
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
