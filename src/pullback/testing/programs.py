"""Random programs: lines in one notation or both, each on top of the ones before it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal

from pullback.testing.index_lines import index_line
from pullback.testing.matrix_lines import MatrixWriter
from pullback.testing.pieces import Piece, Pool
from pullback.testing.samples import Sample
from pullback.testing.wide import WIDE

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Notation = Literal["matrix", "index", "mixed"]


def random_program(
    rng: random.Random | int,
    *,
    statements: int | None = None,
    rank: int = 4,
    notation: Notation = "mixed",
    wide: bool = False,
    rational: bool | None = None,
) -> Sample:
    """A program of 1 to 8 statements (or as many as asked) over tensors of at most `rank` axes.

    `wide` adds softmax, inverses, maxima, masks, rearrangements and convolution. `rational` keeps to field
    operations and comparisons of indices (default: one program in four). Equal seeds give equal programs.

    >>> sample = random_program(7, statements=2, notation="matrix")
    >>> len(sample.source.splitlines()), sample.read().output.name in ("L", "Y")
    (2, True)
    """
    seed = rng if isinstance(rng, int) else None
    rng = random.Random(rng) if isinstance(rng, int) else rng
    while True:
        count = statements if statements is not None else rng.choice((1, 1, 2, 2, 3, 3, 4, 5, 6, 8))
        sample = _program(rng, count, notation, rank, wide, rational, seed)
        targets = {line.split("=")[0].split("[")[0].strip() for line in sample.source.splitlines()}
        if set(sample.shapes) - targets:
            return sample


def _program(
    rng: random.Random,
    count: int,
    notation: Notation,
    rank: int,
    wide: bool,
    rational: bool | None,
    seed: int | None,
) -> Sample:
    """One program, which may turn out to read no tensor at all."""
    pool = Pool(rng, rng.random() < 0.25 if rational is None else rational, wide)
    writer = MatrixWriter(pool, WIDE if wide and not pool.rational else ())
    lines = [_line(pool, writer, f"H{k + 1}", notation, rank) for k in range(count - 1)]
    lines.append(_last(pool, writer, notation, rank))
    return Sample(
        "\n".join(lines),
        {name: " ".join(shape) for name, shape in pool.declared.items()},
        {name: (shape, values) for name, (shape, values) in pool.integers.items()},
        dict(pool.assume),
        dict(pool.ranges),
        pool.rational,
        seed,
    )


def _line(pool: Pool, writer: MatrixWriter, name: str, notation: Notation, rank: int) -> str:
    """One definition; sometimes of the shape of an earlier one, so that it is read."""
    shape = pool.shape(rank)
    if pool.unread and pool.chance(0.4):
        shape = pool.shapes[pool.rng.choice(pool.unread)]
    if notation == "index" or (notation == "mixed" and pool.chance(0.4)):
        text, piece = index_line(pool, name, shape)
    else:
        piece = writer.expression(shape, pool.rng.randint(1, 3))
        if piece.text in pool.shapes:
            piece = Piece(f"({piece.text} * 2)", piece.shape, piece.low * 2, piece.high * 2)
        text = f"{name} = {piece.text}"
    pool.define(name, piece)
    return text


def _last(pool: Pool, writer: MatrixWriter, notation: Notation, rank: int) -> str:
    """The output: a loss or a tensor, which reads everything that nothing has read."""
    scalar = pool.chance(0.5)
    name = "L" if scalar else "Y"
    waiting = list(pool.unread)
    if notation == "index" and not waiting:
        return index_line(pool, name, () if scalar else pool.shape(rank) or ("N",))[0]
    if notation == "index":
        return _product_of(pool, waiting, name, scalar)
    shape = () if scalar else pool.shape(rank) or ("N",)
    text = writer.expression(shape, pool.rng.randint(1, 3)).text
    for other in list(pool.unread):
        text = f"{text} + mean({pool.read(other).text})"
    return f"{name} = {text}"


def _product_of(pool: Pool, waiting: list[str], name: str, scalar: bool) -> str:
    """Everything that waits to be read, multiplied and summed in one line of index notation."""
    letters = (letter for letter in "ijklpqrsuvwxyzabcdefgh" if letter not in pool.ranges)
    factors, first = [], ""
    for other in waiting[:4]:
        indices = [next(letters) for _ in pool.shapes[other]]
        if indices and not first and not scalar:
            first = indices[0]
        factors.append(f"{pool.read(other).text}[{','.join(indices)}]" if indices else other)
    return f"{name}[{first}] = {' * '.join(factors)}" if first else f"L = {' * '.join(factors)}"


def programs(
    *,
    notation: Notation = "mixed",
    wide: bool = False,
    rational: bool | None = None,
    statements: int | None = None,
) -> SearchStrategy[Sample]:
    """A hypothesis strategy for `random_program`; hypothesis must be installed."""
    from hypothesis import strategies

    return strategies.builds(
        lambda seed: random_program(
            seed, notation=notation, wide=wide, rational=rational, statements=statements
        ),
        strategies.integers(0, 2**32 - 1),
    )
