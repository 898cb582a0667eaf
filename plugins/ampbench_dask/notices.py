"""What workers tell the sweep, as JSON: what comes through a scheduler is read as text, and never executed."""

from __future__ import annotations

import json

from pydantic import TypeAdapter

from ampbench.interfaces.events import Event, Finished, Fitting, Measuring, Note, Sampling

KINDS = {kind.__name__: TypeAdapter[Event](kind) for kind in (Fitting, Sampling, Measuring, Finished, Note)}


def encode(event: Event) -> str:
    """Write an event as JSON.

    Example:
        >>> encode(Note("hello"))
        '{"event": "Note", "text": "hello"}'
    """
    name = type(event).__name__
    return json.dumps({"event": name, **KINDS[name].dump_python(event, mode="json")})


def decode(text: str) -> Event:
    """Read an event; raises ValueError for anything else.

    Example:
        >>> decode('{"event": "Note", "text": "hello"}')
        Note(text='hello')
    """
    content = json.loads(text)
    if not isinstance(content, dict) or content.get("event") not in [*KINDS]:
        raise ValueError(f"no event: {text[:100]}")
    return KINDS[content.pop("event")].validate_python(content)
