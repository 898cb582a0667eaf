"""The manifest of a bundle: who publishes which files, under which licence, with the SHA-256 of each file.

The manifest holds no date but the latest one of the records, so that equal records make an equal bundle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ampbench.errors import UsageError
from ampbench.results.archive import MAX_ENTRIES, shown
from ampbench.results.checksums import parse_object
from ampbench.results.origins import OURS

FORMAT = 1
"""Version of the format of bundles; raised when older versions of ampbench cannot read a new bundle."""
NAME = "manifest.json"
MAX_BYTES = 32 * 2**20
"""Largest manifest; a file takes about 150 bytes of it."""
MAX_TEXT = 300
"""Characters of a title, or of a name."""
MAX_AUTHORS = 1000
OPTIONS = {"title": "--title", "group": "--from", "authors": "--author", "licence": "--licence"}
"""The options of ``ampbench publish`` for the fields of :class:`About`."""


def readable(text: str) -> str:
    """Return a text of one printable line; raises ValueError for any other."""
    if not text.isprintable() or text != text.strip() or not 0 < len(text) <= MAX_TEXT:
        raise ValueError(f"{shown(text)} is no line of 1 to {MAX_TEXT} printable characters without spaces around it")
    return text


def group_name(text: str) -> str:
    """Return the name of a group, which marks its results in frames; raises ValueError for an impossible one."""
    if readable(text).casefold() == OURS or "[" in text or "]" in text:
        raise ValueError(f"{shown(text)} cannot name a group: {OURS!r} marks one's own results, and [ ] enclose names")
    return text


def licence_expression(text: str) -> str:
    """Return an SPDX licence expression in its canonical form; raises ValueError for an unknown licence."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression as error:
        raise ValueError(f"{shown(text)} is no SPDX licence expression ({error}); https://spdx.org/licenses") from error


Text = Annotated[str, AfterValidator(readable)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class About(BaseModel):
    """What the publisher of a bundle says of it; an empty text is not stated.

    Attributes:
        title: title of the results.
        group: the group that computed them; it marks their rows in frames.
        authors: names, as ``Given Family`` or ``Family, Given``.
        licence: SPDX expression of the licence of the results.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    title: Text = "Results of ampbench"
    group: Annotated[str, AfterValidator(lambda text: text and group_name(text))] = ""
    authors: Annotated[list[Text], Field(max_length=MAX_AUTHORS)] = []
    licence: Annotated[str, AfterValidator(lambda text: text and licence_expression(text))] = ""


class Manifest(About):
    """The manifest of a bundle.

    Attributes:
        format: :data:`FORMAT`.
        ampbench: version of ampbench that wrote the bundle.
        results, failures: numbers of good results and of failures.
        samples: whether posterior samples were published, of the results whose samples are stored.
        finished: the latest time at which one of the runs finished.
        versions: for Python and each package, the versions that computed the results.
        files: the SHA-256 of every file but the manifest, by name.
    """

    format: int
    ampbench: Text
    results: Annotated[int, Field(ge=0)]
    failures: Annotated[int, Field(ge=0)]
    samples: bool
    finished: str
    versions: dict[str, list[str]]
    files: Annotated[dict[str, Digest], Field(max_length=MAX_ENTRIES)]

    def dump(self) -> bytes:
        """Return the manifest as JSON, with a checksum of its content."""
        content = self.model_dump()
        text = json.dumps(content | {"checksum": _checksum(content)}, indent=1, sort_keys=True, ensure_ascii=False)
        return (text + "\n").encode()

    @classmethod
    def parse(cls, text: bytes) -> Manifest:
        """Return the manifest that :meth:`dump` wrote; raises ValueError, which names field and value."""
        try:
            content = parse_object(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"its {NAME} is no JSON object: {error}") from error
        checksum, version = content.pop("checksum", None), content.get("format")
        if version != FORMAT:
            raise ValueError(
                f"its format is {version!r:.80}, and this ampbench reads {FORMAT}; install a newer ampbench"
            )
        if checksum != _checksum(content):
            raise ValueError(f"the checksum in its {NAME} does not match the content; get the bundle again")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ValueError(f"its {NAME}: {_first_fault(error)}") from None


def about(**given: Any) -> About:
    """Return what a publisher says; raises :class:`UsageError` that names option, value and what is allowed."""
    try:
        return About(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise UsageError(_first_fault(error, OPTIONS)) from None


def _first_fault(error: ValidationError, names: Mapping[str, str] | None = None) -> str:
    """Return the first fault of a validation, with field and value."""
    fault = error.errors()[0]
    field, *rest = fault["loc"]
    where = (names or {}).get(str(field)) or shown(".".join(map(str, (field, *rest))))
    message, seen = fault["msg"].removeprefix("Value error, "), shown(str(fault["input"]))
    return f"{where}: {message}" + ("" if seen in message else f", got {seen}")


def _checksum(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
