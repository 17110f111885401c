"""The module that `emit` writes for each target."""

from __future__ import annotations

import keyword
import re

from pullback.derivation import Derived
from pullback.emit.jax_source import jax_source
from pullback.emit.plain_source import Source, plain_source
from pullback.emit.spelling import RESERVED
from pullback.emit.target import JAX, NUMPY, TORCH, target_named
from pullback.emit.torch_source import torch_source
from pullback.errors import InternalProblem, NameProblem


def module_source(derived: Derived, target: str = "numpy", name: str | None = None) -> Source:
    """A module for the target: a plain `backward`, a `torch.autograd.Function` or a `jax.custom_vjp`.

    `name` is what the function is called; `NameProblem` where that is no name.
    """
    chosen = target_named(target)
    if name is not None:
        demand_name(name, derived)
    match chosen.name:
        case NUMPY.name:
            return plain_source(derived, function=name or "backward")
        case TORCH.name:
            return torch_source(derived, name or "program")
        case JAX.name:
            return jax_source(derived, name or "program")
    raise InternalProblem(f"nothing writes modules for {target}")


def demand_name(name: str, derived: Derived) -> None:
    """Raise `NameProblem` unless a function of the module can have that name."""
    taken = {
        *derived.program.by_name,
        *derived.program.sizes,
        *(f"d{n}" for n in derived.program.by_name),
        *RESERVED,
    }
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or keyword.iskeyword(name):
        raise NameProblem(
            f"`{name}` is no name of a function", hint="letters, digits and _, such as layer_norm"
        )
    if name in taken:
        raise NameProblem(f"`{name}` is a name that the code uses already", hint=f"{name}_function")
