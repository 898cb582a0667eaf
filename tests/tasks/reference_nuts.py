"""Stored reference samples by the no-U-turn sampler: ``python tests/tasks/reference_nuts.py TASK [NUMBER…]``.

The models are written a second time, in numpyro (Phan, Pradhan, Jankowiak 2019, arXiv:1912.11554), with parameters for
which the sampler needs few steps. This needs ampbench, numpyro and arviz-stats; nothing else in the project needs the
last two. Written are, in the data folder of the task,

* ``observations.json``: the numbered observations, as far as their samples are stored; those in the file are kept;
* ``reference.npz``: the thinned draws, float32, one array (2000, D) per observation, in the order of the chains;
* ``info.json``: versions, seeds, and for each observation the diagnostics of all draws, before thinning.

Draws are kept only if the worst component has an R-hat below 1.005 and effective sample sizes (bulk and tail) above
4,000, and if no transition diverged (Vehtari et al. 2021, *Rank-normalization, folding, and localization*,
arXiv:1903.08008). Seeds: that of number k is 20160 + k.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from arviz_stats.base import array_stats
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import unconstrain_fn

from ampbench.metrics.references import write_arrays
from ampbench.registry import load

FOLDER = Path(__file__).parents[2] / "tasks" / "ampbench_tasks" / "data"
SCRIPT = "tests/tasks/reference_nuts.py"
CHAINS = 4
STORED = 2000
MAX_R_HAT = 1.005
MIN_EFFECTIVE_SIZE = 4000
FIRST_SEED = 20160


@dataclass(frozen=True)
class Model:
    """A model and the effort that its posterior needs.

    Arguments:
        define: the numpyro model of an observation (L,).
        start: initial values, from the observation.
        latents: names of the sites that make up theta, in the task's order.
        draws: of each chain, by the number of the observation.
        warmup: of each chain.
        acceptance: target of the step size.
        dense: groups of sites whose correlations the mass matrix has.
        algorithm: the sampler in a few words.
    """

    define: Callable[[jax.Array], None]
    start: Callable[[np.ndarray], dict[str, Any]]
    latents: tuple[str, ...]
    draws: Mapping[int, int]
    warmup: int
    acceptance: float
    dense: tuple[tuple[str, ...], ...]
    algorithm: str


def stochastic_volatility(y: jax.Array) -> None:
    r"""The model with parameters that are almost independent and almost standard Gaussian a posteriori.

    The cosine transform C nearly diagonalises the precision of h about m. The eigenvalues are about
    :math:`\lambda_k / \sigma^2` with :math:`\lambda_k = 1 + \varphi^2 - 2 \varphi \cos(\pi k / T)`. A return has
    Fisher information 1/2 about h_t. So

    .. math:: h = C^\top \Bigl( \frac{C \tilde y}{2 P} + \frac{\xi}{\sqrt P} \Bigr), \qquad
        P_k = \lambda_k / \sigma^2 + 1/2 \;(k > 0), \quad P_0 = 1/2

    where :math:`\tilde y` is a rough estimate of h. m is standardised by its conditional Gaussian given h, under a
    prior N(0, 100). Both are changes of variables, whose Jacobians enter the density: the posterior is that of any
    other parametrisation.
    """
    b = numpyro.sample("b", dist.Beta(20, 1.5))
    sigma = numpyro.sample("sigma", dist.HalfCauchy(2))
    flat = dist.ImproperUniform(dist.constraints.real_vector, (), (len(y),))
    xi = numpyro.sample("xi", flat)
    zeta = numpyro.sample("zeta", dist.ImproperUniform(dist.constraints.real, (), ()))
    phi = numpyro.deterministic("phi", 2 * b - 1)
    transform, frequency = cosines(len(y))
    precision = (1 + phi**2 - 2 * phi * jnp.cos(frequency)) / sigma**2 * (frequency > 0) + 0.5
    centre = transform @ rough_log_variance(y) / (2 * precision)
    h = numpyro.deterministic("h", (centre + xi / jnp.sqrt(precision)) @ transform)
    share = 4 * b * (1 - b)  # 1 - phi²
    weight = (share + (len(y) - 1) * (1 - phi) ** 2) / sigma**2 + 0.01
    total = (share * h[0] + (1 - phi) * (h[1:] - phi * h[:-1]).sum()) / sigma**2
    m = numpyro.deterministic("m", total / weight + zeta / jnp.sqrt(weight))
    jacobian = -(jnp.log(precision).sum() + jnp.log(weight)) / 2
    first = dist.Normal(m, sigma / jnp.sqrt(share)).log_prob(h[0])
    steps = dist.Normal(m + phi * (h[:-1] - m), sigma).log_prob(h[1:]).sum()
    numpyro.factor("prior of m and h", jacobian + dist.Cauchy(0, 5).log_prob(m) + first + steps)
    numpyro.sample("y", dist.Normal(0, jnp.exp(jnp.clip(h, -150, 150) / 2)).to_event(1), obs=y)


def cosines(length: int) -> tuple[np.ndarray, np.ndarray]:
    """The orthogonal cosine transform, shape (T, T), and its frequencies, shape (T,)."""
    frequency = np.pi * np.arange(length) / length
    matrix = np.sqrt(2 / length) * np.cos(frequency[:, None] * (np.arange(length) + 0.5))
    return matrix / np.where(frequency > 0, 1, np.sqrt(2))[:, None], frequency


def rough_log_variance(y: jax.Array) -> jax.Array:
    """log y² without its mean for h = 0, -1.27; a value far below the median of its neighbours is raised."""
    rough = jnp.log(y**2) + 1.27
    neighbours = jnp.stack([jnp.roll(jnp.pad(rough, 2, "edge"), shift)[2:-2] for shift in range(-2, 3)])
    return jnp.maximum(rough, jnp.median(neighbours, axis=0) - 2)


def start_of_volatility(y: np.ndarray) -> dict[str, Any]:
    return {"b": 0.95, "sigma": 0.5, "xi": np.zeros(len(y)), "zeta": 0.0}


def irt_1pl(y: jax.Array) -> None:
    bits = y.reshape(30, 10)
    m = numpyro.sample("m", dist.Normal(0.75, 1))
    a = numpyro.sample("a", dist.Normal(0, 1).expand([30]).to_event(1))
    b = numpyro.sample("b", dist.Normal(0, 1).expand([10]).to_event(1))
    logits = m + a[:, None] - b
    numpyro.sample("y", dist.Bernoulli(logits=logits).to_event(2), obs=bits)


MODELS = {
    "stochastic_volatility": Model(
        stochastic_volatility,
        start_of_volatility,
        ("m", "phi", "sigma", "h"),
        draws={1: 2000, 2: 2000, 3: 2000, 4: 2000, 5: 4500},
        warmup=600,
        acceptance=0.9,
        dense=(("b", "sigma", "zeta"),),
        algorithm="no-U-turn sampler, states standardised given the parameters",
    ),
    "irt_1pl": Model(
        irt_1pl,
        lambda y: {"m": 0.75, "a": np.zeros(30), "b": np.zeros(10)},
        ("m", "a", "b"),
        draws=dict.fromkeys(range(1, 6), 2000),
        warmup=500,
        acceptance=0.9,
        dense=(("m", "a", "b"),),
        algorithm="no-U-turn sampler, dense mass matrix",
    ),
}


@cache
def sampler(name: str, draws: int) -> MCMC:
    """One chain; it is compiled once for all chains and observations with equal numbers of draws."""
    model = MODELS[name]
    kernel = NUTS(model.define, target_accept_prob=model.acceptance, dense_mass=list(model.dense))
    return MCMC(
        kernel, num_warmup=model.warmup, num_samples=draws, num_chains=1, progress_bar=False, jit_model_args=True
    )


def sample(name: str, draws: int, y: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
    """Return the draws (chains, draws, D), and the number of divergent transitions."""
    model, run = MODELS[name], sampler(name, draws)
    values = {site: jnp.asarray(value, dtype=float) for site, value in model.start(y).items()}
    start = unconstrain_fn(model.define, (y,), {}, values)
    rng, drawn, divergences = np.random.default_rng(seed), [], 0
    for chain in range(CHAINS):
        # starts differ by more than the posterior is wide in most directions
        scattered = {site: value + 0.5 * rng.normal(size=value.shape) for site, value in start.items()}
        run.run(
            jax.random.PRNGKey(CHAINS * seed + chain),
            jnp.asarray(y),
            extra_fields=("diverging", "num_steps"),
            init_params=scattered,
        )
        found, extra = run.get_samples(), run.get_extra_fields()
        drawn.append(np.hstack([np.asarray(found[site]).reshape(draws, -1) for site in model.latents]))
        divergences += int(extra["diverging"].sum())
        print(f"  chain {chain}: {float(extra['num_steps'].mean()):.0f} steps a draw", flush=True)
    theta = np.stack(drawn)
    return theta, divergences


def diagnose(theta: np.ndarray, divergences: int) -> dict[str, float]:
    """Diagnostics of the worst component of draws (chains, draws, D)."""
    axes = {"chain_axis": 0, "draw_axis": 1}
    return {
        "r_hat": round(float(array_stats.rhat(theta, **axes).max()), 5),
        "ess_bulk": round(float(array_stats.ess(theta, method="bulk", **axes).min())),
        "ess_tail": round(float(array_stats.ess(theta, method="tail", prob=(0.05, 0.95), **axes).min())),
        "divergences": divergences,
    }


def good(found: Mapping[str, float]) -> bool:
    """Whether draws with these diagnostics may be stored."""
    enough = min(found["ess_bulk"], found["ess_tail"]) > MIN_EFFECTIVE_SIZE
    return found["r_hat"] < MAX_R_HAT and enough and not found["divergences"]


def main(name: str, wanted: list[int]) -> None:
    draws, folder = MODELS[name].draws, FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    rows, info = read(folder / "observations.json"), read(folder / "info.json")
    samples = dict(np.load(folder / "reference.npz")) if (folder / "reference.npz").exists() else {}
    task: Any = load().build("tasks", name)
    for number in wanted or draws:
        start, seed, key = time.process_time(), FIRST_SEED + number, str(number)
        example = task.example(number)
        row = rows.get(key) or {"x": example.x.tolist(), "theta": example.theta.tolist(), "seed": example.seed}
        theta, divergences = sample(name, draws[number], np.array(row["x"]), seed)
        found = {"draws": draws[number], **diagnose(theta, divergences)}
        print(number, found, f"{time.process_time() - start:.0f} s of processor time", flush=True)
        if not good(found):
            print(f"observation {number} is not stored: the diagnostics are not good enough", flush=True)
            continue
        thin = CHAINS * draws[number] // STORED
        samples[key], rows[key] = theta[:, ::thin].reshape(STORED, -1).astype(np.float32), row
        info["diagnostics"] = info.get("diagnostics", {}) | {key: found}
        info["seeds"] = info.get("seeds", {}) | {key: seed}
        (folder / "observations.json").write_text(json.dumps(dict(sorted(rows.items()))) + "\n", encoding="utf-8")
        write(name, samples, info)


def read(path: Path) -> dict[str, Any]:
    """The contents of a JSON file; empty if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(name: str, samples: dict[str, np.ndarray], info: dict[str, Any]) -> None:
    """Write the draws and the info file."""
    model, task = MODELS[name], load().build("tasks", name)
    order = sorted(samples, key=int)
    described = {
        "task": name,
        "version": task.version,
        "source": task.source,
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("ampbench", "numpyro", "jax", "numpy", "arviz-stats")},
        "script": SCRIPT,
        "algorithm": model.algorithm,
        "chains": CHAINS,
        "warmup": model.warmup,
        "target acceptance": model.acceptance,
        "samples": STORED,
        "seeds": {number: info["seeds"][number] for number in order},
        "diagnostics": {number: info["diagnostics"][number] for number in order},
        "sha256": {number: hashlib.sha256(samples[number].tobytes()).hexdigest() for number in order},
    }
    write_arrays(FOLDER / name / "reference.npz", {number: samples[number] for number in order})
    (FOLDER / name / "info.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(sys.argv[1], [int(number) for number in sys.argv[2:]])
