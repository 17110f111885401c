"""The type of an entry of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Layer:
    """A named layer or loss: a short program, and what there is to know about its gradient.

    The last five fields are given to `derive` as they are; `setting` holds them under its keywords.
    """

    name: str
    title: str
    group: str
    why: str  # a paragraph: what the gradient means, what to save, what goes wrong in practice
    source: str  # where the forward formula, and often the gradient, was published
    program: str
    shapes: Mapping[str, str]
    integers: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    assume: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, str] = field(default_factory=dict)
    wrt: tuple[str, ...] = ()  # the inputs people differentiate by; every real one if empty

    @property
    def setting(self) -> dict[str, Any]:
        """Keyword arguments of `derive`.

        >>> from pullback import derive, layer
        >>> print(derive(**layer("softmax_cross_entropy").setting).gradients["Z"])
        dZ = (P - T) / N
        """
        return {
            "program": self.program,
            "shapes": self.shapes,
            "integers": self.integers,
            "assume": self.assume,
            "ranges": self.ranges,
            "wrt": self.wrt or None,
        }
