"""Source code of a finished derivation, as a person would have written it, and running it."""

from pullback.emit.plain_source import Source, plain_source
from pullback.emit.running import run_source

__all__ = ["Source", "plain_source", "run_source"]
