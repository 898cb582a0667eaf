"""Baselines from the sbi toolbox; sbi is imported only when one of them is fitted."""

from __future__ import annotations

from collections.abc import Mapping

from ampbench.hookspecs import Lazy, hookimpl
from ampbench.references import GREENBERG_2019, LAKSHMINARAYANAN_2017, PAPAMAKARIOS_2019, RADEV_2020
from ampbench_sbi.references import (
    BEAUMONT_2009,
    BOELTS_2024,
    DAX_2023,
    DEISTLER_2022,
    DURKAN_2020,
    GEFFNER_2023,
    HERMANS_2020,
    MILLER_2022,
    PRITCHARD_1999,
)


@hookimpl
def methods() -> Mapping[str, Lazy]:
    """Return the baselines of sbi 0.27 by name; docs/baselines.md lists their options."""
    embedded = Lazy(
        "ampbench_sbi.embedded:Embedded",
        "npe, fmpe, npse, nre or nre-c behind an embedding network (sbi)",
        "Radev et al. 2020",
        bibtex=RADEV_2020 + BOELTS_2024,
    )
    ensemble = Lazy(
        "ampbench_sbi.npe_ensemble:NPEEnsemble",
        "mixture of npe, trained several times on the same simulations (sbi)",
        "Lakshminarayanan et al. 2017",
        bibtex=LAKSHMINARAYANAN_2017 + GREENBERG_2019 + BOELTS_2024,
    )
    return {"embedded": embedded, "npe-ensemble": ensemble} | {
        name: Lazy(
            f"ampbench_sbi.{name.replace('-', '_')}:{name.replace('-', '').upper()}",
            f"{summary} (sbi)",
            source,
            bibtex=bibtex + BOELTS_2024,
        )
        for name, summary, source, bibtex in (
            ("fmpe", "flow matching posterior estimation", "Dax et al. 2023", DAX_2023),
            ("mc-abc", "rejection ABC", "Pritchard et al. 1999", PRITCHARD_1999),
            ("nle", "neural likelihood estimation", "Papamakarios et al. 2019", PAPAMAKARIOS_2019),
            ("npe", "neural posterior estimation", "Greenberg et al. 2019", GREENBERG_2019),
            ("npse", "neural posterior score estimation", "Geffner et al. 2023", GEFFNER_2023),
            ("nre", "neural ratio estimation", "Durkan et al. 2020", DURKAN_2020 + HERMANS_2020),
            ("nre-c", "contrastive neural ratio estimation", "Miller et al. 2022", MILLER_2022),
            ("smc-abc", "sequential Monte Carlo ABC", "Beaumont et al. 2009", BEAUMONT_2009),
            ("snle", "sequential neural likelihood estimation", "Papamakarios et al. 2019", PAPAMAKARIOS_2019),
            ("snpe", "sequential neural posterior estimation", "Greenberg et al. 2019", GREENBERG_2019),
            ("snre", "sequential neural ratio estimation", "Durkan et al. 2020", DURKAN_2020),
            ("tsnpe", "truncated sequential neural posterior estimation", "Deistler et al. 2022", DEISTLER_2022),
        )
    }
