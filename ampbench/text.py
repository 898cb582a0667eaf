r"""Escaping of texts that ampbench did not write: one function for each place in which such a text is shown.

Names, summaries and versions come from plugins, specs and scores from the results of other people, messages from
exceptions, paths from the file system. Each of them is shown literally: no character of it moves the cursor, starts a
markup or a formula, or stops the output.

================  =====================================================================================================
frames            :func:`encodable`
terminal          :func:`plain` and :func:`line`; :mod:`ampbench.console` applies them to all that it prints
JSON              :func:`to_json`
CSV               :func:`to_csv`; :func:`from_csv_cell` undoes its mark on cells that a spreadsheet would compute
Markdown, LaTeX   :func:`in_markdown`, :func:`in_latex`
HTML              :func:`in_html`
plots             :func:`in_plot`
================  =====================================================================================================

Escaped are the characters that :meth:`str.isprintable` refuses: controls (Cc), invisible and bidirectional formats
(Cf), surrogates (Cs), line and paragraph separators, and spaces other than the ordinary one.

References:
    Davis, Suignard 2014, *Unicode Security Considerations*, Unicode Technical Report 36.
    OWASP, *CSV Injection*, https://owasp.org/www-community/attacks/CSV_Injection.
"""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

LATEX_ESCAPES = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"${character}$" for character in "<>|"},
    "×": r"$\times$",
    "−": r"$-$",
    "…": r"\dots{}",
}

_LINE_SPACE = re.compile(r"[ \t\r\n]+")
_TAG = re.compile(r"[&>]|<(?=[A-Za-z/!?])")
_MARKDOWN = re.compile(
    r"[\\|*_`\[\]{}~$#!@]|<(?![A-Za-z/!?])"
    r"|://|(?<=www)\.|:(?=[\w+-]+:)"  # bare addresses, which GitHub links, and its pictograms such as :smile:
)
_MARKDOWN_START = re.compile(r"^(?:(\d+)(?=[.)](?:\s|$))|(?=[-+=:]))")
_FORMULA = re.compile(r"['\s]*[=+\-@＝＋－＠]")


def plain(text: str) -> str:
    r"""Replace unprintable characters by escapes, except line ends; tabs become spaces.

    Example:
        >>> print(plain("a\x1b[31m"))
        a\x1b[31m
    """
    return "\n".join(map(_escaped, text.expandtabs().split("\n")))


def line(text: str) -> str:
    r"""Return a text on one line, with unprintable characters replaced by escapes.

    Example:
        >>> print(line("two\n  lines and\u2028a separator"))
        two lines and\u2028a separator
    """
    return _escaped(_LINE_SPACE.sub(" ", text).strip(" "))


def encodable(value: Any) -> Any:
    r"""Return a text that UTF-8 can encode, with lone surrogates replaced by escapes; other values unchanged.

    Example:
        >>> print(encodable("a\ud800"))
        a\ud800
    """
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def to_json(value: Any) -> str:
    """Return a value as JSON in printable ASCII characters and line ends, which any terminal and encoding takes."""
    return json.dumps(value, indent=1).replace("\x7f", r"\u007f")


def to_csv(frame: pd.DataFrame, index_label: str | None = None) -> str:
    r"""Return a frame as CSV whose texts no spreadsheet computes.

    A text or heading that begins like a formula, with one of ``=+-@`` after spaces or apostrophes, gets an apostrophe
    before it, which :func:`from_csv_cell` removes. Unprintable characters become escapes such as ``\x1b``, which
    remain escapes when the file is read; JSON preserves them. Numbers, and text of ordinary characters, stay unchanged.

    Arguments:
        frame: the frame; its columns may have any types.
        index_label: heading of the index; without it the index is left out.
    """
    shown = frame.copy(deep=False)
    for position in range(shown.shape[1]):
        if shown.dtypes.iloc[position].kind == "O":
            shown.isetitem(position, shown.iloc[:, position].astype(object).map(to_csv_cell))
    shown.columns = shown.columns.map(to_csv_cell)
    if index_label is None:
        return str(shown.to_csv(index=False))
    shown.index = shown.index.map(to_csv_cell)
    return str(shown.to_csv(index_label=index_label))


def to_csv_cell(value: Any) -> Any:
    """Return a cell for CSV: a text that is no formula and holds printable characters and line ends; others unchanged.

    Example:
        >>> to_csv_cell("=1+1"), to_csv_cell("'-x"), to_csv_cell("c2st"), to_csv_cell(-1.0)
        ("'=1+1", "''-x", 'c2st', -1.0)
    """
    if not isinstance(value, str):
        return value
    text = "\n".join(map(_escaped, value.split("\n")))
    return f"'{text}" if _FORMULA.match(text) else text


def from_csv_cell(text: str) -> str:
    """Return the text of a cell without the apostrophe of :func:`to_csv_cell`.

    Example:
        >>> from_csv_cell("'=1+1"), from_csv_cell("''-x"), from_csv_cell("'quoted'")
        ('=1+1', "'-x", "'quoted'")
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def in_markdown(text: str) -> str:
    r"""Return a text on one line in which Markdown finds no emphasis, link, address, cell border, tag or entity.

    Example:
        >>> print(in_markdown("a|b <i> [x](javascript:y)"))
        a\|b &lt;i&gt; \[x\](javascript:y)
    """
    shown = _MARKDOWN.sub(r"\\\g<0>", line(text))
    return _TAG.sub(lambda found: html.escape(found[0]), _MARKDOWN_START.sub(r"\1\\", shown))


def in_latex(text: str) -> str:
    r"""Return a text on one line in which LaTeX finds no command.

    Example:
        >>> print(in_latex(r"50 % of $\input{x}$"))
        50 \% of \$\textbackslash{}input\{x\}\$
    """
    shown = "".join(LATEX_ESCAPES.get(character, character) for character in line(text))
    return f"{{}}{shown}" if shown.startswith(("[", "*")) else shown  # which belong to a line end \\ before them


def in_html(text: str) -> str:
    """Return a text on one line in which HTML finds no tag, entity or end of an attribute.

    Example:
        >>> print(in_html("<b onclick='x'>"))
        &lt;b onclick=&#x27;x&#x27;&gt;
    """
    return html.escape(line(text))


def in_plot(text: str) -> str:
    """Return a text on one line of which matplotlib takes no character for mathematics."""
    return line(text).replace("$", r"\$")


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
