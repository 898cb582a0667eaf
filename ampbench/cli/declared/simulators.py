"""Declarations of ``assess`` and ``infer``, which take the user's own simulator."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ampbench.cli.options import (
    BatchOption,
    DataOption,
    DeviceOption,
    FailedOption,
    GapsOption,
    MemoryOption,
    ParametersOption,
    SimulationsOption,
    SimulatorsOption,
    StoreOption,
    ThreadsOption,
    whole_number,
)


def assess(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODULE:SIMULATOR]", help="A function from theta (n, D) to x (n, L); without --prior, a task."
        ),
    ] = None,
    prior: Annotated[
        str | None, typer.Option(metavar="PRIOR", help="MODULE:NAME of a torch Distribution, or uniform(0,10)^2.")
    ] = None,
    budgets: Annotated[
        list[str] | None,
        typer.Option(metavar="N,N,…", help="Numbers of simulations.  [default: 1000,10000; all of FILE]"),
    ] = None,
    methods: Annotated[
        list[str] | None, typer.Option(metavar="SPEC,SPEC,…", help="Amortised methods.  [default: amp,npe]")
    ] = None,
    observation: Annotated[
        str | None, typer.Option(metavar="FILE|N,N,…", help="Your own data: also test the fits there; needs sbi.")
    ] = None,
    held_out: Annotated[
        int,
        typer.Option(parser=whole_number, metavar="N", help="Number of additional simulations that judge the fits."),
    ] = 200,
    seed: Annotated[int, typer.Option(parser=whole_number, metavar="N", help="Seed of all random numbers.")] = 0,
    simulations: SimulationsOption = None,
    parameters: ParametersOption = "",
    data: DataOption = "",
    workers: SimulatorsOption = None,
    batch: BatchOption = None,
    store: StoreOption = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 1,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="SECONDS", help="Time limit of a fit, a batch, and each observation."),
    ] = None,
    memory: MemoryOption = None,
    failed: FailedOption = "error",
    gaps: GapsOption = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Recommend a method and a number of simulations for your simulator.

    Needs no reference: fits are scored, and their calibration is tested, on held-out simulations. Each fit has a
    process of its own. Exit code 1 if a fit failed.
    """
    from ampbench.cli.assess import run_assess
    from ampbench.cli.simulations import SimulationOptions
    from ampbench.threads import limited_threads

    limits = {"threads": threads, "seconds": timeout, "memory": memory}
    names, sizes = methods or ["amp", "npe"], budgets or []
    source = SimulationOptions(simulations, parameters, data, workers, batch, store, failed, gaps)
    with limited_threads(threads):
        sys.exit(run_assess(subject, prior, names, sizes, held_out, seed, device, observation, limits, json, source))


def infer(
    observation: Annotated[
        str, typer.Option(metavar="FILE|N,N,…", help="Your data: L numbers, or a file of them (.npy or text).")
    ],
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODULE:SIMULATOR]",
            help="A function from theta (n, D) to x (n, L); without --prior, a task; none with --simulations.",
        ),
    ] = None,
    prior: Annotated[
        str | None, typer.Option(metavar="PRIOR", help="MODULE:NAME of a prior, or uniform(0,10)^2.")
    ] = None,
    method: Annotated[str, typer.Option(metavar="SPEC", help="Method; see: ampbench list methods.")] = "amp",
    budget: Annotated[
        int | None,
        typer.Option(
            parser=whole_number, metavar="N", help="Number of simulations of the fit.  [default: 10000, or all of FILE]"
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the files; the same command again continues.")
    ] = Path("posterior"),
    names: Annotated[str, typer.Option(metavar="NAME,NAME,…", help="Names of the components of theta.")] = "",
    samples: Annotated[int, typer.Option(parser=whole_number, metavar="N", help="Number of posterior draws.")] = 1000,
    predictions: Annotated[
        int, typer.Option(parser=whole_number, metavar="N", help="Simulations at posterior draws; 0 for none.")
    ] = 100,
    held_out: Annotated[
        int, typer.Option(parser=whole_number, metavar="N", help="Simulations that test calibration; 0 for no test.")
    ] = 200,
    seed: Annotated[int, typer.Option(parser=whole_number, metavar="N", help="Seed of all random numbers.")] = 0,
    simulations: SimulationsOption = None,
    parameters: ParametersOption = "",
    data: DataOption = "",
    workers: SimulatorsOption = None,
    batch: BatchOption = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="Time limit of a batch; needs --workers.")
    ] = None,
    failed: FailedOption = "error",
    gaps: GapsOption = False,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 1,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Infer the posterior of your data, and write samples, summary, plots and the fit into a folder.

    Resumable: each finished step is a file, and so is each batch of simulations. The calibration of the fit is tested
    on held-out simulations.
    """
    from ampbench.cli.infer import run_infer
    from ampbench.cli.infer_arguments import InferArguments
    from ampbench.cli.simulations import SimulationOptions
    from ampbench.threads import limited_threads

    counts = {"budget": budget, "samples": samples, "predictions": predictions, "held_out": held_out, "seed": seed}
    source = SimulationOptions(simulations, parameters, data, workers, batch, None, failed, gaps)
    model = (subject, prior, names, observation, method)
    given = InferArguments(*model, counts, source, output, device, threads, timeout)
    with limited_threads(threads):
        sys.exit(run_infer(given, json))
