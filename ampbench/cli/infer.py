"""``ampbench infer``: the posterior of your data, as files in a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ampbench.analysis import Analysis, Calibration
from ampbench.cli.infer_arguments import InferArguments, analysis_of
from ampbench.cli.interruption import exit_status, interruptible
from ampbench.cli.terminal import print_folded, print_table
from ampbench.console import complain, say
from ampbench.errors import AmpbenchError
from ampbench.faults import pass_interruption
from ampbench.running.failures import describe_with_line
from ampbench.text import line

if TYPE_CHECKING:
    from pandas import DataFrame


def run_infer(given: InferArguments) -> int:
    """Infer, print a summary, and return the exit code.

    It is 1 if a step failed, 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP.
    """
    analysis, output = analysis_of(given), given.output
    try:
        with interruptible():
            analysis.begin()
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
        complain(f"ampbench: {describe_with_line(error)}")
        return 1
    say()
    print_folded(f"Files in {output}: {', '.join(sorted(each.name for each in output.iterdir()))}")
    for each in missing:
        print_folded(each)
    return 0


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
    """Return how many components of the observation lie in the central intervals of their predictions."""
    low, high = predictions.quantile(0.025), predictions.quantile(0.975)
    given = [(a, value, b) for a, value, b in zip(low, observation, high, strict=True) if value is not None]
    inside = sum(a <= value <= b for a, value, b in given)
    return (
        f"Posterior predictive: {inside} of {len(given)} components of the observation lie in the central 95 % "
        f"of {len(predictions):,} simulations at posterior draws."
    )


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
