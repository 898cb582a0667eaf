"""Options of simulations: stored ones in a file, or batches of a simulator in child processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ampbench.assess.fits import Model
from ampbench.assess.subject import read_model, read_prior, read_stored
from ampbench.errors import UsageError
from ampbench.graph import Graph
from ampbench.graph.failures import check_failed
from ampbench.interfaces import Limits, Progress
from ampbench.simulations import Batches, Simulations, in_batches, learn_prior, read_simulations
from ampbench.simulations.batches import DEFAULT_SIZE


@dataclass(frozen=True)
class SimulationOptions:
    """Where simulations come from.

    Attributes:
        file: of stored simulations, or None.
        parameters, data: names of its columns, separated by commas, or "".
        workers: child processes that simulate; None to simulate at once.
        batch: simulations in a batch, or None.
        store: folder that keeps finished batches, or None.
        failed: what becomes of failed simulations: ``error``, ``drop`` or ``code``.
        gaps: whether NaN in x is a missing entry.
    """

    file: Path | None = None
    parameters: str = ""
    data: str = ""
    workers: int | None = None
    batch: int | None = None
    store: Path | None = None
    failed: str = "error"
    gaps: bool = False

    def stored(self) -> Simulations | None:
        """Return the stored simulations; raises :class:`UsageError` if they cannot be read."""
        if self.file is None:
            if self.parameters or self.data:
                raise UsageError("--parameters and --data name columns of a file; give it by --simulations FILE")
            return None
        if check_failed(self.failed) != "error" or self.gaps:
            raise UsageError(
                "--failed and --gaps are for a simulator, but --simulations gives finite values; leave them out"
            )
        if self._in_batches:
            raise UsageError(
                "--workers, --batch and --store run a simulator, but --simulations gives simulations that exist "
                "already; leave them out"
            )
        return read_simulations(self.file, _names(self.parameters), _names(self.data))

    def check_shared(self) -> None:
        """Raise :class:`UsageError` if the fits share simulations, which may fail or have gaps."""
        if self._in_batches and (check_failed(self.failed) != "error" or self.gaps):
            option = "--gaps" if self.gaps else f"--failed {self.failed}"
            raise UsageError(
                f"{option} is for simulations of each fit, but --workers, --batch or --store is given; leave these "
                "out, or let the simulator return a finite code"
            )

    def arguments(self) -> list[str]:
        """Return the options, as ``ampbench infer`` takes them; its own folder is the store."""
        given = {
            "--simulations": self.file,
            "--parameters": self.parameters,
            "--data": self.data,
            "--workers": self.workers,
            "--batch": self.batch,
            "--failed": self.failed if self.failed != "error" else None,
        }
        options = [part for name, value in given.items() if value for part in (name, str(value))]
        return [*options, *(["--gaps"] if self.gaps else [])]

    @property
    def batch_size(self) -> int:
        """Simulations in a batch; 0 if no option asks for batches."""
        return (self.batch or DEFAULT_SIZE) if self._in_batches else 0

    @property
    def _in_batches(self) -> bool:
        return (self.workers, self.batch, self.store) != (None, None, None)

    def batches(
        self, graph: Graph, seed: int, limits: Limits, read: Callable[[], Model], progress: Progress
    ) -> Batches | None:
        """Return how batches are simulated, or None if no option asks for batches."""
        return in_batches(
            graph,
            seed,
            workers=1 if self._in_batches and self.workers is None else self.workers,
            batch=self.batch,
            store=self.store,
            limits=limits,
            progress=progress,
            read=partial(_graph, read),
        )


SIMULATE_AT_ONCE = SimulationOptions()


def subject_of(
    subject: str | None, prior: str | None, stored: Simulations | None, names: Sequence[str] = (), gaps: bool = False
) -> Callable[[], Model]:
    """Return a picklable function that reads the model in any process.

    Arguments:
        subject: ``module:simulator`` or a task; None for stored simulations.
        prior: see :func:`ampbench.assess.subject.read_prior`; None for a task, or to learn it.
        stored: stored simulations, or None.
        names: of the components of theta; none for those of the stored simulations, or default ones.
        gaps: whether NaN in x is a missing entry.

    Raises:
        UsageError: there is no subject, or a subject and stored simulations.

    Warns:
        StoredWarning: the prior was learned.
    """
    if stored is None:
        if subject is None:
            raise UsageError("no model: give MODULE:SIMULATOR, a task, or --simulations FILE")
        return partial(read_model, subject, prior, tuple(names), gaps)
    if subject is not None:
        raise UsageError(
            f"the simulator {subject!r} and simulations that exist already ({stored.origin}) were given; leave one out"
        )
    law = learn_prior(stored.values["theta"]) if prior is None else read_prior(prior)
    columns = tuple(names) or stored.names
    return partial(read_stored, law if prior is None else prior, stored.values["x"].shape[1], columns)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _graph(read: Callable[[], Model]) -> Graph:
    return read()[0]
