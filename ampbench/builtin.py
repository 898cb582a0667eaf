"""The components of the core, which are registered through the entry-point group like those of any plugin."""

from __future__ import annotations

from collections.abc import Mapping

from ampbench import references as ref
from ampbench.hookspecs import Lazy, hookimpl


@hookimpl
def methods() -> Mapping[str, Lazy]:
    """Adversarial message passing."""
    return {
        "amp": Lazy("ampbench.amp:AMP", "adversarial message passing", "Karaletsos 2016", bibtex=ref.KARALETSOS_2016),
        "amp-templates": Lazy(
            "ampbench.amp.templates:TemplateAMP",
            "adversarial message passing with one network for all repeats",
            "Karaletsos 2016",
            bibtex=ref.KARALETSOS_2016,
        ),
        "amp-learned": Lazy(
            "ampbench.amp.factors:LearnedFactors",
            "adversarial message passing with learned densities of black-box factors",
            "Karaletsos 2016, Alg. 1, line 8",
            bibtex=ref.KARALETSOS_2016,
        ),
        "amp-ensemble": Lazy(
            "ampbench.amp.ensembles:AMPEnsemble",
            "mixture of several fits of adversarial message passing, trained as one stack",
            "Lakshminarayanan et al. 2017",
            bibtex=ref.KARALETSOS_2016 + ref.LAKSHMINARAYANAN_2017,
        ),
    }


@hookimpl
def metrics() -> Mapping[str, Lazy]:
    """Metrics of posterior samples."""
    return {
        "c2st": Lazy(
            "ampbench.metrics.c2st:C2ST",
            "classifier two-sample test",
            "Lueckmann et al. 2021",
            bibtex=ref.LUECKMANN_2021 + ref.LOPEZ_PAZ_2017,
        ),
        "c2st-sklearn": Lazy(
            "ampbench.metrics.c2st_sklearn:SklearnC2ST",
            "classifier two-sample test by scikit-learn, slower",
            "Lueckmann et al. 2021",
            bibtex=ref.LUECKMANN_2021 + ref.LOPEZ_PAZ_2017,
        ),
        "c2st-early": Lazy(
            "ampbench.metrics.c2st:EarlyC2ST",
            "classifier two-sample test with early stopping, as in sbi",
            "Tejero-Cantero et al. 2020",
            bibtex=ref.TEJERO_CANTERO_2020 + ref.LOPEZ_PAZ_2017,
        ),
        "c2st-rf": Lazy(
            "ampbench.metrics.c2st_forest:ForestC2ST",
            "classifier two-sample test by a random forest, as in sbi",
            "Tejero-Cantero et al. 2020",
            bibtex=ref.TEJERO_CANTERO_2020 + ref.LOPEZ_PAZ_2017,
        ),
        "mmd": Lazy(
            "ampbench.metrics.mmd:MMD", "maximum mean discrepancy", "Gretton et al. 2012", bibtex=ref.GRETTON_2012
        ),
        "sliced-wasserstein": Lazy(
            "ampbench.metrics.sliced_wasserstein:SlicedWasserstein",
            "transport cost along lines",
            "Bonneel et al. 2015",
            bibtex=ref.BONNEEL_2015,
        ),
        "energy-distance": Lazy(
            "ampbench.metrics.energy:EnergyDistance",
            "energy distance, squared",
            "Székely & Rizzo 2013",
            bibtex=ref.SZEKELY_2013,
        ),
        "bias": Lazy(
            "ampbench.metrics.moments:Bias",
            "error of the means, in posterior sds",
            "Lueckmann et al. 2021",
            bibtex=ref.LUECKMANN_2021,
        ),
        "spread": Lazy(
            "ampbench.metrics.moments:Spread",
            "error of the sds, as a logarithm",
            "Lueckmann et al. 2021",
            bibtex=ref.LUECKMANN_2021,
        ),
        "ksd": Lazy(
            "ampbench.metrics.ksd:KSD",
            "kernel Stein discrepancy, squared; no reference",
            "Liu et al. 2016",
            bibtex=ref.LIU_2016,
        ),
        "mpd": Lazy(
            "ampbench.metrics.mpd:MedianPredictiveDistance",
            "median predictive distance; no reference",
            "Lueckmann et al. 2021",
            bibtex=ref.LUECKMANN_2021,
        ),
        "nltp": Lazy(
            "ampbench.metrics.nltp:NLTP",
            "negative log probability of the true theta; no reference",
            "Lueckmann et al. 2021",
            bibtex=ref.LUECKMANN_2021,
        ),
    }


@hookimpl
def executors() -> Mapping[str, Lazy]:
    """The executors of this machine."""
    return {
        "local": Lazy("ampbench.running.executors:Local", "all cores of this machine, a process for each fit"),
        "in-process": Lazy("ampbench.running.executors:InProcess", "one run after the other in this process, to debug"),
    }
