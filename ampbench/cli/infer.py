"""``ampbench infer``: the posterior of your data, as files in a folder."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from ampbench.analysis import Analysis, Calibration
from ampbench.cli.errors import fail
from ampbench.cli.infer_arguments import InferArguments, analysis_of
from ampbench.cli.interruption import exit_status, interruptible
from ampbench.cli.terminal import print_folded, print_table, warn
from ampbench.console import complain, document, say
from ampbench.errors import AmpbenchError
from ampbench.faults import pass_interruption
from ampbench.results.columns import records
from ampbench.running.failures import describe_with_line
from ampbench.text import line

if TYPE_CHECKING:
    from pandas import DataFrame


def run_infer(given: InferArguments, as_json: bool = False) -> int:
    """Infer, print a summary, and return the exit code.

    It is 1 if a step failed, 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP.
    """
    analysis, output = analysis_of(given), given.output
    try:
        with interruptible():
            analysis.begin()
            if as_json:
                said = _as_json(analysis)
            else:
                missing = _report(analysis)
    except KeyboardInterrupt as error:
        word, code = exit_status(error)
        remark = f"finished steps are in {line(str(output))}, and the same command again continues"
        complain(f"ampbench: {word}; {remark}")
        return code
    except AmpbenchError:
        raise
    except BaseException as error:  # of the user's simulator, or of a plugin
        pass_interruption(error)
        fail(f"ampbench: {describe_with_line(error)}", 1)
    files = sorted(each.name for each in output.iterdir())
    if as_json:
        document({"folder": str(output), "files": files} | said)
        return 0
    say()
    print_folded(f"Files in {output}: {', '.join(files)}")
    for each in missing:
        warn(each)
    return 0


def _as_json(analysis: Analysis) -> dict[str, object]:
    """Do all steps, and return what they found as an object for JSON, without the files."""
    request = analysis.request
    found: dict[str, object] = {"method": request.method, "budget": request.budget, "draws": len(analysis.samples)}
    table = analysis.summary
    found["summary"] = [{"parameter": str(name)} | row for name, row in zip(table.index, records(table), strict=True)]
    inside, components = _inside(analysis.predictions, request.observation) if request.predictions else (0, 0)
    found |= {"predictions": request.predictions, "inside": inside, "components": components}
    calibration = analysis.calibration if request.held_out else None
    found["calibration"] = asdict(calibration) if calibration else None
    return found | {"remarks": analysis.plots()}


def _report(analysis: Analysis) -> list[str]:
    """Do all steps, print what they found, and return remarks on missing files."""
    request = analysis.request
    samples = analysis.samples
    print_folded(f"{request.method}, {request.budget:,} simulations, {len(samples):,} posterior draws")
    _print_summary(analysis.summary)
    say()
    if request.predictions:
        print_folded(_predicted(analysis.predictions, request.observation))
    if request.held_out:
        _print_calibration(analysis.calibration)
    return analysis.plots()


def _print_summary(table: DataFrame) -> None:
    rows = zip(table.index, table.to_numpy().tolist(), strict=True)
    print_table(["parameter", *map(str, table.columns)], ([name, *row] for name, row in rows))


def _predicted(predictions: DataFrame, observation: tuple[float | None, ...]) -> str:
    """Return a sentence about the components of the observation and the intervals of their predictions."""
    inside, components = _inside(predictions, observation)
    return (
        f"Posterior predictive: {inside} of {components} components of the observation lie in the central 95 % "
        f"of {len(predictions):,} simulations at posterior draws."
    )


def _inside(predictions: DataFrame, observation: tuple[float | None, ...]) -> tuple[int, int]:
    """Return how many components of the observation lie in the intervals of their predictions, and of how many."""
    low, high = predictions.quantile(0.025), predictions.quantile(0.975)
    given = [(a, value, b) for a, value, b in zip(low, observation, high, strict=True) if value is not None]
    return sum(a <= value <= b for a, value, b in given), len(given)


def _print_calibration(found: Calibration | None) -> None:
    if found is None:
        print_folded("Calibration is not tested: a sequential method is fitted to one observation.")
        return
    levels = ", ".join(f"{value:.0%} in {level} % intervals" for level, value in found.coverage.items())
    print_folded(
        f"Calibration on {found.held_out:,} held-out simulations: fault {found.fault} (p-value {found.p:.2g}); true "
        f"parameters in central intervals: {levels}."
    )
    if found.outside:
        print_folded(
            f"Your observation lies outside the range of the held-out simulations: {found.outside}. The posterior "
            "is an extrapolation there; check simulator, prior and units."
        )
