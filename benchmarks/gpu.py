"""A GPU beside the CPU: times of the same work on both, and whether the results agree.

    python benchmarks/gpu.py                                   # device cuda, results in results/gpu; under four minutes
    python benchmarks/gpu.py --device cpu --output /tmp/cpu    # a rehearsal: the CPU beside itself

Work that is timed: training steps of the engine, 64 members at once, ``c2st`` in ten dimensions, and a short fit. All
parts are run once in small before, so that what happens only once is not counted. What is checked: gradients of an
adversary, second derivatives included, and the density of one fit agree to rounding errors. Means and deviations of
fits of both devices, and scores of ``c2st``, agree within their errors, which is all that can be asked, because the
random numbers of devices differ. The output, ``<name of the device>.json``, has device, versions, times, ratios and
checks. The exit code is 1 if a check fails.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from ampbench.devices import usable_device
from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator, density
from ampbench.interfaces import Divergence, HasDensity, HasState, Method, Posterior, Tuples, fit, rebuild
from ampbench.metrics.c2st import C2ST
from ampbench.registry import load
from ampbench.results.provenance import versions
from ampbench.seeding import seeded

CPU = torch.device("cpu")
OUTPUT = Path(__file__).parents[1] / "results" / "gpu"
METHODS = {
    "jsd implicit": "divergence=jsd(refine=0),family=implicit",
    "riesz implicit": "divergence=riesz(refine=0),family=implicit,particles=8",
    "forward-kl flow": "divergence=forward-kl,family=flow",
}
FIT = "amp:divergence=forward-kl,family=flow,checks=5"


@dataclass(frozen=True)
class Sizes:
    """How much is done.

    Attributes:
        steps: timed training steps.
        batches: simulations per step.
        members: number of fits that are trained at once.
        rows: of each set of samples that ``c2st`` compares.
        dimensions: their components.
        fit: steps of the short fit.
        draws: posterior samples that are compared.
    """

    steps: int = 16
    batches: tuple[int, ...] = (256, 8192)
    members: int = 64
    rows: int = 4000
    dimensions: int = 10
    fit: int = 1000
    draws: int = 10_000


SMALL = Sizes(steps=2, batches=(64,), members=2, rows=100, dimensions=2, fit=5, draws=200)
"""For tests of the script itself."""


@dataclass(frozen=True)
class Row:
    """Seconds of the same work on both; the ratio is that of the CPU to the device, above 1 if the device is faster."""

    work: str
    cpu_seconds: float
    device_seconds: float

    @property
    def ratio(self) -> float:
        return self.cpu_seconds / self.device_seconds


@dataclass(frozen=True)
class Check:
    """A difference between the results of both, and the largest one that is accepted; infinite after an error."""

    name: str
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.difference <= self.tolerance  # not so if it is NaN


def main(arguments: list[str] | None = None) -> int:
    """Run all parts, print each result as soon as it is known, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="any torch device (default: cuda)")
    parser.add_argument("--output", type=Path, help="folder (default: results/gpu, for a GPU)")
    parser.add_argument("--small", action="store_true", help="sizes that test the script and measure nothing")
    chosen = parser.parse_args(arguments)
    try:
        device = usable_device(chosen.device)
    except UsageError as error:
        parser.error(str(error))
    if chosen.output is None and (chosen.small or device.type == "cpu"):
        parser.error("results/gpu is for full runs on a GPU; name another folder by --output")
    started = time.perf_counter()
    if not chosen.small:
        list(parts(device, SMALL))
    found: list[Row | Check] = []
    for each in parts(device, SMALL if chosen.small else Sizes()):
        print(line(each), flush=True)
        found.append(each)
    path = write(chosen.output or OUTPUT, device, found, time.perf_counter() - started, chosen.small)
    failed = [each.name for each in found if isinstance(each, Check) and not each.passed]
    print(f"{path}: " + (f"failed: {', '.join(failed)}" if failed else "all results agree"))
    return 1 if failed else 0


def parts(device: torch.device, sizes: Sizes) -> Iterator[Row | Check]:
    """All parts, in the order of the output; an error ends its part, and counts as a failed check."""
    for part in (gradients, engine, members, c2st, short_fit):
        try:
            yield from part(device, sizes)
        except Exception as error:
            traceback.print_exc()
            yield Check(f"{part.__name__}: {type(error).__name__}: {str(error).partition(chr(10))[0]}", math.inf, 0.0)


def engine(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Training steps, without what comes before and after them."""
    for name, options in METHODS.items():
        for batch in sizes.batches:
            method = build(f"amp:{options},steps={sizes.steps + 1},checks=1,batch_size={batch}")
            cpu, other = (steps(method, where, 4 * batch) for where in (CPU, device))
            yield Row(f"{sizes.steps} steps of {name}, {batch} rows", cpu, other)


def steps(method: Method, device: torch.device, budget: int) -> float:
    """Return the seconds of all training steps but the first."""
    ends: list[float] = []

    def progress(done: int, total: int) -> None:
        if done in (1, total):
            wait(device)
            ends.append(time.perf_counter())

    fit(method, source(budget), device, progress)
    return ends[-1] - ends[0]


def gradients(device: torch.device, sizes: Sizes) -> Iterator[Check]:
    """Gradients of the loss of an adversary, and of a penalty of its slopes: the largest difference, over the largest.

    Both devices have the same weights and tuples.
    """
    divergence = load().build("divergences", "jsd")
    with seeded(0):
        adversary, p, q = divergence.adversary(4), *torch.randn(2, 256, 4)
    found = [flat_gradient(divergence, adversary.to(where), p.to(where), q.to(where)) for where in (CPU, device)]
    difference = float((found[0] - found[1]).abs().max() / found[0].abs().max())
    yield Check("gradients of an adversary on both", difference, 1e-3)


def flat_gradient(divergence: Divergence, adversary: nn.Module, p: Tensor, q: Tensor) -> Tensor:
    """Return all gradients of an adversary's loss and penalty, on the CPU."""
    variable = p[:, :2].clone().requires_grad_(True)
    above, below = Tuples(variable, p[:, 2:]), Tuples(q[:, :2], q[:, 2:])
    (slopes,) = torch.autograd.grad(adversary(above).sum(), variable, create_graph=True)
    loss = divergence.adversary_loss(adversary, above, below) + slopes.square().mean()
    return torch.cat([each.flatten().cpu() for each in torch.autograd.grad(loss, list(adversary.parameters()))])


def members(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """An ensemble, whose members are trained as one stack."""
    inner = FIT.replace(":", "(") + f",steps={sizes.steps})"
    method = build(f"amp-ensemble:amp={inner},members={sizes.members}")
    seconds = [timed(lambda where=where: fit(method, source(1000), where), where) for where in (CPU, device)]
    yield Row(f"{sizes.members} members at once, {sizes.steps} steps", *seconds)


def c2st(device: torch.device, sizes: Sizes) -> Iterator[Row | Check]:
    """Unit Gaussians whose means differ by 1 in the first component."""
    with seeded(0):
        samples, reference = torch.randn(2, sizes.rows, sizes.dimensions)
    samples[:, 0] += 1
    scores: dict[torch.device, float] = {}

    def measure(where: torch.device) -> None:
        scores[where] = C2ST().measure(samples.to(where), reference.to(where)).value

    cpu, other = timed(lambda: measure(CPU), CPU), timed(lambda: measure(device), device)
    what = f"c2st of {sizes.rows} samples in {sizes.dimensions} dimensions"
    yield Row(what, cpu, other)
    yield Check(what, abs(scores[CPU] - scores[device]), 2 * (0.25 / sizes.rows) ** 0.5)


def short_fit(device: torch.device, sizes: Sizes) -> Iterator[Row | Check]:
    """A fit to a conjugate Gaussian, and its density and moments on both."""
    method, x = build(f"{FIT},steps={sizes.fit}"), torch.tensor([0.5, -0.5])
    fits: dict[torch.device, Posterior] = {}

    def run(where: torch.device) -> None:
        fits[where] = fit(method, source(10_000), where)

    cpu, other = timed(lambda: run(CPU), CPU), timed(lambda: run(device), device)
    yield Row(f"fit of {sizes.fit} steps", cpu, other)
    mine = fits[CPU]
    assert isinstance(mine, HasState)
    moved = rebuild(method, source(0), mine.state(), device)
    drawn = {name: draw(each, x, sizes.draws) for name, each in (("cpu", mine), ("device", fits[device]))}
    densities = [log_prob(each, drawn["cpu"], x) for each in (mine, moved)]
    yield Check("log density of one fit on both", float((densities[0] - densities[1]).abs().max()), 1e-3)
    error = 5 * (2 / sizes.draws) ** 0.5 + 2 / sizes.fit**0.5  # of the draws, and of the trainings
    for moment in ("mean", "std"):
        one, two = (getattr(each, moment)(0) for each in drawn.values())
        yield Check(f"{moment} of the fits of both", float((one - two).abs().max() / 0.5**0.5), error)


def draw(posterior: Posterior, x: Tensor, n: int) -> Tensor:
    """Draw samples, on the CPU."""
    with seeded(1):
        return posterior.sample(x, n).cpu()


def log_prob(posterior: Posterior, theta: Tensor, x: Tensor) -> Tensor:
    """Return the density of samples, on the CPU."""
    assert isinstance(posterior, HasDensity)
    return posterior.log_prob(theta, x.expand(len(theta), -1)).detach().cpu()


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of some work, until the device has done it."""
    wait(device)
    start = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    """Wait for a device, whose operations return before they are done."""
    torch.get_device_module(device).synchronize()


def source(budget: int, seed: int = 0) -> Simulator:
    """z ~ N(0, 1)², x ~ N(z, 1): the posterior is N(x/2, ½)."""
    prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    graph = Graph(density("z", prior), density("x", lambda z: Independent(Normal(z, torch.ones_like(z)), 1), ["z"]))
    return Simulator(graph, ["x"], budget, seed)


def build(spec: str) -> Method:
    return load().build("methods", spec)


def line(found: Row | Check) -> str:
    """Return a result as a line of text."""
    if isinstance(found, Row):
        return f"{found.work}: {found.cpu_seconds:.3g} s, {found.device_seconds:.3g} s, ratio {found.ratio:.3g}"
    verdict = "agrees" if found.passed else "FAILED"
    return f"{verdict}: {found.name}, difference {found.difference:.2g}, at most {found.tolerance:.2g}"


def write(folder: Path, device: torch.device, found: list[Row | Check], seconds: float, small: bool) -> Path:
    """Write what was found, and return the path."""
    name = device_name(device)
    content: dict[str, Any] = {
        "device": name,
        "cpu": platform.processor() or platform.machine(),
        "cpu_cores": os.cpu_count(),
        "cpu_threads": torch.get_num_threads(),
        "versions": dict(versions()) | {"cuda": torch.version.cuda or ""},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "small": small,
        "times": [asdict(each) | {"ratio": each.ratio} for each in found if isinstance(each, Row)],
        "checks": [checked(each) for each in found if isinstance(each, Check)],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def checked(check: Check) -> dict[str, Any]:
    """Return a check for JSON, which has no infinite numbers."""
    difference = check.difference if math.isfinite(check.difference) else None
    return asdict(check) | {"difference": difference, "passed": check.passed}


def device_name(device: torch.device) -> str:
    """Return the product name of a device, where torch knows one."""
    named = getattr(torch.get_device_module(device), "get_device_name", None)
    return named(device) if named else device.type


if __name__ == "__main__":
    sys.exit(main())
