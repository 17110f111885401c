"""Names of a captured program: as near to those of the code as the language allows."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection
from itertools import count

from pullback.reading.reader import RESERVED

_OTHER = re.compile(r"[^A-Za-z0-9]+")


def legible(path: str) -> str:
    """A name of the language for a name or a dotted path of the code; empty where nothing is left of it.

    >>> legible("self_attn.in_proj_weight"), legible("net.0.weight"), legible("_x"), legible("0.bias")
    ('self_attn_in_proj_weight', 'net0_weight', 'x', 'layer0_bias')
    """
    name = ""
    for part in _OTHER.sub("_", path).strip("_").split("_"):
        joined = part.isdigit() and name and "." in path
        name += part if joined or not name else f"_{part}"
    return f"layer{name}" if name[:1].isdigit() else name


class Names:
    """Hands out names that nothing else has, and that read as no gradient of another name."""

    def __init__(self, taken: Collection[str]) -> None:
        self.taken = {*taken, *RESERVED}

    def free(self, name: str) -> bool:
        gradient = f"d{name}" in self.taken or (name[:1] == "d" and name[1:] in self.taken)
        return name not in self.taken and not gradient and not keyword.iskeyword(name)

    def new(self, wanted: str, otherwise: str = "h") -> str:
        """The wanted name, made legible, and numbered where it is taken."""
        stem = legible(wanted) or otherwise
        if not self.free(stem):
            joint = "_" if stem[-1:].isdigit() else ""
            stem = next(n for k in count(1) if self.free(n := f"{stem}{joint}{k}"))
        self.taken.add(stem)
        return stem
