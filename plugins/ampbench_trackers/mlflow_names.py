"""Names and texts that MLflow accepts, for those of tasks, metrics and options, which plugins choose.

A file store makes files of the names of metrics, parameters and tags. So each is one name without a slash, of ordinary
characters, and different names stay different: a name that has to be changed ends with a hash of the original.
"""

from __future__ import annotations

import re
from hashlib import sha256

from ampbench.text import line

MAX_NAME = 100
"""Largest length of a name; MLflow allows 250 characters, of which the caller puts some before the name."""
MAX_VALUE = 500
"""Largest length of the value of a parameter in all versions of MLflow."""
MAX_TAG = 5000
"""Largest length of the value of a tag in all versions of MLflow."""

_OTHER = re.compile(r"[^A-Za-z0-9_. -]+")


def key(name: str) -> str:
    """Return a name for a metric, a parameter or a tag.

    Example:
        >>> key("c2st"), key("../x")
        ('c2st', '_x d6b96a97')
    """
    plain = _OTHER.sub("_", name).strip(". ")[:MAX_NAME]
    return plain if plain and plain == name else f"{plain} {_digest(name)}".lstrip()


def experiment_name(task: str) -> str:
    """Return the name of the experiment of a task."""
    return shortened(f"ampbench: {line(task)}", MAX_VALUE)


def value(content: object) -> str:
    """Return the value of a parameter."""
    return shortened(line(str(content)), MAX_VALUE)


def tag(text: str) -> str:
    """Return the value of a tag."""
    return shortened(line(text), MAX_TAG)


def shortened(text: str, limit: int) -> str:
    """Return a text of limited length; one that was cut ends with a hash of the whole."""
    return text if len(text) <= limit else f"{text[: limit - 10]}… {_digest(text)}"


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
