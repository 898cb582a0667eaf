r"""BibTeX: a strict reader of entries, and a writer whose output classic BibTeX and LaTeX accept.

The reader takes ``@kind{key, name = {value}, …}`` with values in braces or quotes or of digits, and refuses everything
else, so that no text between entries is silently ignored, as BibTeX does. The writer escapes the characters ``& % # _``
and an odd ``$``, and writes accents, dashes and Greek letters as commands; other LaTeX in a value stays as it is.

References:
    Patashnik 1988, *BibTeXing*, the documentation of BibTeX 0.99.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

KINDS = (
    "article",
    "book",
    "inbook",
    "incollection",
    "inproceedings",
    "manual",
    "mastersthesis",
    "misc",
    "phdthesis",
    "proceedings",
    "techreport",
    "unpublished",
)
"""The kinds of entries that every style of BibTeX knows."""

VERBATIM = ("doi", "eprint", "url")
"""Fields whose values are no LaTeX; styles print them by ``\\url``."""

ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
    "\u0328": "k",
}
LETTERS = {
    "ß": r"{\ss}",
    "ø": r"{\o}",
    "Ø": r"{\O}",
    "æ": r"{\ae}",
    "Æ": r"{\AE}",
    "œ": r"{\oe}",
    "Œ": r"{\OE}",
    "ł": r"{\l}",
    "Ł": r"{\L}",
    "ı": r"{\i}",
    "–": "--",
    "—": "---",
    "’": "'",
    "‘": "`",
    "“": "``",
    "”": "''",
    "…": r"{\dots}",
    "×": r"{$\times$}",
}

_HEAD = re.compile(r"@([A-Za-z]+)\s*\{\s*([A-Za-z0-9][A-Za-z0-9:._+/-]*)\s*,")
_FIELD = re.compile(r"\s*([A-Za-z][A-Za-z-]*)\s*=\s*")
_NUMBER = re.compile(r"[0-9]+")
_SPACE = re.compile(r"\s+")
_DOLLAR = re.compile(r"(?<!\\)\$")
_SPECIAL = re.compile(r"(?<!\\)[&%#_]")
_GREEK = re.compile("GREEK (SMALL|CAPITAL) LETTER ([A-Z]+)")


@dataclass(frozen=True)
class Entry:
    """An entry.

    Attributes:
        kind: one of :data:`KINDS`.
        key: the key by which texts cite the entry.
        fields: names, in lower case, and values, in their order.
    """

    kind: str
    key: str
    fields: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        width = max((len(name) for name, _ in self.fields), default=0)
        rows = [f"  {name:{width}} = {{{latex(value, name)}}}" for name, value in self.fields]
        return f"@{self.kind}{{{self.key},\n" + ",\n".join(rows) + "\n}"


def parse(text: str) -> list[Entry]:
    """Return the entries of a text; raises ValueError, which names the place and what should be there.

    Example:
        >>> parse("@misc{me, title = {A & B}, year = 2026}")[0].fields
        (('title', 'A & B'), ('year', '2026'))
    """
    entries, at = [], _skipped(text, 0)
    while at < len(text):
        entry, at = _entry(text, at)
        entries.append(entry)
        at = _skipped(text, at)
    return entries


def latex(value: str, name: str = "") -> str:
    r"""Return the value of a field for a file that LaTeX reads.

    Example:
        >>> print(latex("Székely & Rizzo: ε-free"))
        Sz{\'e}kely \& Rizzo: {$\epsilon$}-free
    """
    if name in VERBATIM:
        return value
    mathematics = _DOLLAR.split(value)
    if len(mathematics) % 2 == 0:  # a dollar alone
        return latex(_DOLLAR.sub(r"\\$", value))
    parts = [part if i % 2 else _text(part) for i, part in enumerate(mathematics)]
    return "$".join(parts)


def _text(part: str) -> str:
    """Return a part outside of mathematics."""
    return "".join(map(_letter, _SPECIAL.sub(r"\\\g<0>", part)))


def _letter(character: str) -> str:
    """Return a character in ASCII; one without a command stays, for newer programs that read UTF-8."""
    if character.isascii() or character in LETTERS:
        return LETTERS.get(character, character)
    decomposed = unicodedata.normalize("NFD", character)
    base, mark = decomposed[0], decomposed[1:]
    if mark in ACCENTS and base.isascii():
        accent = ACCENTS[mark]
        return f"{{\\{accent}{' ' if accent.isalpha() else ''}{base}}}"
    if found := _GREEK.fullmatch(unicodedata.name(character, "")):
        letter = found[2].lower() if found[1] == "SMALL" else found[2].capitalize()
        return f"{{$\\{letter}$}}"
    return character


def _skipped(text: str, at: int) -> int:
    found = re.compile(r"\s*").match(text, at)
    assert found
    return found.end()


def _entry(text: str, at: int) -> tuple[Entry, int]:
    """Return the entry that begins at a place, and the place behind it."""
    head = _HEAD.match(text, at)
    if not head:
        raise _fault(text, at, "an entry @kind{key,")
    kind, key, at = head[1].lower(), head[2], head.end()
    if kind not in KINDS:
        raise ValueError(f"entry {key!r} is a @{kind}; the kinds that every style knows are {', '.join(KINDS)}")
    fields: dict[str, str] = {}
    while text[at : at + 1] != "}":
        field = _FIELD.match(text, at)
        if not field:
            raise _fault(text, at, f"a field name = {{value}} of entry {key!r}")
        name, at = field[1].lower(), field.end()
        if name in fields:
            raise ValueError(f"entry {key!r} has two fields {name!r}")
        fields[name], at = _value(text, at, f"field {name!r} of entry {key!r}")
        at = _skipped(text, at)
        if text[at : at + 1] == ",":
            at = _skipped(text, at + 1)
        elif text[at : at + 1] != "}":
            raise _fault(text, at, f"a comma or the end of entry {key!r}")
    if not fields.get("title"):
        raise ValueError(f"entry {key!r} has no title")
    return Entry(kind, key, tuple(fields.items())), at + 1


def _value(text: str, at: int, what: str) -> tuple[str, int]:
    """Return the value that begins at a place, on one line, and the place behind it."""
    opening = text[at : at + 1]
    if number := _NUMBER.match(text, at):
        return number[0], number.end()
    if opening not in ("{", '"') or not opening:
        raise _fault(text, at, f"a value in braces for {what}")
    depth, end = 0, at + 1
    while end < len(text):
        character = text[end]  # BibTeX counts a brace behind a backslash too
        if depth == 0 and character == ("}" if opening == "{" else '"'):
            value = _SPACE.sub(" ", text[at + 1 : end]).strip()
            if not value.isprintable():
                raise ValueError(f"{what} has characters that cannot be printed: {ascii(value)[:80]}")
            return value, end + 1
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            break
        end += 1
    raise ValueError(f"{what} has braces that do not match, or no end")


def _fault(text: str, at: int, expected: str) -> ValueError:
    line, seen = text.count("\n", 0, at) + 1, text[at : at + 40]
    return ValueError(f"line {line} has {seen!r}, where {expected} should be")
