"""A compiled backward pass: it checks what it is given, runs, and checks what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pullback import limits
from pullback.derivation import Derived
from pullback.emit import Source, plain_source, run_source
from pullback.emit.sizes_source import size_sources
from pullback.emit.target import target_named
from pullback.errors import DomainProblem, LimitProblem, NameProblem, ShapeProblem
from pullback.expression import Expr, Tensor, sizes_in
from pullback.libraries import LIBRARIES
from pullback.sizes import evaluate_size, shape_text, size_text

if TYPE_CHECKING:
    from pullback.capture.captured import Captured


class Gradients(dict[str, Any]):
    """Input -> gradient; an input may also be asked for by the name that it has in the code."""

    def __init__(self, found: Mapping[str, Any], names: Mapping[str, str]) -> None:
        super().__init__(found)
        self._names = names

    def __missing__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self[self._names[name]]


class Backward:
    """`backward(inputs, upstream)` gives `{input: gradient}`; `source` is the code that runs.

    inputs: name -> array of the declared shape, float32 or float64 (integers for an integer tensor),
    contiguous or not. upstream: the gradient of the loss with respect to the output, an array of the
    output's shape; for a scalar output a number that scales the gradients (default 1).
    Raises `NameProblem`, `ShapeProblem`, `DomainProblem` or `LimitProblem` for inputs that do not fit.
    """

    def __init__(
        self,
        derived: Derived,
        sizes: Mapping[str, int] | None = None,
        *,
        source: Source | None = None,
        results: Mapping[str, Tensor] | None = None,
        defaults: Mapping[str, Any] | None = None,
        code: Captured | None = None,
        backend: str = "numpy",
    ) -> None:
        """`source` and `results` (what it returns, by key) are those of the backward pass where not given.

        defaults: values of inputs that a call may leave out. code: what the program
        was read from: its inputs have names there, as `fc.weight`, and it gives the inputs that are data.
        """
        self._defaults = dict(defaults or {})
        self._names = dict(code.names) if code else {}
        self._data = code.data if code else None
        self._derived = derived
        self._sizes = dict(sizes or {})
        self._results = dict(results or {tensor.name: tensor for tensor in derived.wrt})
        target = target_named(backend, "backend")
        self._library = LIBRARIES[backend]()
        self._emitted: Source = source or plain_source(derived, target=target)
        self._function = run_source(self._emitted.text, self._emitted.function, target)
        unknown = sorted(set(self._sizes) - set(derived.program.sizes))
        if unknown:
            raise NameProblem(
                f"{unknown[0]} is not a size of the program",
                hint=f"its sizes are {', '.join(derived.program.sizes) or 'all numbers'}",
            )

    @property
    def source(self) -> str:
        """The module's text."""
        return self._emitted.text

    def __call__(self, inputs: Mapping[str, Any], upstream: Any = None) -> dict[str, Any]:
        named = {self._names.get(name, name): x for name, x in inputs.items()}
        given = {**self._defaults, **named}
        if self._data is not None:
            given = {**self._data(given), **given}
        arrays = self._arrays(given)
        sizes = self._solve(arrays)
        scale = None
        if self._derived.upstream is not None:
            arrays[self._derived.upstream.name] = self._upstream(upstream, sizes)
        elif upstream is not None:
            scale = self._scale(upstream)
        self._demand_room(sizes)
        extra = {name: sizes[name] for name in self._emitted.sizes}
        result = self._function(*(arrays[name] for name in self._emitted.parameters), **extra)
        results = result if isinstance(result, tuple) else (result,)
        found = zip(self._emitted.results, results, strict=True)
        gradients = {name: self._finish(name, gradient, arrays, sizes, scale) for name, gradient in found}
        # A plain dictionary where it is enough: JAX compiles functions that return one.
        return Gradients(gradients, self._names) if self._names else gradients

    def _arrays(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        result = {}
        for tensor in self._derived.program.inputs:
            if tensor.name not in inputs:
                if tensor.name not in self._emitted.parameters:
                    continue
                raise NameProblem(
                    f"the input {tensor.name} is missing",
                    hint=f"pass {tensor.name}: an array of shape {shape_text(tensor.shape)}",
                )
            array = self._library.array(inputs[tensor.name])
            found = self._library.holds(array)
            if found == "boolean" and tensor.is_integer:
                array = array + 0  # a mask, as the integers 0 and 1
            elif found not in (("integer",) if tensor.is_integer else ("real", "integer")):
                expected = "integers" if tensor.is_integer else "float32 or float64"
                raise DomainProblem(f"{tensor.name} holds {array.dtype}, where {expected} is expected")
            if not tensor.is_integer:
                array = self._real(array)
            if array.ndim != tensor.rank:
                raise ShapeProblem(
                    f"{tensor.name} has {array.ndim} axes, where its shape is {shape_text(tensor.shape)}"
                )
            result[tensor.name] = array
        return result

    def _solve(self, arrays: Mapping[str, Any]) -> dict[str, int]:
        """The value of every size, from the shapes; contradictions are shape problems."""
        sizes = dict(self._sizes)
        present = [t for t in self._derived.program.inputs if t.name in arrays]
        for name, source in size_sources(present).items():
            sizes.setdefault(name, source.value(arrays[source.tensor].shape))
        for tensor in present:
            for axis, extent in enumerate(tensor.shape):
                found = arrays[tensor.name].shape[axis]
                if sizes_in(extent) <= set(sizes) and evaluate_size(extent, sizes) != found:
                    known = ", ".join(f"{n} = {sizes[n]}" for n in sorted(sizes_in(extent))) or "fixed"
                    raise ShapeProblem(
                        f"axis {axis} of {tensor.name} has size {found}, where "
                        f"{size_text(extent)} = {evaluate_size(extent, sizes)} is expected ({known})"
                    )
            self._check_range(tensor, arrays[tensor.name], sizes)
        missing = sorted(set(self._emitted.sizes) - set(sizes))
        if missing:
            raise ShapeProblem(
                f"no input shows the size {missing[0]}",
                hint=f"compile(sizes={{'{missing[0]}': …}})",
            )
        return sizes

    def _real(self, value: Any) -> Any:
        array = self._library.array(value)
        return array if self._library.holds(array) == "real" else self._library.real(array)

    def _check_range(self, tensor: Tensor, array: Any, sizes: Mapping[str, int]) -> None:
        if tensor.values is None or 0 in array.shape or not sizes_in(tensor.values) <= set(sizes):
            return
        top = evaluate_size(tensor.values, sizes)
        bounds = self._library.bounds(array)
        if bounds is not None and (bounds[0] < 0 or bounds[1] >= top):
            raise DomainProblem(
                f"{tensor.name} holds {bounds[0]}..{bounds[1]}, where 0..{top - 1} is expected"
            )

    def _scale(self, upstream: Any) -> Any:
        """The gradient of a scalar output: one number, so that no shape broadcasts unseen."""
        array = self._real(upstream)
        if any(n != 1 for n in array.shape):
            name = self._derived.program.output.name
            raise ShapeProblem(
                f"the output {name} is a scalar, and its gradient has shape {tuple(array.shape)}",
                hint="pass one number, or nothing for 1",
            )
        return array.reshape(())

    def _upstream(self, upstream: Any, sizes: Mapping[str, int]) -> Any:
        tensor = self._derived.upstream
        assert tensor is not None
        if upstream is None:
            raise NameProblem(
                f"the output {self._derived.program.output.name} is not a scalar, so its gradient is needed",
                hint=f"pass upstream={tensor.name}, an array of shape {shape_text(tensor.shape)}",
            )
        array = self._real(upstream)
        expected = _concrete(tensor.shape, sizes)
        if tuple(array.shape) != expected:
            raise ShapeProblem(f"{tensor.name} has shape {tuple(array.shape)}, where {expected} is expected")
        return array

    def _demand_room(self, sizes: Mapping[str, int]) -> None:
        for definition in (*self._derived.program.definitions, *self._derived.backward):
            shape = definition.tensor.shape
            if all(sizes_in(extent) <= set(sizes) for extent in shape):
                count = int(np.prod([float(evaluate_size(e, sizes)) for e in shape], initial=1.0))
                if count > limits.MAX_ELEMENTS:
                    raise LimitProblem(
                        f"{definition.tensor.name} would hold {count:,} numbers, "
                        f"where at most {limits.MAX_ELEMENTS:,} are accepted"
                    )

    def _finish(
        self,
        name: str,
        gradient: Any,
        arrays: Mapping[str, Any],
        sizes: Mapping[str, int],
        scale: Any,
    ) -> Any:
        tensor = self._results[name]
        if tensor.name in arrays:
            like, shape = [arrays[name]], tuple(arrays[name].shape)
        else:
            like = [array for array in arrays.values() if self._library.holds(array) == "real"]
            shape = _concrete(tensor.shape, sizes)
        array = self._library.fitted(gradient, shape, like)
        return array if scale is None else self._library.fitted(array * scale, shape, like)


def _concrete(shape: Sequence[Expr], sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(evaluate_size(extent, sizes) for extent in shape)
