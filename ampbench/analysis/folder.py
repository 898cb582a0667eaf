"""Analyses in a folder: every step writes one file, and a step whose file exists is not done again.

=====================  =============================================================================
``request.json``       the arguments, with versions
``simulations``        finished batches of simulations, if batches are asked for
``posterior.npz``      the fit, for :func:`ampbench.restore`; absent if the method cannot restore it
``samples.csv``        posterior draws, one column for each parameter
``summary.csv``        mean, standard deviation and quantiles of each parameter
``predictions.csv``    simulations at posterior draws, one column for each component of x; absent for stored ones
``calibration.json``   tests on held-out simulations; absent for methods that fit to one observation
``samples.nc``         draws, predictions and observation for ArviZ; needs ``ampbench[arviz]``
``pairs.png``,         plots; need ``ampbench[plots]``
``predictions.png``
=====================  =============================================================================
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from ampbench import files
from ampbench.analysis.calibration import Calibration, calibration
from ampbench.analysis.request import FILE, Request, write
from ampbench.api import infer_graph, restore_graph, save
from ampbench.assess.simulations import Prepared
from ampbench.bars import progress_bar
from ampbench.errors import UsageError
from ampbench.figures.pairs import pair_plot
from ampbench.figures.predictive import predictive_plot
from ampbench.figures.style import image
from ampbench.graph import Graph, join
from ampbench.graph.failures import Report
from ampbench.graph.prior import parameter_names
from ampbench.interfaces import HasState, Posterior, Sequential
from ampbench.interfaces.description import Description
from ampbench.interfaces.summaries import summary_table
from ampbench.reporting.inference_data import tree
from ampbench.results import atomic
from ampbench.results.checksums import Damage
from ampbench.running.sampling import valid_samples
from ampbench.seeding import derive, seeded
from ampbench.text import to_csv

if TYPE_CHECKING:
    from pandas import DataFrame

T = TypeVar("T")


@dataclass(frozen=True)
class Analysis:
    """The analysis of one observation, in a folder.

    Arguments:
        request: what is to be inferred.
        folder: where its files are; see :meth:`begin`.
        graph: the model that the request names.
        observed: names of its observed variables.
        device, threads: of the fit.
        prepared: stored simulations, split into training and held-out ones; None to simulate.
        workers: child processes that simulate batches; 0 for this process.
        timeout: seconds that a batch may take in a child process; None for no limit.
    """

    request: Request
    folder: Path
    graph: Graph
    observed: tuple[str, ...]
    device: str = "cpu"
    threads: int = 1
    prepared: Prepared | None = None
    workers: int = 0
    timeout: float | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the components of theta."""
        return parameter_names(self.graph, self.graph.latents(self.observed))

    @property
    def x(self) -> Tensor:
        """The observation, shape (L,), in double precision."""
        values = [math.nan if value is None else value for value in self.request.observation]
        return torch.tensor(values, dtype=torch.float64)

    @cached_property
    def fitted(self) -> Posterior:
        """The fit of the method for all observations, read from its file or made."""
        path, request = self.folder / "posterior.npz", self.request
        if os.path.lexists(path):
            return restore_graph(path, self.graph, list(self.observed), method=request.method, device=self.device)
        posterior = infer_graph(
            self.graph,
            list(self.observed),
            budget=request.budget,
            method=request.method,
            seed=request.seed,
            device=self.device,
            threads=self.threads,
            **self._source,
        )
        if isinstance(posterior, HasState) and not isinstance(posterior, Sequential):
            save(posterior, path)
        return posterior

    @property
    def _source(self) -> dict[str, Any]:
        """The arguments of :func:`ampbench.infer_graph` that say where simulations come from."""
        if self.prepared is not None:
            return {"simulations": self.prepared.training}
        if not self.request.batch:
            return {"failed": self.request.failed}
        return {
            "failed": self.request.failed,
            "workers": self.workers or None,
            "batch": self.request.batch,
            "store": self.folder / "simulations",
            "timeout": self.timeout,
        }

    def begin(self) -> None:
        """Claim the folder, after one simulation that shows whether the observation has its size.

        Raises:
            UsageError: the sizes differ, or the folder holds something else; the message names both.
        """
        if not os.path.lexists(self.folder / FILE):
            self._check_size()
        self.request.claim(self.folder)

    def _check_size(self) -> None:
        if self.prepared is not None:
            size = self.prepared.training.values["x"].shape[1]
        else:
            with self._seeded("size"):
                size = join(self.graph.sample(1, report=Report(tolerant=True)), self.observed).shape[1]
        if size != len(self.request.observation):
            raise UsageError(
                f"the observation has {len(self.request.observation)} numbers, but a simulation of "
                f"{', '.join(self.observed)} has {size}; give one observation of as many numbers"
            )

    @cached_property
    def posterior(self) -> Posterior:
        """The posterior at the observation; a sequential one is fitted to it."""
        if not isinstance(self.fitted, Sequential):
            return self.fitted
        with self._seeded("fit"), progress_bar(self.request.method) as progress:
            return self.fitted.fit_to(self.x, progress).posterior

    @cached_property
    def samples(self) -> DataFrame:
        """Posterior draws, one column for each parameter."""

        def draw() -> DataFrame:
            posterior, n = self.posterior, self.request.samples
            with self._seeded("samples"), progress_bar("drawing from the posterior"):
                drawn = valid_samples(posterior.sample(self.x, n), n, self.names, "at the observation")
            return _frame(drawn, self.names)

        return self._table("samples.csv", self.request.samples, draw)

    @property
    def _draws(self) -> Tensor:
        """The posterior draws, shape (n, D), in double precision."""
        return torch.from_numpy(self.samples.to_numpy())

    @cached_property
    def predictions(self) -> DataFrame:
        """Simulations at posterior draws, one column for each component of x."""

        def simulate() -> DataFrame:
            known: Description = self.posterior.known
            with self._seeded("predictions"), progress_bar("simulating at posterior draws"):
                predicted = known.simulate(self._draws[: self.request.predictions]).flatten(1)
            return _frame(predicted, known.observed_names(predicted.shape[1]))

        return self._table("predictions.csv", self.request.predictions, simulate)

    @cached_property
    def calibration(self) -> Calibration | None:
        """Tests of calibration on held-out simulations; None if a sequential method fits to one observation."""
        path = self.folder / "calibration.json"
        if not os.path.lexists(path):
            if isinstance(self.fitted, Sequential):
                return None
            request = self.request
            n, seed = request.held_out, request.seed
            with progress_bar("testing calibration") as progress:
                found = calibration(
                    self.posterior, self.graph, self.observed, n, seed, self.x, progress, self.prepared, request.failed
                )
            write(path, found.text().encode())
        return self._read(path.name, lambda: Calibration.read(files.read_text(path)))

    @cached_property
    def summary(self) -> DataFrame:
        """Mean, standard deviation and quantiles of each parameter."""
        table = summary_table(self._draws, self.names)
        self._write("summary.csv", lambda: to_csv(table, index_label="parameter").encode())
        return table

    def plots(self) -> list[str]:
        """Write the plots that can be drawn, and ``samples.nc``; return why files are missing."""
        wanted = {"pairs.png": lambda: image(pair_plot(self._draws, self.names)), "samples.nc": self._netcdf}
        if self.request.predictions:
            wanted["predictions.png"] = self._predictive_plot
        return list(filter(None, (self._optional(name, content) for name, content in wanted.items())))

    def _predictive_plot(self) -> bytes:
        known, values = self.posterior.known, torch.from_numpy(self.predictions.to_numpy())
        shape = known.shape or values.shape[1:]
        names = known.observed_names(values.shape[1])
        return image(predictive_plot(values.reshape(-1, *shape), self.x.reshape(shape), names))

    def _netcdf(self) -> bytes:
        sizes = dict(self.posterior.known.sizes)
        predicted = torch.from_numpy(self.predictions.to_numpy()) if self.request.predictions else None
        attributes = {"method": self.request.method, "budget": self.request.budget, "seed": self.request.seed}
        made = tree(self.graph, self.observed, self._draws, self.x, None, attributes, predicted=predicted, sizes=sizes)
        path = self.folder / f"{atomic.TEMPORARY_PREFIX}samples.nc"
        try:
            made.to_netcdf(path)
            return path.read_bytes()
        finally:
            path.unlink(missing_ok=True)

    def _optional(self, name: str, content: Callable[[], bytes]) -> str:
        """Write a file that needs an optional package; return the reason if it is missing."""
        try:
            self._write(name, content)
        except UsageError as error:
            return f"{name} is not written: {error}"
        return ""

    def _write(self, name: str, content: Callable[[], bytes]) -> None:
        if not os.path.lexists(path := self.folder / name):
            write(path, content())

    def _table(self, name: str, rows: int, make: Callable[[], DataFrame]) -> DataFrame:
        """Return a table of numbers from its file, which is written if there is none."""
        from pandas import read_csv

        def read() -> DataFrame:
            with files.opened(self.folder / name, files.MAX_DATA_BYTES) as file:
                found = read_csv(file, dtype=str).astype(float)  # every digit counts
            if len(found) != rows:
                raise ValueError(f"it has {len(found):,} rows, where {rows:,} should be")
            return found

        self._write(name, lambda: to_csv(make()).encode())
        return self._read(name, read)

    def _read(self, name: str, read: Callable[[], T]) -> T:
        """Return what a file of the folder holds; raises :class:`UsageError` if it is damaged."""
        try:
            return read()
        except Exception as error:  # whatever the file holds
            raise UsageError(f"{Damage.of(self.folder / name, error)}; delete it, and it is made again") from error

    def _seeded(self, what: str) -> Any:
        return seeded(derive(self.request.seed, "analysis", what))


def _frame(values: Tensor, names: Iterable[str]) -> DataFrame:
    from pandas import DataFrame

    return DataFrame(values.detach().cpu().numpy(), columns=list(names))
