"""Where an operation of an exported graph stands in the user's code, and what it is called there."""

from __future__ import annotations

import os
import re
from typing import Any, Final

_ASSIGNED: Final = re.compile(r"^\s*([A-Za-z_]\w*)\s*=[^=]")


def _frames(node: Any) -> list[tuple[str, int, str]]:
    found = re.findall(
        r'File "([^"]+)", line (\d+), in [^\n]*\n\s*([^\n]*)', node.meta.get("stack_trace") or ""
    )
    return [(path, int(line), text) for path, line, text in found]


def place_of(node: Any) -> tuple[str, int] | None:
    """The innermost line outside PyTorch's own files."""
    frames = _frames(node)
    own = [f for f in frames if f"{os.sep}torch{os.sep}" not in f[0]] or frames
    return (own[-1][0], own[-1][1]) if own else None


def assigned_at(node: Any) -> tuple[str, tuple[tuple[str, int], ...]]:
    """The variable that the line of the operation assigns, and the lines through which it was called."""
    frames = [f for f in _frames(node) if f"{os.sep}torch{os.sep}" not in f[0]]
    match = _ASSIGNED.match(frames[-1][2]) if frames else None
    return match.group(1) if match else "", tuple((path, line) for path, line, _ in frames)


def layer_of(node: Any) -> str:
    """The path of the layer of torch.nn that the operation is all of."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if len(stack) > 1 and str(stack[-1][1]).startswith("torch.nn.") and _is_leaf(stack[-1][1]):
        return re.sub(r"^L__self__|\[|\]|'", "", stack[-1][0])
    return ""


def called_as(node: Any) -> str:
    """The layer that the operation is all of, else the variable that its line assigns."""
    return layer_of(node) or assigned_at(node)[0]


def _is_leaf(name: Any) -> bool:
    return not any(part in str(name) for part in (".container.", ".transformer.", "MultiheadAttention"))


def spoken(node: Any) -> str:
    """An operation in the field's words."""
    name = str(node.target).removeprefix("aten.").split(".")[0]
    place = place_of(node)
    what = {"detach": "detach", "wrap_with_set_grad_enabled": "no_grad"}.get(name, name.strip("_"))
    return what + (f" (line {place[1]})" if place else "")
