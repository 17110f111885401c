"""Source code of a finished derivation, as a person would have written it, and running it."""

from pullback.emit.numpy_source import Source, numpy_source
from pullback.emit.running import run_source

__all__ = ["Source", "numpy_source", "run_source"]
