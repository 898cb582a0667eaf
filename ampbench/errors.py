"""Errors and warnings of ampbench, by who can correct the fault."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AmpbenchError(Exception):
    """Base class of the errors that ampbench raises on purpose. The command line prints them without a traceback."""


class UsageError(AmpbenchError):
    """A request has an unknown name, option or value. The command line exits with 2."""


class PluginError(AmpbenchError):
    """A plugin cannot be used; the message names plugin, distribution, version and remedy."""


class GraphError(AmpbenchError, ValueError):
    """A graphical model is ill-formed, or has no variable of a given name."""


class SimulationError(AmpbenchError, ValueError):
    """A simulator or a reference returned values of another type or shape, NaN, or values outside the support."""


class SimulationWarning(UserWarning):
    """Simulations are usable, but some failed, the seed does not determine them, or none has the observation's gaps."""


class StoredWarning(UserWarning):
    """Stored simulations are used, but may not be what is meant; the message says in which respect."""


class SamplesError(AmpbenchError, ValueError):
    """A posterior returned samples that cannot be judged: too few, of another shape, NaN or infinite."""


class SamplingError(AmpbenchError, RuntimeError):
    """A posterior cannot be sampled within the limit of tries; the message names the acceptance rate."""


class BudgetExceeded(AmpbenchError):  # noqa: N818 — the name says it all
    """More simulations were asked for than the budget allows."""


class TrainingError(AmpbenchError, ArithmeticError):
    """A loss, a gradient or a score is NaN or infinite; the message names tuple or player, and step."""


class FitWarning(UserWarning):
    """A fit ended without an error, but its result is not the posterior; the message names the tuples."""


class PrecisionWarning(UserWarning):
    """Rounding lost the information of a variable; the message names the component."""


class SupportWarning(UserWarning):
    """Nothing says in which region the draws of a prior lie; the message names the prior."""


class MetricError(AmpbenchError, ValueError):
    """A metric cannot be computed from its input."""


class ResultsError(AmpbenchError, ValueError):
    """A stored result is unreadable or does not follow the schema, or results cannot be written."""


class ResultsWarning(UserWarning):
    """A stored file is ignored because it is damaged."""


def unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for an unknown name, with the known names and the nearest match."""
    names = sorted(known)
    return UsageError(f"unknown {what} {name!r}; known: {', '.join(names) or 'none'}{nearest(name, names)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the hint at the known name that is nearest to an unknown one, for a message; "" if none is near."""
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
