"""Where a symbolic size can be read off: `N, D = X.shape`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pullback.affine import polynomial
from pullback.expression import Expr, Size, Tensor
from pullback.notation import code


@dataclass(frozen=True, slots=True)
class SizeSource:
    """How a size follows from one axis of an input: `(axis - offset) // factor`."""

    size: str
    tensor: str
    axis: int
    factor: int
    offset: int

    @property
    def text(self) -> str:
        base = f"{self.tensor}.shape[{self.axis}]"
        if self.offset:
            base = f"({base} - {self.offset})" if self.offset > 0 else f"({base} + {-self.offset})"
        return base if self.factor == 1 else f"{base} // {self.factor}"

    def value(self, shape: Sequence[int]) -> int:
        return (shape[self.axis] - self.offset) // self.factor


def size_sources(inputs: Sequence[Tensor]) -> dict[str, SizeSource]:
    """For each size that an axis of an input determines by itself, that axis; plain axes come first."""
    found: dict[str, SizeSource] = {}
    for plain in (True, False):
        for tensor in inputs:
            for axis, extent in enumerate(tensor.shape):
                source = _from_axis(tensor, axis, extent)
                if source is not None and (source.factor == 1 and not source.offset) == plain:
                    found.setdefault(source.size, source)
    return found


def _from_axis(tensor: Tensor, axis: int, extent: Expr) -> SizeSource | None:
    if isinstance(extent, Size):
        return SizeSource(extent.name, tensor.name, axis, 1, 0)
    terms = polynomial(extent)
    offset = terms.pop((), 0)
    if len(terms) != 1:
        return None
    ((monomial, factor),) = terms.items()
    if len(monomial) != 1 or not isinstance(monomial[0], Size) or factor <= 0:
        return None
    return SizeSource(monomial[0].name, tensor.name, axis, int(factor), int(offset))


def size_lines(needed: set[str], inputs: Sequence[Tensor]) -> list[str]:
    """`N, D = X.shape` for whole shapes of plain symbols, single lines for the rest."""
    sources = size_sources(inputs)
    lines: list[str] = []
    left = [name for name in needed if name in sources]
    for tensor in inputs:
        names = [extent.name for extent in tensor.shape if isinstance(extent, Size)]
        here = [n for n in left if sources[n].tensor == tensor.name]
        whole = len(names) == len(tensor.shape) and len(set(names)) == len(names)
        if here and whole and all(sources[n].factor == 1 and not sources[n].offset for n in here):
            shown = ", ".join(n if n in here else "_" for n in names) + ("," if len(names) == 1 else "")
            lines.append(f"{shown} = {tensor.name}.shape")
        else:
            lines += [f"{n} = {sources[n].text}" for n in sorted(here)]
        left = [n for n in left if n not in here]
    return lines


def shape_text(tensor: Tensor) -> str:
    return f"[{', '.join(code(extent) for extent in tensor.shape)}]"
