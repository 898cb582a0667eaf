"""Published comparisons that can be run again, with the published settings as far as they are known.

References:
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653; settings of
    github.com/sbi-benchmark/sbibm.
    Miller, Weniger, Forré 2022, *Contrastive neural ratio estimation*, arXiv:2210.06170; settings of
    github.com/bkmi/cnre, ``infinite/calls.md`` and ``infinite/config/algorithm/cnre.yaml``.
    Vetter et al. 2025, *Effortless, simulation-efficient Bayesian inference*, arXiv:2504.17660; settings of
    github.com/mackelab/npe-pfn, branch ``main_experiments``, ``conf/method``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Study:
    """A published comparison that can be run again.

    Attributes:
        source: part of the name of its source in the ledger.
        methods: published name of each method → spec with the published settings, as far as they are known.
        samples: number of samples from each distribution of the C2ST.
        subsets: name → (tasks, published methods, budgets).
        metric: the metric with the definition of its scores.
    """

    source: str
    methods: Mapping[str, str]
    samples: int
    subsets: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]]
    metric: str = "c2st"


_CLASSIC_TASKS = (
    "bernoulli_glm",
    "bernoulli_glm_raw",
    "gaussian_linear",
    "gaussian_linear_uniform",
    "gaussian_mixture",
    "lotka_volterra",
    "sir",
    "slcp",
    "slcp_distractors",
    "two_moons",
)
_ENSEMBLE_TASKS = (
    "bernoulli_glm",
    "gaussian_linear",
    "gaussian_mixture",
    "lotka_volterra",
    "sir",
    "slcp",
    "two_moons",
)

_NEURAL_OPTIONS = "batch_size=10000"
_CHAIN_OPTIONS = "chains=100,thin=10,warmup=25"

STUDIES = {
    "lueckmann2021": Study(
        source="sbi-benchmark/results",
        methods={
            "REJ-ABC": "mc-abc:accept=100,kde=true",
            "SMC-ABC": "smc-abc:decay=0.2,kde=true,kernel_scale=0.5",
            "NPE": f"npe:{_NEURAL_OPTIONS},density_estimator=nsf",
            "NLE": f"nle:{_NEURAL_OPTIONS},{_CHAIN_OPTIONS},density_estimator=maf",
            "NRE": f"nre:{_NEURAL_OPTIONS},{_CHAIN_OPTIONS},classifier=resnet",
            "SNPE": f"snpe:{_NEURAL_OPTIONS},density_estimator=nsf,rounds=10",
            "SNLE": f"snle:{_NEURAL_OPTIONS},{_CHAIN_OPTIONS},density_estimator=maf,rounds=10",
            "SNRE": f"snre:{_NEURAL_OPTIONS},{_CHAIN_OPTIONS},classifier=resnet,rounds=10",
        },
        samples=10_000,
        subsets={
            "fast": (("two_moons",), ("REJ-ABC", "SMC-ABC", "NPE"), (1000,)),
            "amortised": (_CLASSIC_TASKS, ("REJ-ABC", "NPE", "NLE", "NRE"), (1000, 10_000)),
            "all": (
                _CLASSIC_TASKS,
                ("REJ-ABC", "SMC-ABC", "NPE", "NLE", "NRE", "SNPE", "SNLE", "SNRE"),
                (1000, 10_000, 100_000),
            ),
        },
    ),
    "miller2022": Study(
        source="bkmi/cnre",
        methods={
            "NRE-C": "nre-c:batch_norm=true,batch_size=1024,blocks=3,chains=100,classes=99,thin=10,warmup=100,width=128"
        },
        samples=10_000,
        subsets={
            "fast": (("two_moons",), ("NRE-C",), (1000,)),
            "all": (_CLASSIC_TASKS, ("NRE-C",), (1000, 10_000, 100_000)),
        },
    ),
    "vetter2025": Study(
        source="mackelab/npe-pfn",
        methods={
            "NPE": "npe:batch_size=200,density_estimator=nsf",
            "NPE-ensemble": "npe-ensemble:batch_size=200,density_estimator=nsf,members=5",
        },
        samples=10_000,
        subsets={
            "fast": (("two_moons",), ("NPE", "NPE-ensemble"), (1000,)),
            "all": (_ENSEMBLE_TASKS, ("NPE", "NPE-ensemble"), (100, 1000, 10_000, 100_000)),
        },
        metric="c2st-rf",
    ),
}
"""Studies by name."""
