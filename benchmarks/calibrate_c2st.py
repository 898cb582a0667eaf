"""The batched C2STs beside scikit-learn's, on pairs of known distance: table, curves and times.

    python benchmarks/calibrate_c2st.py [--only NAME ...]     # about an hour on one core; finished rows are kept
    python benchmarks/calibrate_c2st.py --draw                # the curve from the table

Tests are quick and cannot tell whether two trainers agree on ten thousand samples; this does.
"""

from __future__ import annotations

import argparse
import csv
import math
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ampbench.interfaces import Metric
from ampbench.metrics.c2st import C2ST, EarlyC2ST
from ampbench.metrics.c2st_sklearn import SklearnC2ST
from ampbench.seeding import derive, seeded

DOCS = Path(__file__).parents[1] / "docs" / "metrics"
TABLE = DOCS / "c2st_calibration.csv"
FIELDS = (
    "dimensions",
    "pair",
    "n",
    "metric",
    "value",
    "standard_error",
    "seconds",
    "cpu_seconds",
    "threads",
    "torch",
    "machine",
)
N = 10_000


def shifted(by: float) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Unit Gaussians whose means differ in the first component: the best accuracy is Φ(by / 2)."""

    def draw(dimensions: int) -> tuple[Tensor, Tensor]:
        samples, reference = torch.randn(N, dimensions), torch.randn(N, dimensions)
        samples[:, 0] += by
        return samples, reference

    return draw


def scaled(by: float) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Gaussians that differ in the standard deviation of all components."""
    return lambda dimensions: (by * torch.randn(N, dimensions), torch.randn(N, dimensions))


def moons(blur: float) -> Callable[[int], tuple[Tensor, Tensor]]:
    """A crescent in the first two components, as of two_moons, against the same crescent blurred."""

    def crescent(dimensions: int) -> Tensor:
        angle = math.pi * (torch.rand(N) - 0.5)
        radius = 1 + 0.1 * torch.randn(N)
        return torch.cat(
            [torch.stack([radius * angle.cos(), radius * angle.sin()], 1), torch.randn(N, dimensions - 2)], 1
        )

    def draw(dimensions: int) -> tuple[Tensor, Tensor]:
        samples, reference = crescent(dimensions), crescent(dimensions)
        return samples + blur * torch.randn(N, dimensions), reference

    return draw


PAIRS = {
    **{f"shift {by}": shifted(by) for by in (0.0, 0.5, 1.0, 2.0, 4.0)},
    **{f"scale {by}": scaled(by) for by in (1.2,)},
    **{f"moon blurred {by}": moons(by) for by in (0.2,)},
}
METRICS: dict[str, Callable[[], Metric]] = {
    "c2st": C2ST,
    "c2st-early": EarlyC2ST,
    "c2st-sklearn": SklearnC2ST,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", action="store_true", help="only draw the curve")
    parser.add_argument("--only", nargs="*", default=list(METRICS), choices=list(METRICS))
    parser.add_argument("--dimensions", nargs="*", type=int, default=[2, 10])
    parser.add_argument("--pairs", nargs="*", default=list(PAIRS), choices=list(PAIRS))
    arguments = parser.parse_args()
    if not arguments.draw:
        for dimensions in arguments.dimensions:
            for pair in arguments.pairs:
                for metric in arguments.only:
                    measure(dimensions, pair, metric)
    draw(read())


def measure(dimensions: int, pair: str, metric: str) -> None:
    """Append one row to the table, unless it is there."""
    if any((row["dimensions"], row["pair"], row["metric"]) == (str(dimensions), pair, metric) for row in read()):
        return
    with seeded(derive(0, dimensions, pair)):
        samples, reference = PAIRS[pair](dimensions)
    start, cpu_start = time.perf_counter(), time.process_time()
    measurement = METRICS[metric]().measure(samples, reference)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    row = {
        "dimensions": dimensions,
        "pair": pair,
        "n": N,
        "metric": metric,
        "value": f"{measurement.value:.5f}",
        "standard_error": f"{measurement.provenance['standard_error']:.5f}",
        "seconds": f"{seconds:.1f}",
        "cpu_seconds": f"{cpu_seconds:.1f}",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    print(*row.values(), flush=True)
    new = not TABLE.exists()
    TABLE.parent.mkdir(exist_ok=True)
    with TABLE.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def read() -> list[dict[str, str]]:
    if not TABLE.exists():
        return []
    with TABLE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def draw(rows: list[dict[str, str]]) -> None:
    """Draw the difference of ``c2st`` to scikit-learn's values, and ``c2st-early`` against them."""
    from matplotlib import pyplot as plt

    values = {(row["dimensions"], row["pair"], row["metric"]): float(row["value"]) for row in rows}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    left.axhspan(-0.01, 0.01, color="0.9")
    right.plot([0.5, 1], [0.5, 1], color="0.7")
    for dimensions, marker in (("2", "o"), ("10", "s")):
        for axes, metric in ((left, "c2st"), (right, "c2st-early")):
            keys = [(dimensions, pair) for pair in PAIRS]
            both = [
                (values[*key, "c2st-sklearn"], values[*key, metric])
                for key in keys
                if (*key, metric) in values and (*key, "c2st-sklearn") in values
            ]
            x, y = [x for x, _ in both], [y - (x if axes is left else 0) for x, y in both]
            axes.plot(x, y, marker, label=f"{dimensions} dimensions")
    left.set(xlabel="c2st-sklearn", ylabel="c2st − c2st-sklearn", xlim=(0.48, 1.01), ylim=(-0.03, 0.03))
    right.set(xlabel="c2st-sklearn", ylabel="c2st-early", xlim=(0.48, 1.01), ylim=(0.48, 1.01))
    left.legend()
    figure.savefig(DOCS / "c2st_calibration.png", dpi=100)


if __name__ == "__main__":
    main()
