r"""BayesFlow's graphical approximator on the hierarchy (mu, tau) → theta_j → y_ij, from files to files.

The script runs in an environment of its own, which has BayesFlow and not ampbench. It reads simulations and
observations that ``make.py`` wrote, and writes posterior samples:

``simulations.npz``
    for every block b of simulations with one number of groups J: ``mu_b`` (n, 1), ``tau_b`` (n, 1), ``theta_b``
    (n, J, 1) and ``y_b`` (n, J, 5);
``observations.npz``
    by number of groups, y (m, J, 5);
``samples.npz``
    by number of groups, (m, S, 2 + J): draws of mu, tau, theta_1 … theta_J; ``sampling_J``: seconds of processor time;
    ``training``: seconds of processor time and of wall-clock time, and the largest memory in MB.

The approximator inverts the graph of the simulator: a deep set summarises the observations of a group, a second one the
groups; one flow infers (mu, log tau) from the latter, another one the offset (theta_j - mu) / tau from (mu, log tau)
and the summary of its group. (A flow of theta_j itself was ten times too wide for small tau.) All simulations of a step
have the same number of groups. Variables are standardised by their simulations, because the approximator does not
update its own standardisation (version 2.0.11).

JAX compiles a step anew for every number of groups, in 8 seconds. The steps therefore have only :data:`NUMBERS` numbers
of groups: those of some blocks. Of the other blocks random groups are left out in every step, the fewest possible.

References:
    Habermann et al. 2024, *Amortized Bayesian multilevel models*, arXiv:2408.13230.
    Radev et al. 2023, *BayesFlow: amortized Bayesian workflows with neural networks*, arXiv:2306.16015.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import keras
import numpy as np
from bayesflow.experimental.graphical_approximator import GraphicalApproximator
from bayesflow.experimental.graphical_approximator.utils import summary_outputs_by_network
from bayesflow.experimental.graphical_simulator import GraphicalSimulator
from bayesflow.networks import CouplingFlow, DeepSet

MEMBERS = 5
WIDTH = 64
SUBNET = {"widths": (WIDTH, WIDTH), "dropout": 0.0}
BATCH, MIN_BATCH, GROUPS = 256, 32, 1024
"""Simulations of a step: at most, at least, and so many that they have about this number of groups."""
NUMBERS = 8
ROWS = 200_000
"""Groups that are drawn at once."""

Arrays = Mapping[str, np.ndarray]


class Approximator(GraphicalApproximator):
    """BayesFlow's approximator; in versions 2.0.9 to 2.0.12 its constructor sets a property without a setter."""

    standardize_layers = None

    def draw(self, y: np.ndarray, samples: int) -> dict[str, np.ndarray]:
        """Draw mu and log tau, (S, 1), and the offsets, (S, J, 1), given y (J, 5, 1).

        The networks get the conditions of :meth:`sample`, which computes the summaries anew for every draw.
        """
        groups, all_groups = (np.asarray(each)[0] for each in summary_outputs_by_network(self, {"y": y[None]}).values())
        counts = np.sqrt([len(y), MEMBERS]).astype("float32")
        given = np.tile(np.concatenate([all_groups, counts]), (samples, 1))
        roots = np.asarray(self.inference_networks[0].sample((samples,), conditions=given))
        shape = samples, len(y)
        parts = [roots[:, None], groups[None], counts[None, None]]
        given = np.concatenate([np.broadcast_to(part, (*shape, part.shape[-1])) for part in parts], -1)
        offset = np.asarray(self.inference_networks[1].sample(shape, conditions=given))
        return {"mu": roots[:, :1], "log_tau": roots[:, 1:], "offset": offset}


def graph() -> GraphicalSimulator:
    """Return the structure of the model; only the shapes of its draws matter here."""
    simulator = GraphicalSimulator(meta_fn=lambda: {"J": 10})
    simulator.add_node("roots", lambda: {"mu": np.random.normal(), "log_tau": np.random.normal()})
    simulator.add_node("theta", lambda mu, log_tau: {"offset": np.random.normal(mu, np.exp(log_tau))}, reps="J")
    simulator.add_node("y", lambda offset: {"y": np.random.normal(offset)}, reps=MEMBERS)
    simulator.add_edge("roots", "theta")
    simulator.add_edge("theta", "y")
    return simulator


class Blocks(keras.utils.PyDataset):
    """Steps of simulations of one block, chosen at random.

    Arguments:
        blocks: by variable, standardised simulations of every block.
        steps: number of steps.
        seed: of the choice.
    """

    def __init__(self, blocks: list[Arrays], steps: int, seed: int) -> None:
        super().__init__()
        self.blocks, self.steps, self.seed = blocks, steps, seed
        sizes = sorted(block["y"].shape[1] for block in blocks)
        self.sizes = [sizes[i] for i in np.linspace(0, len(sizes) - 1, NUMBERS).round().astype(int)]

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        generator = np.random.default_rng((self.seed, step))
        block = self.blocks[generator.integers(len(self.blocks))]
        count, most = block["y"].shape[:2]
        size = max(each for each in self.sizes if each <= most)
        rows = generator.integers(count, size=min(BATCH, max(MIN_BATCH, GROUPS // size)))
        groups = generator.permutation(most)[:size]
        return {name: value[rows][:, groups] if value.ndim > 2 else value[rows] for name, value in block.items()}


class Scales:
    """Means and standard deviations of the simulations of every variable."""

    def __init__(self, blocks: list[Arrays]) -> None:
        joined = {name: np.concatenate([block[name].ravel() for block in blocks]) for name in blocks[0]}
        self.moments = {name: (float(value.mean()), float(value.std())) for name, value in joined.items()}

    def standard(self, values: Arrays) -> dict[str, np.ndarray]:
        """Return standardised values."""
        moments = self.moments
        return {name: ((v - moments[name][0]) / moments[name][1]).astype("float32") for name, v in values.items()}

    def natural(self, name: str, value: np.ndarray) -> np.ndarray:
        """Undo :meth:`standard` for a variable."""
        mean, deviation = self.moments[name]
        return mean + deviation * value


def read(path: Path) -> list[Arrays]:
    """Return the simulations of every block."""
    with np.load(path) as file:
        numbers = sorted({int(name.rpartition("_")[2]) for name in file})
        return [
            {
                "mu": file[f"mu_{b}"],
                "log_tau": np.log(file[f"tau_{b}"]),
                "offset": (file[f"theta_{b}"] - file[f"mu_{b}"][:, None]) / file[f"tau_{b}"][:, None],
                "y": file[f"y_{b}"][..., None],
            }
            for b in numbers
        ]


def summary(size: int) -> DeepSet:
    """Return a deep set with one equivariant layer."""
    parts = ("equivariant", "invariant_inner", "invariant_outer", "invariant_last")
    return DeepSet(size, depth=1, dropout=0.0, **{f"mlp_widths_{part}": (WIDTH,) for part in parts})


def train(blocks: list[Arrays], scales: Scales, steps: int, seed: int) -> Approximator:
    """Return the trained approximator."""
    keras.utils.set_random_seed(seed)
    approximator = Approximator(
        graph().graph.invert(),
        summary_networks=[summary(16), summary(32)],
        inference_networks=[CouplingFlow(depth=depth, subnet_kwargs=SUBNET) for depth in (4, 2)],
        standardize=None,
    )
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    approximator.compile(optimizer=keras.optimizers.Adam(rate))
    dataset = Blocks([scales.standard(block) for block in blocks], steps, seed)
    history = approximator.fit(dataset=dataset, verbose=0)
    print(f"mean loss over the training: {history.history['loss'][-1]:.3f}", flush=True)
    return approximator


def draw(approximator: Approximator, scales: Scales, y: np.ndarray, samples: int) -> np.ndarray:
    """Return draws (S, 2 + J) given y (J, 5)."""
    given, parts = scales.standard({"y": y[..., None]})["y"], []
    while (left := samples - sum(map(len, parts))) > 0:
        drawn = approximator.draw(given, min(left, max(1, ROWS // len(y))))
        mu, log_tau, offset = (scales.natural(name, drawn[name]) for name in ("mu", "log_tau", "offset"))
        parts.append(np.concatenate([mu, np.exp(log_tau), mu + np.exp(log_tau) * offset[..., 0]], -1))
    return np.concatenate(parts)


def main() -> None:
    """Read, train, draw and write."""
    parser = argparse.ArgumentParser(description="Train BayesFlow's graphical approximator, and draw from it.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    blocks = read(chosen.folder / "simulations.npz")
    scales = Scales(blocks)
    cpu, wall = time.process_time(), time.perf_counter()
    approximator = train(blocks, scales, chosen.steps, chosen.seed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    written = {"training": np.array([time.process_time() - cpu, time.perf_counter() - wall, peak])}
    with np.load(chosen.folder / "observations.npz") as observations:
        for size in sorted(observations, key=int):
            start = time.process_time()
            written[size] = np.stack([draw(approximator, scales, y, chosen.samples) for y in observations[size]])
            written[f"sampling_{size}"] = np.array(time.process_time() - start)
    np.savez(chosen.folder / "samples.npz", **written)


if __name__ == "__main__":
    main()
