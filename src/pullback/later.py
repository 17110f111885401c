"""Modules that are imported when something of them is first used, so that a command pays for what it runs."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Later:
    """Stands for a module: its attributes are those of the module, which is imported at the first look.

    >>> Later("math").floor(2.5)
    2
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)
