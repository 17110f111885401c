"""Objects of Python files by name, for the command line: `FILE.py::Name`."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from types import FunctionType, ModuleType
from typing import Any, Final

from pullback.errors import DomainProblem, SyntaxProblem, nearest

_REFERENCE: Final = re.compile(r"[^\n;=]+\.py::[\w., ]+")
PARTNERS: Final = (("forward", "backward"), ("fwd", "bwd"), ("fprop", "bprop"))
_FAILURES: Final = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
)


def is_reference(text: str) -> bool:
    """Whether a text names an object of a file, rather than being a program.

    >>> is_reference("layers.py::norm"), is_reference("Y = X @ W")
    (True, False)
    """
    return _REFERENCE.fullmatch(text.strip()) is not None


def referenced(reference: str, *, pairs: bool = False) -> tuple[Any, Any]:
    """The object behind `FILE.py::Name`, a tuple of objects for `FILE.py::a,b`, and the example of its inputs.

    pairs: a forward stands for itself and its backward, `affine` for `affine_forward` and `affine_backward`.
    The file is run. The example is `Name_inputs` or `inputs` of the file, called where it is a function, else None.
    Raises `PullbackError` where the file or a name is missing, and where the file fails.
    """
    path, separator, name = reference.strip().partition("::")
    if not separator or not name or not path.endswith(".py"):
        raise SyntaxProblem(
            f"{reference} names no object of a file", hint="pullback check layers.py::LayerNorm"
        )
    if not os.path.isfile(path):
        raise DomainProblem(f"there is no file {path}")
    module = _imported(path)
    names = [part.strip() for part in name.split(",")]
    if pairs and len(names) == 1:
        names = _with_partner(module, names[0])
    for part in names:
        if not hasattr(module, part):
            near = nearest(part, [known for known in vars(module) if not known.startswith("_")])
            raise DomainProblem(f"{path} has no {part}", hint=near or "")
    found = [getattr(module, part) for part in names]
    examples = [f"{name}_inputs", f"{names[0]}_inputs", "inputs"]
    given = next((getattr(module, n) for n in examples if hasattr(module, n)), None)
    return found[0] if len(found) == 1 else tuple(found), given() if callable(given) else given


def _with_partner(module: ModuleType, name: str) -> list[str]:
    """The name, or those of a forward and its backward."""
    if not hasattr(module, name):
        options = [
            form.format(name) for words in PARTNERS for form in (f"{{}}_{words[0]}", f"{words[0]}_{{}}")
        ]
        name = next((option for option in options if hasattr(module, option)), name)
    if isinstance(getattr(module, name, None), FunctionType):
        for forward, backward in PARTNERS:
            other = name.replace(forward, backward)
            if other != name and hasattr(module, other):
                return [name, other]
        if hasattr(module, f"{name}_backward"):
            return [name, f"{name}_backward"]
    return [name]


def _imported(path: str) -> ModuleType:
    stem = os.path.basename(path)[:-3]
    name = stem if stem not in sys.modules else f"{stem} ({path})"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    sys.modules[name] = module  # a dataclass of the file looks its module up
    ran = False
    try:
        spec.loader.exec_module(module)
        ran = True
    except SyntaxError as error:
        raise DomainProblem(f"{path}, line {error.lineno}: this is no Python: {error.msg}") from None
    except (*_FAILURES, TypeError, ValueError) as error:
        raise DomainProblem(f"{path} fails when it is run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
        if not ran:
            del sys.modules[name]
    return module
