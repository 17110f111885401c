"""The floor plan holds: who imports whom, how long things are, and what never appears.

The checks read the sources with `ast` and import nothing. The last tests plant bad modules and see
each check fire.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pullback

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCE = REPOSITORY / "src" / "pullback"

# The one table, equal to that of docs/architecture.md: floor -> its files and folders.
FLOORS: dict[int, tuple[str, ...]] = {
    9: ("arguments.py", "requests.py", "progress.py", "cli.py", "testing/", "pytest_plugin.py"),
    8: (
        "referencing.py",
        "claiming.py",
        "proofreading.py",
        "laws.py",
        "capturing.py",
        "right_formula.py",
        "code_sides.py",
        "code_edits.py",
        "code_lines.py",
        "checking.py",
        "loading.py",
        "second_order.py",
        "api.py",
        "mending.py",
        "showing.py",
    ),
    7: ("libraries.py", "backward.py", "verify/", "derivations/"),
    6: ("render/", "emit/"),
    5: (
        "cost.py",
        "dead_terms.py",
        "sharing.py",
        "publishing.py",
        "stabilising.py",
        "derivation.py",
        "solving.py",
        "inlining.py",
        "formula.py",
        "structure/",
        "tangents.py",
        "forwarded.py",
        "forward_mode.py",
        "tracing/",
        "capture/",
    ),
    4: ("reading/", "rulebooks/", "matrix/", "evaluator/"),
    3: (
        "functions.py",
        "operators.py",
        "notation.py",
        "sizes.py",
        "affine.py",
        "rewriting.py",
        "naming.py",
    ),
    2: ("expression/", "program.py", "catalogue/"),
    1: ("errors.py", "limits.py", "later.py"),
}
# On these floors each file may import those before it in the row; elsewhere siblings stay apart.
ROWS = (1, 2, 3, 5, 7, 8, 9)
FACES = ("__init__.py", "__main__.py")  # of the package itself: above every floor
# Heavy libraries that most runs do not need: imported where they are used, and only these.
LAZY = {"torch", "jax", "sympy", "scipy", "matplotlib", "rich", "mpmath", "hypothesis"}
MAX_FILE, MAX_FUNCTION = 400, 40

Problems = list[str]


# ---- reading the tree ----------------------------------------------------------------------


def modules(root: Path) -> dict[str, ast.Module]:
    """Path relative to the package -> syntax tree."""
    return {
        str(path.relative_to(root)).replace("\\", "/"): ast.parse(path.read_text("utf-8"), str(path))
        for path in sorted(root.rglob("*.py"))
    }


def place(path: str) -> tuple[int, int] | None:
    """Floor and position in its row; None for a file that no floor knows."""
    if path in FACES:
        return 10, 0
    for floor, cells in FLOORS.items():
        for position, cell in enumerate(cells):
            if path == cell or (cell.endswith("/") and path.startswith(cell)):
                return floor, position
    return None


def imported(tree: ast.AST, path: str, known: set[str]) -> Iterator[tuple[int, str]]:
    """(line, file) for every import of a part of the package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, path)
            dotted = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in dotted:
            found = resolve(name, known)
            if found is not None:
                yield node.lineno, found


def absolute(node: ast.ImportFrom, path: str) -> str:
    if not node.level:
        return node.module or ""
    package = ["pullback", *path.split("/")[:-1]]
    parts = package[: len(package) - node.level + 1] + ([node.module] if node.module else [])
    return ".".join(parts)


def resolve(dotted: str, known: set[str]) -> str | None:
    """The file that `pullback.a.b.name` comes from."""
    parts = dotted.split(".")
    if parts[0] != "pullback":
        return None
    for end in range(len(parts), 0, -1):
        stem = "/".join(parts[1:end])
        for path in (f"{stem}.py", f"{stem}/__init__.py" if stem else "__init__.py"):
            if path in known:
                return path
    return None


class Running(ast.NodeTransformer):
    """A tree without what only a type checker sees."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        match node.test:
            case ast.Name(id="TYPE_CHECKING"):
                return node.orelse
        return self.generic_visit(node)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


# ---- the checks ----------------------------------------------------------------------------


def check_floors(root: Path) -> Problems:
    """A file imports only from lower floors."""
    trees = modules(root)
    problems = []
    for path, tree in trees.items():
        here = place(path)
        if here is None:
            problems.append(f"{path} stands on no floor")
            continue
        for line, other in imported(tree, path, set(trees)):
            there = place(other)
            if there is not None and not may_import(path, here, other, there):
                problems.append(f"{path}:{line} (floor {here[0]}) imports {other} (floor {there[0]})")
    return problems


def may_import(path: str, here: tuple[int, int], other: str, there: tuple[int, int]) -> bool:
    if here[0] != there[0]:
        return there[0] < here[0]
    if here[1] == there[1]:
        return "/" in path and path.split("/")[0] == other.split("/")[0]
    return here[0] in ROWS and there[1] < here[1]


def check_cycles(root: Path) -> Problems:
    """No file imports itself by way of others; an import for types alone is none at run time."""
    trees = modules(root)
    running = {path: Running().visit(ast.parse(ast.unparse(tree))) for path, tree in trees.items()}
    edges = {path: {other for _, other in imported(tree, path, set(trees))} for path, tree in running.items()}
    left = set(edges)
    while True:
        # Whoever imports nothing that is left, or is imported by nothing that is left, is in no circle.
        wanted = {other for path in left for other in edges[path] - {path}}
        free = {path for path in left if not (edges[path] - {path}) & left or path not in wanted}
        if not free:
            return [f"{path} is in an import circle" for path in sorted(left)]
        left -= free


def check_hidden_imports(root: Path) -> Problems:
    """No import inside a function, except of the heavy optional libraries."""
    problems = []
    for path, tree in modules(root).items():
        for function in functions(tree):
            for node in ast.walk(function):
                names: list[str] = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [absolute(node, path)]
                problems += [
                    f"{path}:{node.lineno} imports {name} inside {function.name}"  # type: ignore[attr-defined]
                    for name in names
                    if name.split(".")[0] not in LAZY
                ]
    return problems


def check_execution(root: Path) -> Problems:
    """Text becomes code in one place only, in emit/; nothing is unpickled; no star import; no catch-all."""
    problems = []
    places = []
    for path, tree in modules(root).items():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name(id="exec" | "eval" | "compile" | "__import__" as name)):
                    if name == "exec" and path.startswith("emit/"):
                        places.append(path)
                    elif not (name == "compile" and path.startswith("emit/")):
                        problems.append(f"{path}:{node.lineno} calls {name}")
                case ast.Import(names=names) if {n.name.split(".")[0] for n in names} & UNSAFE:
                    problems.append(f"{path}:{node.lineno} imports {names[0].name}")
                case ast.ImportFrom(module=str(name)) if name.split(".")[0] in UNSAFE:
                    problems.append(f"{path}:{node.lineno} imports {name}")
                case ast.ImportFrom(names=[ast.alias(name="*")]):
                    problems.append(f"{path}:{node.lineno} imports *")
                case ast.ExceptHandler(type=None | ast.Name(id="Exception" | "BaseException")):
                    problems.append(f"{path}:{node.lineno} catches everything")
    if len(places) > 1:
        problems.append(f"exec is called in {len(places)} places: {', '.join(places)}")
    return problems


UNSAFE = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}


def check_lengths(root: Path) -> Problems:
    """Files and functions stay small."""
    problems = []
    for path, tree in modules(root).items():
        lines = len((root / path).read_text("utf-8").splitlines())
        if lines > MAX_FILE:
            problems.append(f"{path} has {lines} lines")
        problems += [
            f"{path}:{function.lineno} {function.name} has {length(function)} lines"
            for function in functions(tree)
            if length(function) > MAX_FUNCTION
        ]
    return problems


CHECKS: tuple[Callable[[Path], Problems], ...] = (
    check_floors,
    check_cycles,
    check_hidden_imports,
    check_execution,
    check_lengths,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_sources_keep_the_rule(check: Callable[[Path], Problems]) -> None:
    assert check(SOURCE) == []


# ---- the page and the surface --------------------------------------------------------------


def floors_of_the_page(text: str) -> dict[int, tuple[str, ...]]:
    rows = re.findall(r"^\| (\d+) \| ([^|]*) \|", text, flags=re.MULTILINE)
    return {int(floor): tuple(re.findall(r"`([^`]+)`", files)) for floor, files in rows}


def test_the_table_is_that_of_the_page() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
    assert floors_of_the_page(page) == FLOORS


def test_every_file_of_the_table_exists() -> None:
    cells = [cell for row in FLOORS.values() for cell in row]
    assert [cell for cell in cells if not (SOURCE / cell).exists()] == []


def test_the_public_surface_is_exact() -> None:
    assert dir(pullback) == sorted(pullback.__all__)
    assert all(getattr(pullback, name) is not None for name in pullback.__all__)
    assert {"derive", "claim", "PullbackError"} <= set(pullback.__all__)
    with pytest.raises(AttributeError, match="derivative"):
        _ = pullback.derivative


# ---- the tests of the checks ---------------------------------------------------------------


PLANTED = [
    ("a higher floor", check_floors, {"expression.py": "from pullback.api import derive\n", "api.py": ""}),
    ("a higher floor, relatively", check_floors, {"rulebooks/a.py": "from .. import api\n", "api.py": ""}),
    ("a higher floor, for types only", check_floors,
     {"errors.py": "if TYPE_CHECKING:\n    from pullback.cli import main\n", "cli.py": ""}),
    ("a sibling", check_floors, {"render/a.py": "import pullback.emit.b\n", "emit/b.py": ""}),
    ("a later file of the row", check_floors, {"errors.py": "import pullback.limits\n", "limits.py": ""}),
    ("a file on no floor", check_floors, {"helpers.py": ""}),
    ("a circle", check_cycles,
     {"verify/a.py": "from pullback.verify import b\n", "verify/b.py": "from pullback.verify.a import x\n",
      "verify/__init__.py": ""}),
    ("an import in a function", check_hidden_imports, {"api.py": "def f():\n    import json\n"}),
    ("an own import in a method", check_hidden_imports,
     {"api.py": "class A:\n    def f(self):\n        from pullback import cli\n", "cli.py": ""}),
    ("eval", check_execution, {"reading/a.py": "x = eval('1')\n"}),
    ("exec outside emit", check_execution, {"verify/a.py": "exec('1')\n"}),
    ("compile outside emit", check_execution, {"verify/a.py": "compile('1', '', 'exec')\n"}),
    ("exec twice", check_execution, {"emit/a.py": "exec('1')\nexec('2')\n"}),
    ("pickle", check_execution, {"api.py": "import pickle\n"}),
    ("pickle, by from", check_execution, {"api.py": "from pickle import loads\n"}),
    ("a star", check_execution, {"api.py": "from math import *\n"}),
    ("a catch-all", check_execution, {"api.py": "try:\n    pass\nexcept Exception:\n    pass\n"}),
    ("a long file", check_lengths, {"api.py": "x = 1\n" * (MAX_FILE + 1)}),
    ("a long function", check_lengths, {"api.py": "def f():\n" + "    x = 1\n" * MAX_FUNCTION}),
]  # fmt: skip


@pytest.mark.parametrize(("check", "files"), [row[1:] for row in PLANTED], ids=[row[0] for row in PLANTED])
def test_a_planted_fault_is_found(
    tmp_path: Path, check: Callable[[Path], Problems], files: dict[str, str]
) -> None:
    plant(tmp_path, files)
    assert len(check(tmp_path)) >= 1


SOUND = {
    "errors.py": "import enum\n",
    "limits.py": "from pullback.errors import PullbackError\n",
    "emit/numpy.py": "def f(text):\n    exec(compile(text, 'x', 'exec'))\n",
    "verify/a.py": "def f():\n    import torch\n    from pullback.nothing import x\n",
    "verify/b.py": "from pullback.verify.c import C\n",
    "verify/c.py": "if TYPE_CHECKING:\n    from pullback.verify.b import B\n",
    "cli.py": "from pullback.emit import numpy\nimport re\nre.compile('x')\n",
    "api.py": 'def f():\n    """' + "\n    text\n" * MAX_FUNCTION + '"""\n    return 1\n',
}


@pytest.mark.parametrize(
    "check", [c for c in CHECKS if c is not check_hidden_imports], ids=lambda c: c.__name__
)
def test_sound_modules_pass(tmp_path: Path, check: Callable[[Path], Problems]) -> None:
    plant(tmp_path, SOUND)
    assert check(tmp_path) == []


def test_a_heavy_library_may_be_imported_where_it_is_used(tmp_path: Path) -> None:
    plant(tmp_path, SOUND)
    assert check_hidden_imports(tmp_path) == ["verify/a.py:3 imports pullback.nothing inside f"]


def test_another_table_on_the_page_is_noticed() -> None:
    page = "| 2 | `expression.py` | the type |\n| 1 | `errors.py`, `extra.py` | ground |\n"
    assert floors_of_the_page(page) == {2: ("expression.py",), 1: ("errors.py", "extra.py")} != FLOORS


def plant(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
