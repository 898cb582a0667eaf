r"""Figure 1 of Karaletsos 2016 as an experiment: one deep generative model of digits, taught in four ways.

.. math:: z_2 \sim \mathcal N(0, I), \qquad z_1 \mid z_2 \sim \mathcal N(f_\theta(z_2), \sigma_\theta^2), \qquad
          x \mid z_1 \sim \mathcal N(g_\theta(z_1), s_\theta^2)

=========  ===========================================================================================
variant    adversaries
=========  ===========================================================================================
gan        one on x; nothing is inferred
global     one on (z2, z1, x): bidirectional GAN, adversarially learned inference
amp-jsd    one on (z1, x), one on (z2, z1), Jensen-Shannon divergence
amp-kl     the same tuples, reverse KL with known likelihood factors (eq. 10)
=========  ===========================================================================================

Grey values are dequantised: uniform noise within a level makes a density of them.

Run ``python results/figure1/make.py``. Each variant is stored when it is finished, and not trained again.

References:
    Karaletsos 2016, *Adversarial message passing for graphical models*, arXiv:1612.05048, figure 1.
    Dumoulin et al. 2017, *Adversarially learned inference*, arXiv:1606.00704.
    Theis, van den Oord, Bethge 2016, *A note on the evaluation of generative models*, arXiv:1511.01844, section 3.1.
    Burda, Grosse, Salakhutdinov 2016, *Importance weighted autoencoders*, arXiv:1509.00519 (the held-out bound).
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.distributions import Independent, Normal

from ampbench import api
from ampbench.amp.learning import LearnedModel, encode
from ampbench.graph import Graph, density, join, learned
from ampbench.networks import NormalConditional
from ampbench.seeding import seeded
from ampbench_tasks import digits

FOLDER = Path(__file__).parent
LATENT2, LATENT1 = 8, 32
ADVERSARY = "(width=128,depth=2)"
COMMON = "family=gaussian(covariance=diagonal,width=128,depth=2),batch_size=128,checks=10,patience=10"
VARIANTS = {
    "gan": f"amp:divergence=jsd{ADVERSARY},scope=evidence,penalty=0.1,{COMMON}",
    "global": f"amp:divergence=jsd{ADVERSARY},scope=global,penalty=0.1,{COMMON}",
    "amp-jsd": f"amp:divergence=jsd{ADVERSARY},penalty=0.1,{COMMON}",
    "amp-kl": f"amp:divergence=kl-likelihood{ADVERSARY},penalty=0.1,{COMMON}",
}
PARTICLES = 200
"""Of the importance-weighted bound."""


def model(pixels: int) -> Graph:
    """The generative model, untrained; its initial weights follow from torch's generator."""
    root = density("z2", Independent(Normal(torch.zeros(LATENT2), torch.ones(LATENT2)), 1))
    middle = learned("z1", NormalConditional(LATENT2, LATENT1, scale=0.3), ["z2"], size=LATENT1)
    return Graph(
        root, middle, learned("x", NormalConditional(LATENT1, pixels, width=256, scale=0.1), ["z1"], size=pixels)
    )


def main() -> None:
    """Train what is missing, then draw table and sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--size", type=int, choices=(8, 28), default=8, help="pixels along a side")
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    data = dequantised(digits.load(arguments.size), levels={8: 17, 28: 256}[arguments.size])
    cells = arguments.out / "cells"
    cells.mkdir(parents=True, exist_ok=True)
    for name, method in VARIANTS.items():
        if not (cells / f"{name}.npz").exists():
            run(name, f"{method},steps={arguments.steps}", data, cells)
    rows = [pd.read_json(cells / f"{name}.json", typ="series") for name in VARIANTS]
    table = pd.DataFrame(rows)
    table.to_csv(arguments.out / "table.csv", index=False, float_format="%.4g")
    print(table.to_string(index=False))
    sheets(cells, data, arguments.size, arguments.out)


def dequantised(data: digits.Digits, levels: int) -> digits.Digits:
    """Return images whose grey values are spread over their level, in [0, 1)."""

    def spread(images: Tensor) -> Tensor:
        return (images * (levels - 1) + torch.rand_like(images)) / levels

    with seeded(0):
        return replace(data, train=spread(data.train), test=spread(data.test))


def run(name: str, method: str, data: digits.Digits, cells: Path) -> None:
    """Train one variant, judge it on the test digits, store numbers and images."""
    start = time.perf_counter()
    with seeded(0):
        graph = model(data.train.shape[1])
    trained = api.learn(graph, {"x": data.train}, method=method, seed=0)
    seconds = time.perf_counter() - start
    with seeded(1):
        row, images = judge(trained, data, name)
    pd.Series({"variant": name, "method": method, "seconds": round(seconds), **row}).to_json(cells / f"{name}.json")
    trained.history.to_csv(cells / f"{name}_history.csv", index=False, float_format="%.4g")
    np.savez_compressed(cells / f"{name}.npz", **{key: value.numpy() for key, value in images.items()})


def judge(trained: LearnedModel, data: digits.Digits, name: str) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Numbers and images of one variant; NaN where nothing was inferred."""
    drawn = trained.sample(len(data.test))
    row = {"accuracy_x": accuracy(drawn["x"], data.test)}
    images = {"samples": drawn["x"][:50]}
    if name == "gan":
        return row | dict.fromkeys(["accuracy_z1_x", "accuracy_z2_z1", "reconstruction", "bound"], math.nan), images
    inferred = {key: value[0] for key, value in trained.infer({"x": data.test}, 1).items()}
    mean = trained.graph["x"].distribution(inferred["z1"]).mean.detach()
    row |= {
        "accuracy_z1_x": accuracy(join(drawn, ["z1", "x"]), join(inferred, ["z1", "x"])),
        "accuracy_z2_z1": accuracy(join(drawn, ["z2", "z1"]), join(inferred, ["z2", "z1"])),
        "reconstruction": float((mean - data.test).square().mean().sqrt()),
        "bound": bound(trained, data.test),
    }
    return row, images | {"reconstructions": mean[:50]}


def accuracy(p: Tensor, q: Tensor) -> float:
    """Five-fold accuracy of a fresh classifier between two samples: 0.5 where they cannot be told apart."""
    classifier = make_pipeline(StandardScaler(), MLPClassifier((64, 64), alpha=1.0, max_iter=300, random_state=0))
    features = torch.cat([p, q]).numpy()
    warnings.simplefilter("ignore", ConvergenceWarning)
    labels = np.r_[np.zeros(len(p)), np.ones(len(q))]
    order = np.random.default_rng(0).permutation(len(labels))
    return float(cross_val_score(classifier, features[order], labels[order], cv=5).mean())


@torch.no_grad()
def bound(trained: LearnedModel, x: Tensor) -> float:
    """The importance-weighted bound on E log p(x) of test digits, in nats: log 1/K Σ p(z2, z1, x) / q(z2, z1 | x)."""
    bottom_up, top_down = trained.trained.learned.bottom_up, trained.trained.learned.model
    evidence = encode(top_down.coordinates, {"x": x}, torch.device("cpu"))
    drawn = bottom_up(evidence, PARTICLES)
    log_q = bottom_up.log_prob(drawn, bottom_up.chains[frozenset({"x"})])
    log_q = log_q - sum(top_down.coordinates[name].scale.log().sum() for name in ("z1", "z2"))  # to the values' scale
    values = {name: top_down.coordinates[name].decode(value).flatten(0, 1) for name, value in drawn.items()}
    log_p = trained.graph.log_prob(values, ["z2", "z1", "x"]).reshape(log_q.shape)
    return float(((log_p - log_q).logsumexp(0) - math.log(PARTICLES)).mean())


def sheets(cells: Path, data: digits.Digits, size: int, out: Path) -> None:
    """Draw samples, and reconstructions beside what they reconstruct."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = {"data": {"samples": data.test[:50], "reconstructions": data.test[:50]}}
    shown |= {name: dict(np.load(cells / f"{name}.npz")) for name in VARIANTS}
    for kind in ("samples", "reconstructions"):
        names = [name for name, images in shown.items() if kind in images]
        figure, axes = pyplot.subplots(1, len(names), figsize=(2.6 * len(names), 5.4))
        for axis, name in zip(axes, names, strict=True):
            tiles = np.asarray(shown[name][kind]).reshape(10, 5, size, size)
            tiles = np.pad(tiles, ((0, 0), (0, 0), (1, 0), (1, 0)), constant_values=1.0)
            axis.imshow(tiles.transpose(0, 2, 1, 3).reshape(10 * (size + 1), -1), cmap="gray_r", vmin=0, vmax=1)
            axis.set_title(name)
            axis.axis("off")
        figure.tight_layout()
        figure.savefig(out / f"{kind}.png", dpi=110)
        pyplot.close(figure)


if __name__ == "__main__":
    main()
