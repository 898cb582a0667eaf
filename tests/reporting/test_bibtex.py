"""BibTeX: what is read is written again, in characters that LaTeX takes, and what is no BibTeX is refused."""

from __future__ import annotations

import re

import pytest

from ampbench.reporting.bibtex import Entry, latex, parse

ENTRY = """
@Article{szekely2013energy,
  Author = {Székely, Gábor J. and
            Rizzo, Maria L.},
  title = "Energy {Statistics} & more",
  year = 2013,
  doi = {10.1000/a_b%c},
}
"""


def test_an_entry_is_read() -> None:
    (found,) = parse(ENTRY)
    assert (found.kind, found.key) == ("article", "szekely2013energy")
    assert dict(found.fields) == {
        "author": "Székely, Gábor J. and Rizzo, Maria L.",
        "title": "Energy {Statistics} & more",
        "year": "2013",
        "doi": "10.1000/a_b%c",
    }


def test_an_entry_is_written_and_read_again() -> None:
    (found,) = parse(ENTRY)
    (again,) = parse(str(found))
    assert str(again) == str(found)
    assert str(found).isascii()
    assert r"Sz{\'e}kely, G{\'a}bor J." in str(found)
    assert r"Energy {Statistics} \& more" in str(found)
    assert "{10.1000/a_b%c}" in str(found)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("100 % of a_b & c#", r"100 \% of a\_b \& c\#"),
        (r"already \& so", r"already \& so"),
        ("the $a_b$ test", "the $a_b$ test"),
        ("5 $ a_b", r"5 \$ a\_b"),
        (r"5 \$", r"5 \$"),
        ("ε-free χ²", "{$\\epsilon$}-free {$\\chi$}²"),
        ("Gonçalves Öz Måns Łukasz Ça ő", r"Gon{\c c}alves {\"O}z M{\r a}ns {\L}ukasz {\c C}a {\H o}"),
        ("a – b — c", "a -- b --- c"),
    ],
)
def test_characters_are_escaped(value: str, written: str) -> None:
    assert latex(value) == written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = {x}", "line 1 has 'title"),
        ("@misc{a, title = {x}} and more", "where an entry"),
        ("\n\n@misc{a title = {x}}", "line 3"),
        ("@misc{a, title {x}}", "a field name"),
        ("@misc{a, title = x}", "a value in braces for field 'title'"),
        ("@misc{a, title = {x}, title = {y}}", "two fields 'title'"),
        ("@misc{a, title = {x{y}}", "a comma or the end|braces that do not match|no end|has ''"),
        ("@misc{a, title = {x\\}}", None),
        ("@misc{a, title = {x}", "a comma or the end"),
        ("@misc{a, title = {x} year = 1}", "a comma or the end"),
        ("@misc{a, year = 1}", "no title"),
        ("@software{a, title = {x}}", "is a @software"),
        ("@string{a = {b}}", "where an entry"),
        ("@misc{a, title = {x\x1b[2J}}", "cannot be printed"),
    ],
)
def test_what_is_no_bibtex_is_refused(text: str, message: str | None) -> None:
    if message is None:
        assert parse(text)[0].fields == (("title", "x\\"),)  # BibTeX itself counts this brace
        return
    with pytest.raises(ValueError, match=message) as caught:
        parse(text)
    assert len(str(caught.value)) < 300


def test_an_entry_without_fields_is_written() -> None:
    assert re.fullmatch(r"@misc\{a,\n\n\}", str(Entry("misc", "a", ())))
