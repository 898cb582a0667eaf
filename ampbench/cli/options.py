"""Options that several commands share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_type_hints

import typer

from ampbench.console import output_mode
from ampbench.counts import read_whole
from ampbench.errors import UsageError

if TYPE_CHECKING:
    from ampbench.running.sweep import Request


def whole_number(text: str) -> int:
    """Return the whole number that an argument stands for; numbers such as ``1e4`` are allowed."""
    try:
        return read_whole("it", text)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None


SelectOption = Annotated[
    list[str] | None,
    typer.Option("--select", metavar="COND", help="Only runs that match: task=two_moons,method~jsd,…; repeatable."),
]
ShardOption = Annotated[str | None, typer.Option("--shard", metavar="I/N", help="Only the I-th of N parts.")]
ExecutorOption = Annotated[str, typer.Option(metavar="SPEC", help="Executor; see: ampbench list executors.")]
DeviceOption = Annotated[str, typer.Option(metavar="NAME", help="Torch device.")]
ThreadsOption = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="CPU threads of each worker; one is fastest for small networks."),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(min=0.1, metavar="SECONDS", help="Time limit of a fit, and of each observation."),
]
MemoryOption = Annotated[float | None, typer.Option(min=0.5, metavar="GIB", help="Memory limit of a worker (Linux).")]
SimulationsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Simulations that exist already: npz, csv, parquet or netCDF of theta and x."),
]
ParametersOption = Annotated[
    str, typer.Option(metavar="NAME,…", help="Columns of the parameters in FILE.  [default: theta…]")
]
DataOption = Annotated[
    str, typer.Option(metavar="NAME,…", help="Columns of the data in FILE.  [default: x…, or all others]")
]
SimulatorsOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Simulate batches in so many processes, for slow simulators.")
]
BatchOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Simulations in a batch; numbers depend on it.  [default: 50]")
]
StoreOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Keep finished batches, so that the same command continues.")
]
FailedOption = Annotated[
    str,
    typer.Option(metavar="error|drop|code", help="What becomes of simulations with NaN: see failed-simulations.md."),
]
GapsOption = Annotated[bool, typer.Option("--gaps", help="NaN in x is a missing entry: see sets-and-series.md.")]
ResultsOption = Annotated[Path, typer.Option("--results", metavar="DIR", help="Results directory.")]
BundleOption = Annotated[
    Path, typer.Option("--results", metavar="DIR|BUNDLE", help="Results directory, or a .zip of: ampbench publish.")
]
ReadOption = Annotated[
    Path,
    typer.Option(
        "--results",
        metavar="DIR|FILE",
        help="Results directory, a .zip of: ampbench publish, or a .csv or .json of: ampbench results.",
    ),
]


QuietOption = Annotated[bool, typer.Option("--quiet", help="Only the result, warnings and errors.")]


@dataclass(frozen=True)
class SweepOptions:
    """The options that ``run`` and ``plan`` share: the sweep and the results directory."""

    sweep: Annotated[Path | None, typer.Argument(metavar="[SWEEP.toml]", help="Sweep file.")] = None
    task: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="Task; repeatable.")] = None
    method: Annotated[
        list[str] | None, typer.Option(metavar="SPEC", help="Method, as name:key=value,…; repeatable.")
    ] = None
    budget: Annotated[
        list[int] | None, typer.Option(parser=whole_number, metavar="N", help="Number of simulations; repeatable.")
    ] = None
    seed: Annotated[
        list[int] | None, typer.Option(parser=whole_number, metavar="N", help="Seed; repeatable.  [default: 0]")
    ] = None
    observation: Annotated[
        list[int] | None,
        typer.Option(
            parser=whole_number, metavar="N", help="Number of an observation of the task; repeatable.  [default: all]"
        ),
    ] = None
    metric: Annotated[
        list[str] | None, typer.Option(metavar="SPEC", help="Metric; repeatable.  [default: c2st and mmd]")
    ] = None
    samples: Annotated[
        int | None,
        typer.Option(parser=whole_number, metavar="N", help="Posterior samples to compare.  [default: 10000]"),
    ] = None
    results: ResultsOption = Path("results")
    select: SelectOption = None
    shard: ShardOption = None

    @property
    def request(self) -> Request:
        """The requested sweep."""
        from ampbench.running.sweep import Request

        keys = {
            "tasks": self.task,
            "methods": self.method,
            "budgets": self.budget,
            "seeds": self.seed,
            "observations": self.observation,
            "metrics": self.metric,
            "samples": self.samples,
        }
        given = {key: value for key, value in keys.items() if value not in (None, [])}
        return Request(self.sweep, given, tuple(self.select or ()), self.shard)


def takes_quiet(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command: add the option ``--quiet``, and let this option and ``--json`` decide where notes go."""
    quiet = inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=QuietOption)
    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [*(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), quiet]

    @functools.wraps(command)
    def called(**given: object) -> None:
        with output_mode(quiet=bool(given.pop("quiet")), as_json=bool(given.get("json"))):
            command(**given)

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called


def takes_sweep(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command whose first parameter is a :class:`SweepOptions`: replace it by the fields of that class."""
    hints = get_type_hints(SweepOptions, include_extras=True)
    shared = [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name])
        for each in fields(SweepOptions)
    ]
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [*shared, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own)]

    @functools.wraps(command)
    def called(**given: object) -> None:
        sweep = {each.name: given.pop(each.name) for each in fields(SweepOptions)}
        command(SweepOptions(**sweep), **given)  # type: ignore[arg-type]

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called
