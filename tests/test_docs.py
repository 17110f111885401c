"""The documentation is true: commands and snippets run and print what is shown, tables are complete."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pullback
from pullback.expression import FACTS
from pullback.functions import FUNCTIONS
from pullback.operators import OPERATORS
from pullback.reading.matrix_notation import TABLE

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
ENTRY = "import sys; from pullback.cli import main; sys.exit(main())"
OPTIONS = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1


# ---- finding -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A `$ pullback …` line of a `console` block and the output shown under it."""

    line: str
    shown: str
    place: str


def blocks(text: str, language: str) -> list[tuple[int, str]]:
    """(line number, content) of the fenced blocks in a language."""
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start(1)) + 1, match.group(1)) for match in fence.finditer(text)]


def commands(text: str, page: str) -> list[Command]:
    found = []
    for start, block in blocks(text, "console"):
        parts = re.split(r"^\$ ", block, flags=re.MULTILINE)
        assert not parts[0].strip(), f"{page}:{start}: output without a command"
        for part in parts[1:]:
            line, _, shown = part.partition("\n")
            found.append(Command(line, shown, f"{page}:{start}"))
    return found


COMMANDS = [
    command
    for page in PAGES
    for command in commands(page.read_text("utf-8"), page.name)
    if command.line.startswith("pullback ")
]


# ---- commands ------------------------------------------------------------------------------


def output_of(line: str) -> str:
    """What a `pullback …` line prints; `; echo $?` at its end adds the exit code."""
    called = line.removesuffix("; echo $?")
    source, _, piped = called.partition(" < ")
    run = subprocess.run(
        [sys.executable, "-c", ENTRY, *shlex.split(source)[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
        cwd=REPOSITORY,
        input=(REPOSITORY / piped.strip()).read_text("utf-8") if piped else "",
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY / "src"),
            "PYTHONIOENCODING": "utf-8",
            "COLUMNS": "100",
        },
    )
    assert "Traceback" not in run.stdout, run.stdout
    return run.stdout + (f"{run.returncode}\n" if called != line else "")


def matches(shown: str, printed: str) -> bool:
    """Equal but for trailing spaces and measured rounding errors; a line `...` stands for any lines."""
    tidy = ["\n".join(row.rstrip() for row in text.splitlines()).strip("\n") for text in (shown, printed)]
    # How far central differences are off depends on the machine's order of summation.
    tidy = [re.sub(r"(?<= to a relative )\d\S*e-\d+", "<rounding>", text) for text in tidy]
    return doctest.OutputChecker().check_output(tidy[0] + "\n", tidy[1] + "\n", OPTIONS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.place}: {command.line}")
def test_a_command_prints_what_is_shown(command: Command) -> None:
    printed = output_of(command.line)
    assert matches(command.shown, printed), f"{command.place}: $ {command.line}\n{printed}"


def test_commands_are_found_in_the_readme_and_the_quickstart() -> None:
    pages = {command.place.split(":")[0] for command in COMMANDS}
    assert {"README.md", "quickstart.md"} <= pages


# ---- Python --------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_snippets_of_a_page_run_and_print_what_is_shown(page: Path) -> None:
    """Blocks with prompts are doctests, others are executed; a page shares one namespace."""
    namespace: dict[str, Any] = {"__name__": "snippets"}
    runner = doctest.DocTestRunner(optionflags=OPTIONS | doctest.NORMALIZE_WHITESPACE)
    told: list[str] = []
    for start, block in blocks(page.read_text("utf-8"), "python"):
        if any(f"import {name}" in block and find_spec(name) is None for name in ("torch", "jax")):
            continue  # an extra that is absent; with the extras every block runs
        if ">>>" not in block:
            exec(compile(block, f"{page.name}:{start}", "exec"), namespace)
            continue
        test = doctest.DocTestParser().get_doctest(block, namespace, page.name, str(page), start)
        runner.run(test, out=told.append, clear_globs=False)
        namespace = test.globs
    assert runner.summarize(verbose=False).failed == 0, "".join(told)


def test_the_readme_has_python_to_run() -> None:
    text = (REPOSITORY / "README.md").read_text("utf-8")
    assert any(">>>" in block for _, block in blocks(text, "python"))


# ---- tables --------------------------------------------------------------------------------


def test_the_language_page_names_every_function_and_no_other() -> None:
    text = (REPOSITORY / "docs" / "language.md").read_text("utf-8")
    cells = re.findall(r"^\| (`.*?`) \|", text, flags=re.MULTILINE)
    facts = set(FACTS)
    named = {name for cell in cells for name in re.findall(r"`([a-z_0-9]+)\(", cell)} - facts
    assert named == set(TABLE)


def test_the_language_page_states_the_derivatives_of_the_table() -> None:
    text = (REPOSITORY / "docs" / "language.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)\(x\)` \| [^|]* \| `([^`]*)` \|$", text, flags=re.MULTILINE)
    stated = {name: derivative for name, derivative in rows if name != "sqrt"}
    assert stated == {name: FUNCTIONS[name].derivative for name in stated}
    assert len(stated) >= 10


def kinks() -> list[list[str]]:
    return table((REPOSITORY / "docs" / "kinks.md").read_text("utf-8").partition("## Compositions")[0])


def compositions() -> list[list[str]]:
    text = (REPOSITORY / "docs" / "kinks.md").read_text("utf-8")
    return table(text.partition("## Compositions")[2])


def table(text: str) -> list[list[str]]:
    """The cells of each row of the tables in a text."""
    return [
        [cell.strip() for cell in row.strip("|").split("|")] for row in re.findall(r"^\| `.*\|$", text, re.M)
    ]


def numbers(cell: str) -> list[float]:
    return [float(part) for part in re.findall(r"nan|inf|-?\d+(?:\.\d+)?", cell)]


def point(cell: str) -> list[np.ndarray]:
    """The arguments at which a row of the table stands: one vector, or scalars."""
    return [np.array(numbers(cell))] if "[" in cell else [np.array(value) for value in numbers(cell)]


def name_of(cell: str) -> str:
    return re.findall(r"`(\w+)\(", cell)[0]


KINKS = pytest.mark.parametrize("row", kinks(), ids=lambda row: row[0])


def test_every_function_with_a_kink_stands_in_the_table() -> None:
    known = {name for table in (FUNCTIONS, OPERATORS) for name, entry in table.items() if entry.kink}
    assert {name_of(row[0]) for row in kinks()} == known


@KINKS
def test_the_kinks_of_pullback(row: list[str]) -> None:
    name, arguments = name_of(row[0]), point(row[1])
    letters = "ab"[: len(arguments)] if len(arguments) > 1 else "x"
    shape = "N" if arguments[0].ndim else ""
    program = f"y = {name}({', '.join(letters)})"
    backward = pullback.derive(program, dict.fromkeys(letters, shape)).compile()
    found = backward(dict(zip(letters, arguments, strict=True)), np.array(1.0))[letters[0]]
    assert np.ravel(found).tolist() == numbers(row[2])


@KINKS
@pytest.mark.torch
def test_the_kinks_of_pytorch(row: list[str]) -> None:
    torch = pytest.importorskip("torch")
    name = {"max": "amax", "min": "amin"}.get(name_of(row[0]), name_of(row[0]))
    arguments = [torch.tensor(value, requires_grad=True) for value in point(row[1])]
    getattr(torch, name)(*arguments).backward()
    assert np.ravel(arguments[0].grad.numpy()).tolist() == numbers(row[3])


@KINKS
@pytest.mark.jax
def test_the_kinks_of_jax(row: list[str]) -> None:
    jax = pytest.importorskip("jax")
    name = name_of(row[0])
    function: Callable[..., Any] = jax.nn.relu if name == "relu" else getattr(jax.numpy, name)
    gradient = jax.grad(function)(*(jax.numpy.asarray(value, dtype="float32") for value in point(row[1])))
    assert np.ravel(gradient).tolist() == numbers(row[4])


COMPOSITIONS = pytest.mark.parametrize("row", compositions(), ids=lambda row: f"{row[0]}-{row[1]}")
WORDS = ("minimum", "maximum", "sqrt", "sum", "prod", "where", "abs", "log")


def written(row: list[str]) -> str:
    return row[0].strip("`")


@COMPOSITIONS
def test_the_compositions_of_pullback(row: list[str]) -> None:
    (x,) = point(row[1])
    backward = pullback.derive(f"y = {written(row)}", {"x": "N" if x.ndim else ""}).compile()
    with np.errstate(all="ignore"):
        found = backward({"x": x})["x"]
    np.testing.assert_array_equal(np.ravel(found), numbers(row[2]))


@COMPOSITIONS
@pytest.mark.torch
def test_the_compositions_of_pytorch(row: list[str]) -> None:
    torch = pytest.importorskip("torch")

    def of_tensors(name: str) -> Any:
        function = {"norm": torch.linalg.norm, "max": torch.amax}.get(name) or getattr(torch, name)
        as_tensor = lambda a: a if torch.is_tensor(a) else torch.tensor(float(a), dtype=torch.float64)  # noqa: E731
        return lambda *arguments: function(*map(as_tensor, arguments))

    x = torch.tensor(point(row[1])[0], requires_grad=True)
    words = {name: of_tensors(name) for name in (*WORDS, "norm", "max")}
    eval(written(row), words, {"x": x}).backward()  # noqa: S307
    np.testing.assert_array_equal(np.ravel(x.grad.numpy()), numbers(row[3]))


@COMPOSITIONS
@pytest.mark.jax
def test_the_compositions_of_jax(row: list[str]) -> None:
    jax = pytest.importorskip("jax")
    words = {name: getattr(jax.numpy, name) for name in (*WORDS, "max")} | {"norm": jax.numpy.linalg.norm}
    x = jax.numpy.asarray(point(row[1])[0], dtype="float32")
    found = jax.grad(lambda x: eval(written(row), words, {"x": x}))(x)  # noqa: S307
    np.testing.assert_array_equal(np.ravel(found), numbers(row[4]))


# ---- set-up --------------------------------------------------------------------------------


def test_the_two_set_up_commands_stand_in_the_readme_and_are_what_the_checks_run() -> None:
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    checks = (REPOSITORY / ".ci" / "run").read_text("utf-8")
    patterns = re.findall(r"grep -m1 -E '(\^pip[^']*)' README\.md", checks)
    first = [re.search(rf"{pattern}.*", readme, flags=re.MULTILINE) for pattern in patterns]
    assert [match.group() if match else None for match in first] == [
        'pip install . && pullback derive "Y = X @ W"',
        'pip install ".[test]" && pytest -n auto',
    ]


# ---- the tests of the tests ----------------------------------------------------------------


def test_a_wrong_output_is_noticed() -> None:
    assert matches("dX = dY @ W.T\n...\ndone\n", "dX = dY @ W.T   \na\nb\ndone\n")
    assert matches("agree to a relative 5.1e-13.", "agree to a relative 4e-12.")
    assert not matches("agree to a relative 5.1e-13.", "agree to a relative 0.1.")
    assert not matches("dX = dY @ W\n", "dX = dY @ W.T\n")
    assert not matches("dX = dY @ W.T\n", "dX = dY @ W.T\nmore\n")


def test_commands_and_their_outputs_are_told_apart() -> None:
    text = "words\n```console\n$ pullback a\none\n$ pullback b\n```\n"
    assert [(c.line, c.shown) for c in commands(text, "p")] == [("pullback a", "one\n"), ("pullback b", "")]


def test_the_workflow_for_ci_is_one() -> None:
    yaml = pytest.importorskip("yaml")
    (text,) = re.findall(
        r"```yaml\n(.*?)```", (REPOSITORY / "docs" / "check.md").read_text("utf-8"), re.DOTALL
    )
    steps = yaml.safe_load(text)["jobs"]["backward"]["steps"]
    assert [step["run"].split()[0] for step in steps if "run" in step] == ["pip", "pytest", "pullback"]
