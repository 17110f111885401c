"""Random programs of the language, for property tests of this library and of others.

`random_program` draws a program that is well-shaped and keeps to its functions' domains by construction;
`programs` is the same as a hypothesis strategy; `reproduce` prints a program to paste into a report;
`oracle_gradients` runs one on PyTorch or JAX, where installed, and differentiates it there.
`assert_backward` is `pullback.check` as an assertion, for the tests of other projects.
"""

from pullback.testing.assertions import assert_backward
from pullback.testing.oracle import oracle_gradients
from pullback.testing.programs import programs, random_program
from pullback.testing.samples import Sample, random_values, reproduce, small_sizes

__all__ = [
    "Sample",
    "assert_backward",
    "oracle_gradients",
    "programs",
    "random_program",
    "random_values",
    "reproduce",
    "small_sizes",
]
