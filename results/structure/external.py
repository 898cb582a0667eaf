"""A method in an environment of its own: simulations and observations go out as files, and samples come back.

``bayesflow/approximate.py`` documents the files.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from models import SAMPLES, Fit, Model
from numpy.typing import NDArray
from torch import Tensor

from ampbench.amp.templates.sources import simulate
from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator
from ampbench.seeding import derive, seeded

Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Stored:
    """Posterior draws (m, S, D) for each of m observations (m, L)."""

    observations: Tensor
    samples: Tensor

    def draw(self, graph: Graph, given: Sequence[str], x: Tensor) -> Tensor:
        """Return the draws for an observation.

        Raises:
            UsageError: there are none.
        """
        rows = (self.observations == x).all(-1).nonzero()[:, 0]
        if not len(rows):
            raise UsageError(f"no samples are stored for the observation {x.tolist()}; export it with export()")
        return self.samples[rows[0]]


def approximate(model: Model, python: str, arguments: str, seed: int) -> Iterator[Fit]:
    """Run a script on the simulations of a model, and return its samples for every size.

    Arguments:
        model: with one axis, and one observed variable along it.
        python: the interpreter of the environment.
        arguments: the script, relative to this folder, and its options.
        seed: of simulations and training.

    Raises:
        CalledProcessError: the script failed; it has printed the reason.
        UsageError: there is no interpreter, or samples of a size are missing, or have another shape.
    """
    if not python:
        raise UsageError(f"{arguments!r} needs an environment of its own: give its interpreter, --bayesflow PYTHON")
    script, *options = shlex.split(arguments)
    with TemporaryDirectory() as name:
        folder = Path(name)
        export(model, folder, seed)
        path = Path(__file__).parent / script
        common = ["--samples", str(SAMPLES), "--seed", str(seed)]
        subprocess.run([python, str(path), name, *options, *common], check=True)
        with np.load(folder / "samples.npz") as file:
            yield from read(model, dict(file))


def export(model: Model, folder: Path, seed: int) -> None:
    """Write the simulations on which a template is trained with this seed, and the observations of every size."""
    with seeded(derive(seed, "fit")):
        blocks = simulate(Simulator(model.template(), model.observed, model.draws, seed))
    values = {f"{name}_{b}": v.numpy() for b, block in enumerate(blocks) for name, v in block.values.items()}
    np.savez(folder / "simulations.npz", **values)
    observations = {str(size): torch.stack(model.observations(size)) for size in model.sizes}
    shaped = {size: x.unflatten(-1, (int(size), -1)).numpy() for size, x in observations.items()}
    np.savez(folder / "observations.npz", **shaped)


def read(model: Model, written: Arrays) -> Iterator[Fit]:
    """Return the samples of every size, with the numbers that the script measured.

    Raises:
        UsageError: samples of a size are missing, or have another shape.
    """
    cpu, wall, peak = (float(value) for value in written["training"])
    for size in model.sizes:
        x = torch.stack(model.observations(size))
        task = model.task(size)
        expected = (len(x), SAMPLES, len(task.graph.latents(task.observed)))
        seen = written[str(size)].shape if str(size) in written else None
        if seen != expected:
            raise UsageError(f"samples.npz must have samples of shape {expected} for size {size}, but has {seen}")
        measured = {"sampling_seconds": float(written[f"sampling_{size}"]) / len(x), "peak_mb": peak}
        yield Fit(size, Stored(x, torch.from_numpy(written[str(size)])), cpu, wall, measured)
