"""Component specs on one line: ``amp:divergence=jsd,family=implicit,scope=local``.

Grammar::

    spec    = name [":" options] | name "(" options ")" | "(" spec ")"
    options = key "=" value {"," key "=" value}
    key     = option ["." entry]

A value may itself be a spec, whose commas parentheses keep together:
``amp:family=implicit(noise=16,width=64),steps=100``. A key with a dot gives one entry of an option that is a mapping,
such as the divergence of one variable: ``amp:divergence=jsd,divergences.z1=kl,divergences.z2=(mmd:bandwidths=3)``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ampbench.errors import UsageError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
MAX_DEPTH = 50
"""Largest depth of nested specs."""

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.\w+)?")


@dataclass(frozen=True)
class Spec:
    """A component's name and the options given to it, sorted by key.

    Example:
        >>> spec = Spec.parse("amp:steps=100,family=implicit(noise=16)")
        >>> spec.name, spec.options
        ('amp', (('family', 'implicit(noise=16)'), ('steps', '100')))
        >>> str(spec)
        'amp:family=implicit(noise=16),steps=100'
    """

    name: str
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Parse a spec; raises :class:`UsageError` with the fault and the expected form."""
        text = " ".join(text.split())
        if not text.isprintable():  # it will stand in tables, file names and terminals
            raise UsageError(f"the spec {text!r} holds control characters; specs are printable text")
        match = re.fullmatch(rf"({_NAME.pattern})(?::(.*)|\((.*)\))?", _bare(text), re.DOTALL)
        if not match:
            raise UsageError(f"cannot read the spec {text!r}; write name or name:key=value,key=value")
        inside = match[2] if match[2] is not None else match[3]
        if inside is None:
            return cls(match[1])
        options: dict[str, str] = {}
        for item in split(inside, text):
            key, equals, value = (part.strip() for part in item.partition("="))
            if not equals or not _KEY.fullmatch(key):
                raise UsageError(f"cannot read the option {item!r} in {text!r}; write key=value")
            if key in options:
                raise UsageError(f"option {key!r} is given twice in {text!r}")
            options[key] = value
        return cls(match[1], tuple(sorted(options.items())))

    def __str__(self) -> str:
        return self.name + (":" + self._written() if self.options else "")

    @property
    def is_readable(self) -> bool:
        """Whether the text of the spec is parsed to the same spec."""
        try:
            return Spec.parse(str(self)) == self
        except UsageError:
            return False

    def nested(self) -> str:
        """Return the form of the spec inside another spec."""
        return self.name + (f"({self._written()})" if self.options else "")

    def _written(self) -> str:
        return ",".join(f"{key}={value}" for key, value in self.options)


def component_name(text: str) -> str:
    """Return the name in a component's spec; a text that is no spec is its own name.

    Example:
        >>> component_name("amp:divergence=jsd"), component_name("two words")
        ('amp', 'two words')
    """
    try:
        return Spec.parse(text).name
    except UsageError:
        return text


def _bare(text: str) -> str:
    """Return a spec without surrounding spaces and parentheses."""
    text = text.strip()
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    return text


def split(text: str, whole: str) -> list[str]:
    """Split a text at commas outside parentheses; an error about unmatched parentheses names ``whole``."""
    parts, depth, start = [], 0, 0
    for i, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            break
        if depth > MAX_DEPTH:
            raise UsageError(f"the spec {whole[:50]!r}… is nested more than {MAX_DEPTH} deep")
        if character == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    if depth:
        raise UsageError(f"the parentheses in {whole!r} do not match")
    return [*parts, text[start:]]
