"""The subject of an assessment: a simulator, a prior and an observation, read from the command line."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Gamma, Independent, LogNormal, Normal, Uniform

from ampbench import files, npz, registry
from ampbench.errors import GraphError, UsageError
from ampbench.faults import pass_interruption
from ampbench.graph import Graph, density, simulator
from ampbench.graph.precision import as_written
from ampbench.graph.priors import as_distribution
from ampbench.interfaces import Task
from ampbench.running.failures import describe_with_line
from ampbench.simulations import stored_model

PRIORS: dict[str, type[Distribution]] = {"uniform": Uniform, "normal": Normal, "lognormal": LogNormal, "gamma": Gamma}


def read_model(
    subject: str, prior: str | None, names: Sequence[str] = (), gaps: bool = False
) -> tuple[Graph, tuple[str, ...]]:
    """Return the graph of a simulator with its prior, or of a task, and the names of its observed variables.

    Arguments:
        subject: ``module:name`` of a simulator, or a task's spec.
        prior: the prior, see :func:`read_prior`; None for a task.
        names: of the components of theta; none for default ones.
        gaps: whether NaN in x is a missing entry.

    Raises:
        UsageError: simulator, prior or task cannot be read, or a task is given names or gaps.
        GraphError: there are not as many names as components.
    """
    if prior is None:
        if re.fullmatch(r"[\w.]+:\w+", subject):
            raise UsageError(f"the simulator {subject!r} needs a prior: --prior module:name, or 'uniform(0,10)^2'")
        if names:
            raise UsageError(f"the task {subject!r} names its own parameters; leave out the names {', '.join(names)}")
        if gaps:
            raise UsageError(f"the task {subject!r} says itself which entries may be missing; leave out --gaps")
        task: Task = registry.load().build("tasks", subject)
        return task.graph, task.observed
    simulate = _imported(subject, "simulator")
    if not callable(simulate):
        raise UsageError(f"{subject} is a {type(simulate).__name__}, not a function from theta (n, D) to x (n, L)")
    theta, x = density("theta", read_prior(prior), names=names), simulator("x", simulate, ["theta"], gaps=gaps)
    return Graph(theta, x), ("x",)


def read_graph(text: str, observed: Sequence[str]) -> tuple[Graph, tuple[str, ...]]:
    """Return a graph that a module defines, and the names of its observed variables.

    Arguments:
        text: ``module:name`` of a :class:`ampbench.graph.Graph`.
        observed: names of its observed variables.

    Raises:
        UsageError: it cannot be imported, or is no graph.
        GraphError: an observed name is no variable.
    """
    graph = _imported(text, "graph")
    if not isinstance(graph, Graph):
        raise UsageError(f"{text} is a {type(graph).__name__}, not an ampbench.graph.Graph; a simulator needs --prior")
    return graph, graph.check(observed)


def read_stored(prior: str | Distribution, features: int, columns: Sequence[str] = ()) -> tuple[Graph, tuple[str, ...]]:
    """Return the graph of stored simulations, and the names of its observed variables.

    Arguments:
        prior: see :func:`read_prior`, or a learned one.
        features: L, the number of components of x.
        columns: names of the components of theta; none for default ones.
    """
    law = read_prior(prior) if isinstance(prior, str) else prior
    return stored_model(law, features, columns=columns), ("x",)


def read_prior(text: str) -> Distribution:
    """Read a prior: ``module:name`` of a prior, or a family for D independent components.

    See :mod:`ampbench.graph.priors` for what a prior may be.

    Raises:
        UsageError: the text cannot be read, or names no distribution.

    Example:
        >>> read_prior("uniform(0,10)^2").event_shape
        torch.Size([2])
    """
    number = r"\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*"
    match = re.fullmatch(rf"\s*({'|'.join(PRIORS)})\({number},{number}\)(?:\s*\^\s*(\d+))?\s*", text)
    if match:
        first, second, size = float(match[2]), float(match[3]), int(match[4] or 1)
        try:
            family: Any = PRIORS[match[1]]
            return Independent(family(torch.full((size,), first), torch.full((size,), second), validate_args=True), 1)
        except ValueError as error:
            raise UsageError(f"the prior {text!r} does not exist: {str(error).splitlines()[0]}") from error
    if not re.fullmatch(r"[\w.]+:\w+", text):
        known = ", ".join(PRIORS)
        raise UsageError(f"cannot read the prior {text!r}; write module:name, or such as uniform(0,10)^2, with {known}")
    found = _imported(text, "prior")
    try:
        return as_distribution(found, text)
    except GraphError as error:
        raise UsageError(str(error)) from error


def read_observation(text: str) -> Tensor:
    """Read an observation, shape (L,), from numbers or from a file (.npy or text); arrays of any shape are flattened.

    It is in double precision if single precision has fewer digits than were given.

    Raises:
        UsageError: the numbers or the file cannot be read.

    Example:
        >>> read_observation("0.5, -1e-2")
        tensor([ 0.5000, -0.0100])
    """
    try:
        return as_written(torch.from_numpy(_values(text).astype(float)))
    except Exception as error:  # whatever the file holds
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise UsageError(
            f"cannot read the observation {text!r}: {reason}; write numbers such as 0.5,1.2, or the path of a file "
            "of numbers (.npy or text)"
        ) from error


def _values(text: str) -> np.ndarray:
    """Return the numbers, or the texts of numbers, of a file or a text, shape (L,)."""
    if text.endswith(".npy"):
        with files.opened(text, files.MAX_DATA_BYTES) as file:
            return npz.read_array(file).ravel()
    content = files.read_text(text) if os.path.exists(text) else text  # a long text is no name of a file
    return np.array(re.split(r"[\s,;]+", content.strip(" \n\t,;")))


def _imported(text: str, what: str) -> Any:
    """Import ``module:name``; modules in the working directory are found too."""
    module, colon, name = text.partition(":")
    if not colon:
        raise UsageError(f"cannot read the {what} {text!r}; write module:name, such as mymodel:{what}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module.partition(".")[0]:
            raise UsageError(f"no module {module!r} here ({os.getcwd()}) or among the installed packages") from error
        raise UsageError(f"module {module!r} cannot be imported: {describe_with_line(error)}") from error
    except BaseException as error:
        pass_interruption(error)
        raise UsageError(f"module {module!r} cannot be imported: {describe_with_line(error)}") from error
    try:
        return getattr(found, name)
    except AttributeError as error:
        raise UsageError(f"the {what} {text!r}: {error}") from error
