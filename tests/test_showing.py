"""`pullback show`: the list, one page in every form, and names that are not known."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import pullback
from pullback.cli import main
from pullback.showing import listing


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> object:
    def go(*arguments: str) -> tuple[int, str, str]:
        code = main(["show", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return go


def shown(show: object, *arguments: str) -> str:
    assert callable(show)
    code, out, err = show(*arguments)
    assert (code, err) == (0, "")
    return str(out)


# ---- the list -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "json"])
def test_the_list_has_every_name_once(show: object, form: str) -> None:
    out = shown(show, "--format", form).replace(r"\_", "_")
    words = re.findall(r"[a-z][a-z0-9_]*", out)
    assert [row.name for row in pullback.layers() if row.name not in words] == []


def test_the_list_goes_group_by_group(show: object) -> None:
    lines = shown(show).splitlines()
    start = lines.index("Attention")
    assert lines[start + 1] == f"    {'attention':<23}  Scaled dot-product attention"
    assert lines[start - 1] == ""


def test_the_list_as_json_is_data(show: object) -> None:
    rows = json.loads(shown(show, "--json"))
    assert {"name": "softmax", "title": "Softmax", "group": "activations"} in rows
    assert len(rows) == len(pullback.layers())


def test_the_page_of_the_docs_names_every_layer() -> None:
    text = (Path(__file__).parents[1] / "docs" / "layers.md").read_text("utf-8")
    assert f"knows {len(pullback.layers())} layers" in text
    assert listing("markdown").replace("## ", "### ").strip() in text


# ---- a page ---------------------------------------------------------------------------------


def test_a_page_tells_the_story_in_order(show: object) -> None:
    out = shown(show, "softmax_cross_entropy")
    parts = [
        "Softmax cross-entropy\n═════",
        "Probabilities minus targets",
        "Source of the formula: CS231n",
        "P = softmax(Z, axis=1)",
        "dZ = (P - T) / N",
        "Definition of one entry",
        "Checks",
        "Code\n────",
        "def backward(",
    ]
    places = [out.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)


def test_steps_are_short_unless_all_are_asked_for(show: object) -> None:
    short, full, none = (
        shown(show, "bias", *options) for options in ((), ("--steps", "all"), ("--steps", "none"))
    )
    assert "Chain rule" in full
    assert "Chain rule" not in short
    assert "Definition of one entry" in short
    assert "Definition of one entry" not in none


@pytest.mark.parametrize("name", ["tanh", "softmax", "gaussian_process"])
def test_a_page_in_ascii(show: object, name: str) -> None:
    out = shown(show, name, "--ascii")
    assert out.isascii()
    assert out.endswith("\n")
    assert "def backward(" in out


def test_a_page_in_markdown(show: object) -> None:
    out = shown(show, "layer_norm", "--format", "markdown")
    assert out.startswith("# Layer normalisation\n")
    assert re.findall(r"^# .*$", out, re.MULTILINE) == ["# Layer normalisation"]
    assert out.count("```") % 2 == 0
    assert "def backward(" in out


def test_a_page_in_latex(show: object) -> None:
    out = shown(show, "layer_norm", "--format", "latex")
    assert out.startswith(r"\section*{Layer normalisation}")
    for environment in ("aligned", "verbatim"):
        begun, ended = (out.count(rf"\{word}{{{environment}}}") for word in ("begin", "end"))
        assert begun == ended > 0
    prose = re.sub(r"(?s)\\\[.*?\\\]|\\\(.*?\\\)|\\begin\{verbatim\}.*?\\end\{verbatim\}", "", out)
    assert re.search(r"(?<!\\)[_&#%]", prose) is None


def test_a_page_as_json(show: object) -> None:
    data = json.loads(shown(show, "softmax", "--json"))
    assert set(data) == {"layer", "derivation", "code"}
    assert data["layer"]["program"] == pullback.layer("softmax").program
    assert data["layer"]["why"] == pullback.layer("softmax").why
    assert "def backward(" in data["code"]
    assert "dP - sum(dP * P, axis=1, keepdims=True)" in json.dumps(data["derivation"])


# ---- names that are not known ---------------------------------------------------------------


def test_an_unknown_name_is_refused_with_the_nearest(show: object) -> None:
    assert callable(show)
    assert show("layernorm") == (
        2,
        "",
        "pullback: there is no layer layernorm\n  try: did you mean layer_norm?\n",
    )


def test_an_unknown_name_as_json(show: object) -> None:
    assert callable(show)
    code, out, _ = show("layernorm", "--json")
    assert code == 2
    assert json.loads(out)["error"]["hint"] == "did you mean layer_norm?"
