"""The notes that a file keeps of the description of a posterior: their types and ranges."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Count = Annotated[int, Field(ge=0, lt=2**63)]


class Notes(BaseModel):
    """The notes that :meth:`ampbench.interfaces.description.Description.notes` returns; no type is converted."""

    model_config = ConfigDict(strict=True)

    method: str = "amp"
    budget: Count
    sizes: dict[str, Count]
    shapes: dict[str, list[Count]]
    tolerant: bool
    codes: list[Any] | None
    precise: list[str] | None
    names: list[str] = []


def checked_notes(content: object) -> dict[str, Any]:
    """Return the notes that were read from a file; raises ValueError, which names a field that is missing or wrong."""
    try:
        return Notes.model_validate(content).model_dump(exclude_unset=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("notes", *first["loc"])))
        raise ValueError(f"{where}: {first['msg']}") from None
