"""Baselines from the sbi toolbox; sbi is imported only when one of them is fitted."""

from __future__ import annotations

from collections.abc import Mapping

from ampbench.hookspecs import Lazy, hookimpl


@hookimpl
def methods() -> Mapping[str, Lazy]:
    """Return the baselines of sbi 0.27 by name; docs/baselines.md lists their options."""
    embedded = Lazy(
        "ampbench_sbi.embedded:Embedded",
        "npe, fmpe, npse or nre behind an embedding network (sbi)",
        "Radev et al. 2020",
    )
    return {"embedded": embedded} | {
        name: Lazy(f"ampbench_sbi.{name.replace('-', '_')}:{name.replace('-', '').upper()}", f"{summary} (sbi)", source)
        for name, summary, source in (
            ("fmpe", "flow matching posterior estimation", "Dax et al. 2023"),
            ("mc-abc", "rejection ABC", "Pritchard et al. 1999"),
            ("nle", "neural likelihood estimation", "Papamakarios et al. 2019"),
            ("npe", "neural posterior estimation", "Greenberg et al. 2019"),
            ("npse", "neural posterior score estimation", "Geffner et al. 2023"),
            ("nre", "neural ratio estimation", "Durkan et al. 2020"),
            ("smc-abc", "sequential Monte Carlo ABC", "Beaumont et al. 2009"),
            ("snle", "sequential neural likelihood estimation", "Papamakarios et al. 2019"),
            ("snpe", "sequential neural posterior estimation", "Greenberg et al. 2019"),
            ("snre", "sequential neural ratio estimation", "Durkan et al. 2020"),
            ("tsnpe", "truncated sequential neural posterior estimation", "Deistler et al. 2022"),
        )
    }
