"""A complete `jax.custom_vjp`, as a person would have written it.

JAX differentiates the forward rule too, so what it passes on may be any intermediate, and a second
differentiation is right without more.
"""

from __future__ import annotations

from collections.abc import Sequence

from pullback.derivation import Derived
from pullback.emit.function_source import (
    Part,
    Slot,
    arguments,
    demanded,
    docstring,
    indented,
    part,
    scaled,
    slots_of,
    unpacked,
)
from pullback.emit.passes import passes
from pullback.emit.plain_source import Source, head
from pullback.emit.sizes_source import size_sources
from pullback.emit.target import JAX
from pullback.expression import Tensor

GRAD = "g"


def jax_source(derived: Derived, name: str = "program", slots: Sequence[Slot] | None = None) -> Source:
    """A module with the function `name`, its forward rule and its backward rule.

    `slots` are its parameters, where it stands in the place of another function; default: every input.
    """
    return _Writer(derived, name, slots).source()


class _Writer:
    """The pieces of one module."""

    def __init__(self, derived: Derived, name: str, slots: Sequence[Slot] | None) -> None:
        self.published, self.name = derived, name
        self.passes = passes(derived)
        self.derived = self.passes.derived
        self.inputs = self.derived.program.inputs
        upstream = self.derived.upstream
        taken = {*self.derived.program.by_name, *self.derived.program.sizes}
        taken |= {each.name for each in self.passes.backward}
        self.grad = GRAD if GRAD not in taken else "g_" if upstream is None else upstream.name
        names = {} if upstream is None else {upstream.name: self.grad}
        real = next(tensor.name for tensor in self.inputs if not tensor.is_integer)
        self.forward = part(self.derived, self.passes.forward, self.inputs, JAX, like=real, names=names)
        statements = self.passes.backward
        if upstream is None:
            statements = scaled(statements, {t.name for t in self.passes.results.values()}, self.grad)
        above = [upstream] if upstream is not None else []

        def backward(given: Sequence[Tensor]) -> Part:
            return part(self.derived, statements, [*given, *above], JAX, like=self.grad, names=names)

        # Under jit only an array shows a size: an input that shows one is passed on for its shape.
        self.passed = [*self.passes.saved, *self._showing(backward(self.passes.saved).hidden)]
        self.backward = backward(self.passed)
        self.hidden = sorted({*self.forward.hidden, *self.backward.hidden})
        self.spelt = self.forward.speller
        self.slots = slots_of(self.derived, self.spelt, slots)
        self.names = [slot.name for slot in self.slots]
        self.demands = [] if slots is None else demanded(self.slots)

    def _showing(self, sizes: tuple[str, ...]) -> list[Tensor]:
        sources = size_sources(self.inputs)
        names = {sources[size].tensor for size in sizes if size in sources}
        return [tensor for tensor in self.inputs if tensor.name in names]

    def source(self) -> Source:
        called = {name for each in (self.forward, self.backward) for name in each.speller.called()}
        helpers = [text for name, text in JAX.speller.helpers_of_target.items() if name in called]
        rule = f"{self.name}.defvjp({self.name}_fwd, {self.name}_bwd)"
        text = [
            *helpers,
            "",
            *self._user_lines(),
            "",
            "",
            *self._forward_lines(),
            "",
            "",
            *self._backward_lines(),
        ]
        also = ["from functools import partial"] if self.hidden else []
        also += ["from typing import Any"] if any(slot.tensor is None for slot in self.slots) else []
        header = JAX.header(text, also)
        module = "\n".join([*header, "", *text, "", "", rule]) + "\n"
        while "\n\n\n\n" in module:
            module = module.replace("\n\n\n\n", "\n\n\n")
        inputs = tuple(tensor.name for tensor in self.inputs)
        return Source(module, self.name, inputs, tuple(self.hidden), tuple(self.passes.results))

    def _user_lines(self) -> list[str]:
        first = len(self.slots)
        places = ", ".join(str(first + k) for k in range(len(self.hidden))) + (
            "," if len(self.hidden) == 1 else ""
        )
        decorator = (
            f"@partial(jax.custom_vjp, nondiff_argnums=({places}))" if self.hidden else "@jax.custom_vjp"
        )
        parameters = arguments(self.slots, self.hidden, JAX)
        return [
            decorator,
            *head(self.name, parameters, ["Array"]).split("\n"),
            *docstring(self.published, self.slots),
            f"    return {self.name}_fwd({', '.join([*self.names, *self.hidden])})[0]",
        ]

    def _forward_lines(self) -> list[str]:
        parameters = arguments(self.slots, self.hidden, JAX)
        output = self.spelt.name(self.passes.output.name)
        return [
            *head(f"{self.name}_fwd", parameters, ["Array", "tuple[Array, ...]"]).split("\n"),
            '    """The value, and what the backward rule reads."""',
            *indented([*self.demands, *self.forward.lines], 1),
            f"    return {output}, {self._residuals()}",
        ]

    def _residuals(self) -> str:
        names = [self.spelt.name(tensor.name) for tensor in self.passed]
        return f"({', '.join(names)}{',' if len(names) == 1 else ''})"

    def _backward_lines(self) -> list[str]:
        names = [self.spelt.name(tensor.name) for tensor in self.passed]
        parameters = [
            *(f"{name}: int" for name in self.hidden),
            "residuals: tuple[Array, ...]",
            f"{self.grad}: Array",
        ]
        gradients = {name: self.spelt.name(tensor.name) for name, tensor in self.passes.results.items()}
        returned = [
            gradients.get(slot.tensor.name, "None") if slot.tensor is not None else "None"
            for slot in self.slots
        ]
        shown = ", ".join(returned) if len(returned) > 1 else f"({returned[0]},)"
        return [
            *head(f"{self.name}_bwd", parameters, ["tuple[Array | None, ...]"]).split("\n"),
            '    """The gradient of each argument."""',
            *indented([*unpacked(names, names, "residuals"), *self.backward.lines, f"return {shown}"], 1),
        ]
