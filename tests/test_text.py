"""Texts of any origin in terminals, JSON, CSV, Markdown, LaTeX, plots and NetCDF; and that all output passes there."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, Normal

import ampbench
from ampbench.graph import Graph, density, simulator
from ampbench.reporting.inference_data import tree
from ampbench.text import from_csv_cell, in_latex, in_markdown, in_plot, line, plain, to_csv, to_csv_cell, to_json

ANY = st.text(st.characters(codec=None))
"""Texts of any code points, lone surrogates as well."""
PRINTABLE = st.text(st.characters(exclude_categories=["C", "Zl", "Zp", "Zs"], include_characters=" '=+-@＝\n"))


@given(ANY)
def test_every_place_gets_printable_characters(text: str) -> None:
    assert all(each.isprintable() or each == "\n" for each in plain(text))
    for shown in (line(text), in_markdown(text), in_latex(text), in_plot(text)):
        assert shown.isprintable()
    assert all(each.isprintable() or each == "\n" for each in str(to_csv_cell(text)))
    written = to_json([text])
    assert written.isascii()
    assert all(each.isprintable() or each == "\n" for each in written)


@given(st.text())
def test_json_is_read_as_it_was(text: str) -> None:
    assert json.loads(to_json({text: text})) == {text: text}


@given(ANY)
def test_no_spreadsheet_computes_a_cell(text: str) -> None:
    columns = pd.Index([text, "n"], dtype=object)  # pyarrow refuses surrogates
    frame = pd.DataFrame([[text, -1.5]], columns=columns, dtype=object)
    ((heading, value), (shown, number)) = csv.reader(io.StringIO(to_csv(frame)))
    assert heading == shown
    assert shown.lstrip()[:1] not in {*"=+-@＝＋－＠"}
    assert shown[:1] not in {*"\t\r"}
    assert (value, number) == ("n", "-1.5")


@given(PRINTABLE)
def test_a_cell_is_read_as_it_was(text: str) -> None:
    assert from_csv_cell(to_csv_cell(text)) == text


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_csv_of_ordinary_frames_is_that_of_pandas(dtype: str) -> None:
    frame = pd.DataFrame({"a": ["x, y", None, "n"], "b": [-1.0, float("nan"), 1e-300], "c": [-1, 0, 2**62]})
    frame = frame.assign(d=pd.array([1, None, -3], dtype="Int64")).astype({"a": dtype})
    assert to_csv(frame) == frame.to_csv(index=False)
    assert to_csv(frame.iloc[:0]) == frame.iloc[:0].to_csv(index=False)
    indexed = frame.set_index(pd.Index(["p", "q", "-r"]))
    assert to_csv(indexed, "it") == indexed.to_csv(index_label="it").replace("-r", "'-r")


@pytest.mark.parametrize(
    ("text", "markdown", "latex"),
    [
        ("amp:divergence=forward-kl,steps=3", "amp:divergence=forward-kl,steps=3", "amp:divergence=forward-kl,steps=3"),
        ("| a |\n| b |", r"\| a \| \| b \|", r"$|$ a $|$ $|$ b $|$"),
        ("[x](javascript:y)", r"\[x\](javascript:y)", r"{}[x](javascript:y)"),
        ("![x](y)", r"\!\[x\](y)", "![x](y)"),
        ("<script>", "&lt;script&gt;", "$<$script$>$"),
        ("</b>&lt;", "&lt;/b&gt;&amp;lt;", r"$<$/b$>$\&lt;"),
        ("p <.001", r"p \<.001", "p $<$.001"),
        ("**b** _i_ ~~s~~ `c`", r"\*\*b\*\* \_i\_ \~\~s\~\~ \`c\`", None),
        (r"\input{x}", r"\\input\{x\}", r"\textbackslash{}input\{x\}"),
        ("$x^2$ # % &", r"\$x^2\$ \# % &amp;", r"\$x\textasciicircum{}2\$ \# \% \&"),
        ("* item", r"\* item", "{}* item"),
        ("- item", r"\- item", "- item"),
        ("12. item", r"12\. item", "12. item"),
        ("===", r"\===", "==="),
        (":smile: http://a www.b c@d", r"\:smile: http\://a www\.b c\@d", ":smile: http://a www.b c@d"),
        ("a\x1b[0m\u202eb\ud800", r"a\\x1b\[0m\\u202eb\\ud800", None),
    ],
)
def test_markup_is_text(text: str, markdown: str, latex: str | None) -> None:
    assert in_markdown(text) == markdown
    if latex is not None:
        assert in_latex(text) == latex


def test_mathematics_in_labels_is_text() -> None:
    pytest.importorskip("matplotlib")
    from ampbench.plots.predictive import predictive_plot

    names = [r"$\frac{", "a$b$c\x1b[0m"]
    figure = predictive_plot(torch.randn(20, 2), torch.zeros(2), names)
    figure.savefig(io.BytesIO(), format="png")
    assert [axis.get_xlabel() for axis in figure.axes] == [r"\$\frac{", r"a\$b\$c\x1b[0m"]


def test_attributes_of_netcdf_can_be_written(tmp_path: Path) -> None:
    pytest.importorskip("arviz_base")
    prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    graph = Graph(density("t", prior, size=1), simulator("x", lambda t: t, ["t"], size=1))
    made = tree(graph, ["x"], torch.zeros(3, 1), torch.zeros(1), attributes={"a\x00": "b\x00\ud800", "n": 3})
    made.to_netcdf(tmp_path / "x.nc")
    assert dict(made.attrs) == {r"a\x00": r"b\x00\ud800", "n": 3}


PACKAGES = [Path(ampbench.__file__).parent, *Path(ampbench.__file__).parents[1].glob("plugins/*")]
DOOR = {"ampbench/console.py", "ampbench/text.py"}
OUTPUT = re.compile(
    r"rich\.(markup|console import .*\bConsole\b|table import)|\bConsole\(|(?<![\w.])print\(|\.status\(|"
    r"typer\.(echo|secho)|sys\.(stdout|stderr)\.write|\.to_csv\(|from_markup"
)


def test_all_output_passes_one_place() -> None:
    """No other module makes a console, writes markup, or prints."""
    found = []
    for package in PACKAGES:
        for path in package.rglob("*.py"):
            name = path.relative_to(package.parents[0 if package.name == "ampbench" else 1]).as_posix()
            code = re.sub(r'r?"""[\s\S]*?"""', "", path.read_text(encoding="utf-8"))  # docstrings have examples
            if name not in DOOR and (hit := OUTPUT.search(code)):
                found.append(f"{name}: {hit[0]}")
    assert found == []
