"""The built-in divergences: one per file, registered by the hook that every plugin uses."""

from __future__ import annotations

from collections.abc import Mapping

from ampbench.hookspecs import Lazy, hookimpl
from ampbench.references import GRETTON_2012, KARALETSOS_2016, PAPAMAKARIOS_2016
from ampbench_divergences.references import (
    GOODFELLOW_2014,
    GULRAJANI_2017,
    HERTRICH_2024,
    NOWOZIN_2016,
    PACCHIARDI_2022,
)


@hookimpl
def divergences() -> Mapping[str, Lazy]:
    """Return the built-in divergences."""
    f_gan = "Nowozin et al. 2016"
    return {
        "jsd": _row(
            "jsd:JSD",
            "Jensen-Shannon divergence, the paper's local divergence",
            "Karaletsos 2016, §3.1",
            bibtex=KARALETSOS_2016 + GOODFELLOW_2014,
        ),
        "kl": _row(
            "kl:KL", "reverse Kullback-Leibler divergence KL(q‖p)", "Karaletsos 2016, §5.3", bibtex=KARALETSOS_2016
        ),
        "kl-likelihood": _row(
            "kl_likelihood:KLLikelihood", "KL(q‖p), likelihood known", "Karaletsos 2016, eq. 10", bibtex=KARALETSOS_2016
        ),
        "kl-ratio": _row(
            "kl_ratio:KLRatio", "KL(q‖p), likelihood ratio learned", "Karaletsos 2016, eq. 11", bibtex=KARALETSOS_2016
        ),
        "blend": _row(
            "blend:Blend", "convex blend of two divergences", "Karaletsos 2016, §5.4.3", bibtex=KARALETSOS_2016
        ),
        "mmd": _row(
            "mmd:MMD",
            "maximum mean discrepancy, optionally of learned features",
            "Karaletsos 2016, §5.5",
            bibtex=KARALETSOS_2016 + GRETTON_2012,
        ),
        "f-kl": _row(
            "f_kl:FKL", "forward Kullback-Leibler divergence KL(p‖q), from samples", f_gan, bibtex=NOWOZIN_2016
        ),
        "pearson": _row("pearson:Pearson", "Pearson's χ² divergence", f_gan, bibtex=NOWOZIN_2016),
        "hellinger": _row("hellinger:Hellinger", "squared Hellinger divergence", f_gan, bibtex=NOWOZIN_2016),
        "jeffreys": _row("jeffreys:Jeffreys", "Jeffreys divergence KL(p‖q) + KL(q‖p)", f_gan, bibtex=NOWOZIN_2016),
        "total-variation": _row(
            "total_variation:TotalVariation", "total variation distance", f_gan, bibtex=NOWOZIN_2016
        ),
        "wasserstein": _row(
            "wasserstein:Wasserstein", "Wasserstein-1 distance", "Gulrajani et al. 2017", bibtex=GULRAJANI_2017
        ),
        "energy": _row(
            "energy:Energy", "conditional energy score, no adversary", "Pacchiardi & Dutta 2022", bibtex=PACCHIARDI_2022
        ),
        "riesz": _row(
            "riesz:Riesz",
            "Riesz kernel scores of random marginals, no adversary",
            "Hertrich et al. 2024",
            bibtex=HERTRICH_2024,
        ),
        "forward-kl": _row(
            "forward_kl:ForwardKL",
            "maximum likelihood of the family: NPE, no adversary",
            "Papamakarios & Murray 2016",
            bibtex=PAPAMAKARIOS_2016,
        ),
    }


def _row(target: str, summary: str, source: str, bibtex: str) -> Lazy:
    return Lazy(f"ampbench_divergences.{target}", summary, source, bibtex=bibtex)
