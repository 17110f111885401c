"""Random lines in index notation: one element, with the sum outside the whole right-hand side."""

from __future__ import annotations

from dataclasses import dataclass, field

from pullback.testing.pieces import AXIS, Piece, Pool, Shape, above_zero, spread, tamed, times

LETTERS = "ijklpqrsuv"


@dataclass(slots=True)
class IndexWriter:
    """Draws the right-hand side of one line. `size_of` holds the range of each index of the line."""

    pool: Pool
    left: tuple[str, ...]
    size_of: dict[str, str]
    shown: set[str] = field(default_factory=set)  # indices that stand alone in a slot

    @property
    def summed(self) -> list[str]:
        return [index for index in self.size_of if index not in self.left]

    def access(self, indices: list[str], *, positive: bool = False) -> Piece:
        a = self.pool.tensor(tuple(self.size_of[i] for i in indices), positive=positive)
        self.shown.update(indices)
        return Piece(f"{a.text}[{','.join(indices)}]" if indices else a.text, (), a.low, a.high)

    def some(self, most: int = 3) -> list[str]:
        indices = list(self.size_of)
        return self.pool.rng.sample(indices, min(len(indices), self.pool.rng.randint(0, most)))

    # ---- factors

    def factor(self) -> Piece:
        ways = [self.plain, self.plain, self.plain, self.diagonal, self.bracket, self.gathered, self.strided]
        ways += [self.guarded, self.by_a_size, self.divided, self.window]
        if not self.pool.rational:
            ways += [self.applied, self.applied]
        made = self.pool.rng.choice(ways)()
        return made if made is not None else self.plain()

    def plain(self) -> Piece:
        return self.access(self.some())

    def diagonal(self) -> Piece | None:
        if not self.size_of:
            return None
        i = self.pool.rng.choice(list(self.size_of))
        return self.access([i, i])

    def bracket(self) -> Piece | None:
        rng = self.pool.rng
        size_of = self.size_of
        pairs = [(i, j) for i in size_of for j in size_of if i < j and size_of[i] == size_of[j]]
        if not pairs:
            return None
        i, j = rng.choice(pairs)
        return Piece(f"({i} {rng.choice(('<', '<=', '>', '>=', '==', '!='))} {j})", (), 0.0, 1.0)

    def gathered(self) -> Piece | None:
        """A row that an integer tensor names, or a bracket that asks for its value."""
        if not self.size_of:
            return None
        rng = self.pool.rng
        n, v = rng.choice(list(self.size_of)), self.pool.size()
        t = self.pool.new_integer((self.size_of[n],), v)
        self.shown.add(n)
        alike = [i for i, size in self.size_of.items() if size == v and i != n]
        if alike and rng.random() < 0.5:
            return Piece(f"({t}[{n}] == {rng.choice(alike)})", (), 0.0, 1.0)
        a = self.pool.tensor((v,))
        return Piece(f"{a.text}[{t}[{n}]]", (), a.low, a.high)

    def strided(self) -> Piece | None:
        if not self.size_of:
            return None
        i = self.pool.rng.choice(list(self.size_of))
        a = self.pool.tensor((f"2*{self.size_of[i]}",))
        slot = self.pool.rng.choice((f"2*{i}", f"2*{i}+1"))
        return Piece(f"{a.text}[{slot}]", (), a.low, a.high)

    def guarded(self) -> Piece | None:
        """A neighbour's entry, with a bracket that is zero where there is none."""
        symbols = [i for i, size in self.size_of.items() if size != "1"]
        if not symbols:
            return None
        i = self.pool.rng.choice(symbols)
        a = self.pool.tensor((self.size_of[i],))
        ways = ((f"{i}-1", f"{i} >= 1"), (f"{i}+1", f"{i}+1 < {self.size_of[i]}"))
        slot, guard = self.pool.rng.choice(ways)
        return Piece(f"{a.text}[{slot}] * ({guard})", (), min(a.low, 0.0), max(a.high, 0.0))

    def by_a_size(self) -> Piece | None:
        sizes = [size for size in self.size_of.values() if size != "1"]
        return Piece(f"1 / ({self.pool.rng.choice(sizes)})", (), 1 / AXIS, 1.0) if sizes else None

    def divided(self) -> Piece | None:
        """Quotient and remainder of an index that runs over a multiple of 2."""
        if len(self.size_of) >= 4:
            return None
        n = self.pool.size()
        k = self._new_index(f"2*{n}")
        a = self.pool.tensor((n, "2"))
        b = self.pool.tensor((f"2*{n}",))
        self.shown.add(k)
        return Piece(f"{a.text}[{k} // 2, {k} % 2] * {b.text}[{k}]", (), *times(a, b))

    def window(self) -> Piece | None:
        """One step of a convolution: a window that slides along an axis."""
        symbols = [i for i, size in self.size_of.items() if size != "1"]
        if not symbols or len(self.size_of) >= 4:
            return None
        p = self.pool.rng.choice(symbols)
        width = self.pool.size()
        r = self._new_index(width)
        a = self.pool.tensor((f"{self.size_of[p]}+{width}-1",))
        b = self.pool.tensor((width,))
        self.shown.add(r)
        return Piece(f"{a.text}[{p}+{r}] * {b.text}[{r}]", (), *times(a, b))

    def applied(self) -> Piece:
        name = self.pool.rng.choice(("tanh", "sigmoid", "sin", "cos", "relu", "abs", "log", "sqrt", "exp"))
        if name in ("log", "sqrt"):
            a = self.access(self.some(2), positive=True)
            return Piece(f"{name}({a.text})", (), -1.0, 2.0)
        a = self.access(self.some(2))
        if name == "exp":
            return Piece(f"exp(sin({a.text}))", (), 0.3, 2.8)
        return Piece(f"{name}({a.text})", (), -max(a.size, 1.0), max(a.size, 1.0))

    def _new_index(self, size: str) -> str:
        name = next(c for c in LETTERS if c not in self.size_of and c not in self.pool.ranges)
        self.size_of[name] = size
        return name

    def ranged(self, term: Piece) -> Piece:
        """The term, with a range beside the program or a factor for each summed index that no slot shows."""
        hidden = [index for index in self.summed if index not in self.shown]
        for index in hidden:
            if index not in self.pool.letters and len(self.pool.ranges) < 2:
                self.pool.ranges[index] = self.size_of[index]
            else:
                a = self.access([index])
                term = Piece(f"{term.text} * {a.text}", (), *times(term, a))
        return term

    # ---- the line

    def term(self) -> Piece:
        """A product of factors."""
        made = [self.factor() for _ in range(self.pool.rng.randint(1, 3))]
        text, low, high = "", 1.0, 1.0
        for factor in made:
            low, high = times(Piece("", (), low, high), factor)
            text = f"{text} * {factor.text}" if text else factor.text
        if self.pool.chance(0.15):
            a = above_zero(self.access(self.some(2)))
            low, high = times(Piece("", (), low, high), Piece("", (), 1 / a.high, 1 / a.low))
            text = f"{text} / {a.text}"
        return Piece(text, (), low, high)

    def completed(self, term: Piece) -> Piece:
        """The term with a factor for the summed indices that it lacks: each term must hold them all."""
        missing = [i for i in self.summed if i not in words(term.text)]
        if not missing:
            return term
        a = self.access(missing)
        return Piece(f"{term.text} * {a.text}", (), *times(term, a))


def words(text: str) -> list[str]:
    """The names in a text."""
    return "".join(c if c.isalnum() else " " for c in text).split()


def index_line(pool: Pool, name: str, shape: Shape) -> tuple[str, Piece]:
    """A line that defines `name` with that shape, and the piece that it stands for."""
    left = tuple([c for c in LETTERS if c not in pool.ranges][: len(shape)])
    writer = IndexWriter(pool, left, dict(zip(left, shape, strict=True)))
    for _ in range(pool.rng.choice((0, 0, 1, 1, 2))):
        writer._new_index(pool.size())
    terms = [writer.term() for _ in range(pool.rng.choice((1, 1, 2)))]
    terms = [writer.completed(term) for term in terms]
    terms[0] = writer.ranged(terms[0])
    low, high = sum(t.low for t in terms), sum(t.high for t in terms)
    count = AXIS ** len(writer.summed)
    by = tamed(Piece("", (), *spread(low, high, count)), True)
    scale = by.text.strip("()")  # " / 64" where the line was tamed
    text = f" {pool.rng.choice('+-')} ".join(term.text + scale for term in terms)
    if any(index not in writer.shown for index in left):
        pool.declared[name] = shape
    pool.letters.update(writer.size_of)
    target = f"{name}[{','.join(left)}]" if left else name
    bound = max(abs(by.low), abs(by.high))
    return f"{target} = {text}", Piece(name, shape, -bound, bound)
