"""A complete `torch.autograd.Function`, as a person would have written it.

Saved intermediates are outputs of the Function too, so that they stay in the graph: a second differentiation
sends gradients in through them, and the function `…_through_saved` takes these on to the inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pullback.derivation import Derived
from pullback.emit.function_source import (
    Part,
    Slot,
    arguments,
    class_name,
    demanded,
    docstring,
    guarded,
    indented,
    one_line,
    part,
    scaled,
    slots_of,
    unpacked,
    wanted_by,
)
from pullback.emit.passes import Passes, Through, passes
from pullback.emit.plain_source import Source, head
from pullback.emit.sizes_source import size_sources
from pullback.emit.target import TORCH

GRAD = "grad_output"


def torch_source(derived: Derived, name: str = "program") -> Source:
    """A module with a Function, its backward pass, and the function `name` that applies it."""
    return _Writer(derived, name).source()


def torch_instead(derived: Derived, name: str, slots: Sequence[Slot]) -> Source:
    """A module with a Function of that name and those parameters, to stand in the place of another.

    `apply` gives the output alone, so nothing but inputs and the output is saved.
    """
    return _Writer(derived, name, slots).source()


class _Writer:
    """The pieces of one module."""

    def __init__(self, derived: Derived, name: str, slots: Sequence[Slot] | None = None) -> None:
        self.published, self.name, self.stands_in = derived, name, slots is not None
        self.passes: Passes = passes(derived, keep=slots is None)
        self.derived = self.passes.derived
        self.inputs = self.derived.program.inputs
        upstream = self.derived.upstream
        self.grad = GRAD if upstream is None or GRAD not in self.derived.program.by_name else upstream.name
        names = {} if upstream is None else {upstream.name: self.grad}
        real = next(tensor.name for tensor in self.inputs if not tensor.is_integer)
        self.forward = part(self.derived, self.passes.forward, self.inputs, TORCH, like=real, names=names)
        self.backward = self._backward(names)
        self.through = None if self.passes.through is None else self._through(self.passes.through)
        self.spelt = self.forward.speller
        self.slots = slots_of(self.derived, self.spelt, slots)
        self.names = [slot.name for slot in self.slots]
        self.saved = [self.spelt.name(tensor.name) for tensor in self.passes.saved]
        self.outputs = [self.spelt.name(t.name) for t in (self.passes.output, *self.passes.kept)]
        # Sizes that the backward pass cannot read off what is saved, and those that no input shows.
        self.carried = self._sizes(p.hidden for p in (self.backward, self.through) if p is not None)
        shown = set(size_sources(self.inputs))
        self.hidden = self._sizes([self.forward.hidden, [n for n in self.carried if n not in shown]])

    @staticmethod
    def _sizes(lists: Iterable[Iterable[str]]) -> list[str]:
        return sorted({name for names in lists for name in names})

    def _backward(self, names: dict[str, str]) -> Part:
        upstream = self.derived.upstream
        statements = self.passes.backward
        if upstream is None:
            statements = scaled(statements, {t.name for t in self.passes.results.values()}, self.grad)
        given = [*self.passes.saved, *([upstream] if upstream is not None else [])]
        return part(self.derived, statements, given, TORCH, like=self.grad, names=names)

    def _through(self, through: Through) -> Part:
        gradients = list(through.upstream.values())
        given = [*self.passes.saved, *gradients]
        return part(through.derived, through.lines, given, TORCH, like=gradients[0].name, names={})

    # -- the module -------------------------------------------------------------------------

    def source(self) -> Source:
        body = [
            f"class {self._class}(torch.autograd.Function):",
            *docstring(self.published, self.slots),
            "",
            "    generate_vmap_rule = True",
            "",
            *indented([*self._forward_lines(), "", *self._context_lines(), "", *self._backward_lines()], 1),
        ]
        parts = [p for p in (self.forward, self.backward, self.through) if p is not None]
        called = {name for each in parts for name in each.speller.called()}
        helpers = [text for name, text in TORCH.speller.helpers_of_target.items() if name in called]
        through = [] if self.passes.through is None else ["", *self._through_lines(self.passes.through), ""]
        user = [] if self.stands_in else ["", "", *self._user_lines()]
        text = [*helpers, *through, "", *body, *user]
        header = TORCH.header(text, ["from typing import Any"])
        module = "\n".join([*header, "", *text]) + "\n"
        while "\n\n\n\n" in module:
            module = module.replace("\n\n\n\n", "\n\n\n")
        inputs = tuple(tensor.name for tensor in self.inputs)
        return Source(module, self.name, inputs, tuple(self.hidden), tuple(self.passes.results))

    @property
    def _class(self) -> str:
        return self.name if self.stands_in else f"{class_name(self.name)}Function"

    def _user_lines(self) -> list[str]:
        parameters = arguments(self.slots, self.hidden, TORCH)
        taken = "[0]" if self.passes.kept else ""
        return [
            *head(self.name, parameters, ["Tensor"]).split("\n"),
            f'    """{one_line(self.published)}"""',
            f"    return {self._class}.apply({', '.join([*self.names, *self.hidden])}){taken}",
        ]

    def _forward_lines(self) -> list[str]:
        parameters = arguments(self.slots, self.hidden, TORCH)
        return [
            "@staticmethod",
            *head("forward", parameters, ["Tensor"] * len(self.outputs)).split("\n"),
            *indented([*(demanded(self.slots) if self.stands_in else []), *self.forward.lines], 1),
            f"    return {', '.join(self.outputs)}",
        ]

    def _context_lines(self) -> list[str]:
        sources = size_sources(self.inputs)
        shapes = {self.spelt.name(sources[n].tensor) for n in self.carried if n in sources}
        names = [*self.names, *self.hidden]
        lines = unpacked(names, {*self.saved, *shapes, *self.carried}, "inputs")
        if len(self.outputs) > 1:
            lines += unpacked(self.outputs, self.saved, "output")
            saved = self.saved
        else:
            saved = ["output" if name == self.outputs[0] else name for name in self.saved]
        if saved:
            lines.append(f"ctx.save_for_backward({', '.join(saved)})")
        lines += [f"ctx.{n} = {sources[n].text if n in sources else n}" for n in self.carried]
        if self.passes.kept:
            lines.append("ctx.set_materialize_grads(False)")
        kind = "Tensor" if len(self.outputs) == 1 else "tuple[Tensor, ...]"
        top = head("setup_context", ["ctx: Any", "inputs: tuple[Any, ...]", f"output: {kind}"], ["None"])
        return ["@staticmethod", *top.split("\n"), *indented(lines or ["pass"], 1)]

    def _backward_lines(self) -> list[str]:
        gradients = {name: self.spelt.name(t.name) for name, t in self.passes.results.items()}
        grads = [self.grad, *self._grads_of_kept()]
        kind = "Tensor | None" if self.passes.kept else "Tensor"
        lines = self._main_lines(gradients)
        if self.passes.kept:
            start = f"{' = '.join(gradients.values())} = None"
            lines = [start, f"if {self.grad} is not None:", *indented(lines, 1)]
        elif len(gradients) > 1:
            lines = [f"{' = '.join(gradients.values())} = None", *lines]
        if self.passes.through is not None:
            lines += self._extra_lines(self.passes.through, gradients)
        unpack = unpacked(self.saved, self.saved, "ctx.saved_tensors")
        returned = [self._gradient(slot, gradients) for slot in self.slots] + ["None"] * len(self.hidden)
        top = head(
            "backward", ["ctx: Any", *(f"{name}: {kind}" for name in grads)], [self._returned(returned)]
        )
        return [
            "@staticmethod",
            *top.split("\n"),
            *indented([*unpack, *lines, f"return {', '.join(returned)}"], 1),
        ]

    @staticmethod
    def _gradient(slot: Slot, gradients: dict[str, str]) -> str:
        return "None" if slot.tensor is None else gradients.get(slot.tensor.name, "None")

    @staticmethod
    def _returned(names: list[str]) -> str:
        return "Tensor | None" if len(names) == 1 else "tuple[Tensor | None, ...]"

    def _grads_of_kept(self) -> list[str]:
        upstream = {} if self.passes.through is None else self.passes.through.upstream
        return [upstream[t.name].name if t.name in upstream else f"grad_{t.name}" for t in self.passes.kept]

    def _main_lines(self, gradients: dict[str, str]) -> list[str]:
        places = {slot.tensor.name: k for k, slot in enumerate(self.slots) if slot.tensor is not None}
        results = {name: tensor.name for name, tensor in self.passes.results.items()}
        every = frozenset(results)

        def guard(group: frozenset[str]) -> str | None:
            if group == every:
                return None
            return " or ".join(f"ctx.needs_input_grad[{places[n]}]" for n in results if n in group)

        written = self.backward.written
        sizes = [*self.backward.sizes, *(f"{n} = ctx.{n}" for n in self.backward.hidden)]
        return [*sizes, *guarded(written, wanted_by(written, results), guard)]

    # -- gradients that come in through what was saved ------------------------------------------

    def _through_lines(self, through: Through) -> list[str]:
        assert self.through is not None
        spelt = self.through.speller
        gradients = {name: tensor.name for name, tensor in through.upstream.items()}
        kind = "Tensor" if len(gradients) == 1 else "Tensor | None"
        parameters = [f"{name}: Tensor" for name in self._read_through()]
        parameters += [f"{name}: {kind}" for name in gradients.values()]
        parameters += [f"{name}: int" for name in self.through.hidden]
        zeros = [
            f"{grad} = torch.zeros_like({spelt.name(name)}) if {grad} is None else {grad}"
            for name, grad in gradients.items()
            if len(gradients) > 1
        ]
        returned = [spelt.name(tensor.name) for tensor in through.results.values()]
        return [
            *head(f"{self.name}_through_saved", parameters, ["Tensor"] * len(returned)).split("\n"),
            '    """The gradients that reach the inputs through what was saved, in a second differentiation."""',
            *indented([*zeros, *self.through.lines, f"return {', '.join(returned)}"], 1),
        ]

    def _read_through(self) -> list[str]:
        """What is saved and has to be passed on: all that the lines read, and what shows a size or a shape."""
        assert self.through is not None and self.passes.through is not None
        read = {name for each in self.through.written for name in each.reads}
        read |= {line.split(" = ")[-1].split(".")[0] for line in self.through.sizes}
        if len(self.passes.through.upstream) > 1:
            read |= set(self.passes.through.upstream)
        return [n for n, t in zip(self.saved, self.passes.saved, strict=True) if {n, t.name} & read]

    def _extra_lines(self, through: Through, gradients: dict[str, str]) -> list[str]:
        assert self.through is not None
        grads = [tensor.name for tensor in through.upstream.values()]
        passed = [*self._read_through(), *grads, *(f"ctx.{name}" for name in self.through.hidden)]
        more = [f"{gradients[name]}_" for name in through.results]
        lines = [f"{', '.join(more)} = {self.name}_through_saved({', '.join(passed)})"]
        for name, other in zip(through.results, more, strict=True):
            own = gradients[name]
            lines.append(f"{own} = {other} if {own} is None else {own} + {other}")
        return [f"if {' or '.join(f'{name} is not None' for name in grads)}:", *indented(lines, 1)]
