r"""States of posteriors: tensors by names, from the parts of a posterior and back.

A name is a path such as ``location.theta``; its first component names the part of the state. The rows of a training
history are stored as columns, shape (rows,), in double precision, so that they are restored exactly.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ampbench.errors import UsageError
from ampbench.files import MAX_TEXT_BYTES

State = Mapping[str, Tensor]


def joined(parts: Mapping[str, State]) -> dict[str, Tensor]:
    """Return the tensors of all parts, each under the name of its part.

    Example:
        >>> state = joined({"location": {"theta": torch.zeros(2)}, "scale": {"theta": torch.ones(2)}})
        >>> list(state)
        ['location.theta', 'scale.theta']
        >>> parts(state)["scale"]["theta"]
        tensor([1., 1.])
    """
    return {f"{part}.{name}": tensor.detach() for part, state in parts.items() for name, tensor in state.items()}


def parts(state: State) -> Mapping[str, State]:
    """Undo :func:`joined`; a part without a tensor is empty."""
    found: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
    for path, tensor in state.items():
        part, _, name = path.partition(".")
        found[part][name] = tensor
    return found


def columns(rows: Sequence[Mapping[str, float]]) -> dict[str, Tensor]:
    """Return the numbers of rows that have the same names, one tensor (rows,) for each name."""
    names = rows[0] if rows else ()
    return {name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in names}


def rows(columns: State) -> list[dict[str, float]]:
    """Undo :func:`columns`; a column ``step`` holds whole numbers.

    Example:
        >>> rows(columns([{"step": 10, "loss": 0.1}, {"step": 20, "loss": 0.2}]))
        [{'step': 10, 'loss': 0.1}, {'step': 20, 'loss': 0.2}]
    """
    lists = {name: (column.long() if name == "step" else column).tolist() for name, column in columns.items()}
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def text(values: Mapping[str, Any]) -> Tensor:
    """Return what JSON can hold as a tensor of bytes.

    Example:
        >>> read_text(text({"budget": 200}))
        {'budget': 200}
    """
    return torch.tensor(list(json.dumps(values).encode()), dtype=torch.uint8)


def read_text(tensor: Tensor) -> dict[str, Any]:
    """Undo :func:`text`; raises ValueError for a tensor that is no text, or too long a one."""
    if tensor.dtype != torch.uint8 or tensor.numel() > MAX_TEXT_BYTES:
        raise ValueError(
            f"{tensor.numel():,} numbers of {tensor.dtype} are no text of at most {MAX_TEXT_BYTES:,} bytes"
        )
    return json.loads(tensor.numpy().tobytes())


def load(network: nn.Module, tensors: State, what: str) -> None:
    """Give a network the parameters and buffers that it had.

    Arguments:
        network: built as it was then.
        tensors: what its ``state_dict`` returned.
        what: for the message.

    Raises:
        UsageError: they do not fit; the message says which, and both shapes.
    """
    try:
        network.load_state_dict(dict(tensors))
    except RuntimeError as error:
        reasons = "; ".join(line.strip() for line in str(error).splitlines()[1:4])
        raise UsageError(
            f"the state does not fit {what}: {reasons}; give the model and the options that it was made with"
        ) from error


def check_names(kind: str, kept: Iterable[str], given: Iterable[str]) -> None:
    """Raise :class:`UsageError` unless the state is of these variables."""
    kept, given = sorted(kept), sorted(given)
    if kept != given:
        raise UsageError(
            f"the state has the {kind}variables {', '.join(kept) or 'none'}, but the model {', '.join(given)}; "
            "give the model that it was made with"
        )


def check_size(name: str, kept: int, given: int | None) -> None:
    """Raise :class:`UsageError` unless a variable has as many components as it had; None accepts any number."""
    if given is not None and kept != given:
        raise UsageError(
            f"variable {name!r} has {kept} components in the state, but {given} in the model; "
            "give the model that it was made with"
        )
