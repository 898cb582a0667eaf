"""Events of workers as JSON: unlike pickles, messages from a scheduler then cannot execute code."""

from __future__ import annotations

import json

from pydantic import TypeAdapter

from ampbench.interfaces.events import Event, Finished, Fitting, Measuring, Note, Sampling

EVENT_ADAPTERS = {kind.__name__: TypeAdapter[Event](kind) for kind in (Fitting, Sampling, Measuring, Finished, Note)}


def encode(event: Event) -> str:
    """Return an event as JSON.

    Example:
        >>> encode(Note("hello"))
        '{"event": "Note", "text": "hello"}'
    """
    name = type(event).__name__
    return json.dumps({"event": name, **EVENT_ADAPTERS[name].dump_python(event, mode="json")})


def decode(text: str) -> Event:
    """Return the event in a JSON text; raises ValueError if there is none.

    Example:
        >>> decode('{"event": "Note", "text": "hello"}')
        Note(text='hello')
    """
    content = json.loads(text)
    if not isinstance(content, dict) or content.get("event") not in [*EVENT_ADAPTERS]:
        raise ValueError(f"no event: {text[:100]}")
    return EVENT_ADAPTERS[content.pop("event")].validate_python(content)
