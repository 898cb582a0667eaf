"""The file ``CITATION.cff`` of a bundle: how to cite the results, in the Citation File Format.

References:
    Druskat et al. 2021, *Citation File Format*, version 1.2.0, doi:10.5281/zenodo.5171937.
"""

from __future__ import annotations

import json

from ampbench.results.manifest import Manifest

NOT_STATED = "not stated"


def citation_file(about: Manifest) -> str:
    """Return the text of the file; a text in double quotes of JSON is one of YAML."""
    rows = [
        "cff-version: 1.2.0",
        "message: If you use these results, please cite them, and the sources in references.bib.",
        f"title: {_quoted(about.title)}",
        "type: dataset",
        "authors:",
        *(row for name in about.authors or [about.group or NOT_STATED] for row in _author(name)),
    ]
    if about.licence and " " not in about.licence and not about.licence.startswith("LicenseRef-"):
        rows.append(f"license: {_quoted(about.licence)}")  # the format has no expressions of several licences
    rows.append(f"date-released: {_quoted(about.finished[:10])}")
    return "\n".join(rows) + "\n"


def _author(name: str) -> list[str]:
    """Return the rows of an author: a person if written ``Family, Given``, or else an entity of that name."""
    family, comma, given = name.partition(",")
    if comma and given.strip():
        return [f"  - family-names: {_quoted(family.strip())}", f"    given-names: {_quoted(given.strip())}"]
    return [f"  - name: {_quoted(name)}"]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
