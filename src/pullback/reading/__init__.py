"""Reading: program text into equations for one element.

`read_program` reads a program, `read_lines` further lines on top of known tensors; `parse_shapes` and
`parse_sizes` read what the command line gives beside a program.
"""

from pullback.reading.reader import read_lines, read_program
from pullback.reading.shapes import parse_shapes, parse_sizes

__all__ = ["parse_shapes", "parse_sizes", "read_lines", "read_program"]
