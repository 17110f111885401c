"""Source code of a finished derivation, as a person would have written it, and running it."""

from pullback.emit.module_source import module_source
from pullback.emit.plain_source import Source, plain_source
from pullback.emit.running import run_source
from pullback.emit.tests_source import source_of_tests

__all__ = ["Source", "module_source", "plain_source", "run_source", "source_of_tests"]
