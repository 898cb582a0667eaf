"""``ampbench plot``: figures of samples, scores, calibration, training and models as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ampbench.assess.subject import read_graph, read_model
from ampbench.bars import progress_bar
from ampbench.cli.terminal import print_folded
from ampbench.console import document, status
from ampbench.errors import UsageError
from ampbench.figures.pairs import pair_plot, pair_plots
from ampbench.figures.style import check_path, needed, save_figure
from ampbench.interfaces import HasHistory
from ampbench.plots.budget import draw_budgets
from ampbench.plots.calibration import MAX_FITS, Calibrated, draw_calibration, posterior_ranks
from ampbench.plots.diagram import describe
from ampbench.plots.graph import draw_model
from ampbench.plots.pairs import Pairs, of_files, of_runs
from ampbench.plots.pareto import draw_pareto
from ampbench.plots.scores import scores
from ampbench.plots.stored import calibration_of_assessment, calibration_of_folder, fit_of_folder, kept_fits
from ampbench.plots.training import training_plot
from ampbench.results import load
from ampbench.results.bundle import is_bundle
from ampbench.text import plain
from ampbench.threads import limited_threads

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Wanted = Mapping[str, Sequence[Any]]
"""By column, the allowed values of the runs."""


def plot_pairs(
    files: Sequence[Path],
    output: Path,
    results: Path,
    wanted: Wanted,
    components: str,
    reference: Path | None,
    truth: str,
    as_json: bool,
) -> None:
    """Draw pair plots of files of samples, or of the samples of stored runs.

    Raises:
        UsageError: files and a selection of runs are given, the selection is not clear, or nothing can be drawn.
        ResultsError: samples of the runs are missing.
    """
    _check(output)
    _refuse_bundles(files)
    if files and wanted:
        raise UsageError(f"{files[0]} and a selection of runs ({', '.join(wanted)}) are given; give one of them")
    with limited_threads(1), status("reading samples; drawing reference samples, if the task stores none"):
        found = of_files(files) if files else of_runs(results, wanted)
        found = found.with_reference(reference).with_truth(truth).choosing(components)
    _write(_pairs(found), output, found.remarks, as_json)


def _refuse_bundles(paths: Sequence[Path]) -> None:
    for path in paths:
        if is_bundle(path):
            raise UsageError(f"{path} is a bundle, whose runs are chosen by options: --results {path} --task …")


def _pairs(found: Pairs) -> Figure:
    if len(found.samples) > 1:
        return pair_plots(found.samples, found.names, found.reference, found.truth, found.title)
    ((label, draws),) = found.samples.items()
    title = ", ".join(filter(None, (label, found.title)))
    return pair_plot(draws, found.names, found.reference, found.truth, title)


def plot_scores(
    kind: str,
    output: Path,
    results: Path,
    metric: str | None,
    tasks: Sequence[str],
    methods: Sequence[str],
    budgets: Sequence[int],
    as_json: bool,
) -> None:
    """Draw scores of stored runs, against the number of simulations (``budget``) or time (``pareto``).

    Raises:
        UsageError: nothing is selected, or no run has the metric; the message lists the choices.
        ResultsError: there are no results.
    """
    _check(output)
    found = scores(load(results), metric, tasks, methods, budgets)
    _write((draw_budgets if kind == "budget" else draw_pareto)(found), output, found.remarks, as_json)


def plot_calibration(
    paths: Sequence[Path], output: Path, results: Path, wanted: Wanted, held_out: int, as_json: bool
) -> None:
    """Draw the calibration in folders of infer or outputs of assess, or of kept fits on new simulations.

    Raises:
        UsageError: nothing is known about the calibration, or a path is none of these.
    """
    _check(output)
    _refuse_bundles(paths)
    if paths and wanted:
        raise UsageError(f"{paths[0]} and a selection of runs ({', '.join(wanted)}) are given; give one of them")
    with limited_threads(1):
        found, remarks = _of_paths(paths) if paths else _of_kept(results, wanted, held_out)
    _write(draw_calibration(found, remarks[:2]), output, remarks, as_json)


def _of_paths(paths: Sequence[Path]) -> tuple[dict[str, Calibrated], list[str]]:
    found: dict[str, Calibrated] = {}
    remarks: list[str] = []
    for path in paths:
        if path.is_dir() or path.name == "calibration.json":
            label, fit = calibration_of_folder(path)
            made, failed = {label: fit}, list[str]()
        else:
            made, failed = calibration_of_assessment(path)
        for label, fit in made.items():
            found[f"{label}, {path}" if label in found else label] = fit
        remarks += failed
    if older := [label for label, fit in found.items() if not fit.ranks]:
        remarks.append(
            f"no ranks are stored of {', '.join(older)}, made by an older version: drawn is the coverage of two "
            "levels, a mean over parameters, with intervals that hold for any dependence between these"
        )
    return found, remarks


def _of_kept(results: Path, wanted: Wanted, held_out: int) -> tuple[dict[str, Calibrated], list[str]]:
    fits, remarks = kept_fits(results, wanted)
    if len(fits) > MAX_FITS:
        raise UsageError(
            f"{len(fits)} fits match, and at most {MAX_FITS} are drawn; choose by --method, --budget and --seed"
        )
    found = {}
    for label, posterior in fits.items():
        with progress_bar(label) as progress:
            found[label] = Calibrated(held_out, posterior_ranks(posterior, held_out, progress=progress))
    return found, remarks


def plot_training(path: Path | None, output: Path, results: Path, wanted: Wanted, as_json: bool) -> None:
    """Draw the training history of a fit in a folder of infer, or of a kept fit.

    Raises:
        UsageError: there is no such fit, several match, or it has no history.
    """
    _check(output)
    _refuse_bundles([path] if path else [])
    if path is not None and wanted:
        raise UsageError(f"{path} and a selection of runs ({', '.join(wanted)}) are given; give one of them")
    if path is not None:
        label, posterior = fit_of_folder(path)
    else:
        fits, _ = kept_fits(results, wanted)
        if len(fits) > 1:
            raise UsageError(f"{len(fits)} fits match, and one is drawn: {'; '.join(fits)}; choose by the options")
        ((label, posterior),) = fits.items()
    if not isinstance(posterior, HasHistory):
        raise UsageError(f"{label} has no training history: a {type(posterior).__name__} records none")
    _write(training_plot(posterior.history, label), output, (), as_json)


def plot_graph(
    subject: str,
    output: Path,
    prior: str | None,
    observed: Sequence[str],
    only: Sequence[str],
    folded: bool | None,
    as_json: bool,
) -> None:
    """Draw the model of a task, a simulator or a graph, and its inverse.

    Raises:
        UsageError: there is no such model, or it is too large.
        GraphError: a name is none of its variables.
    """
    _check(output)
    if observed and prior is not None:
        raise UsageError(
            "--observed is for a graph, and --prior for a simulator, whose observed variable is x; give one"
        )
    graph, seen = read_graph(subject, observed) if observed else read_model(subject, prior)
    if only:
        graph = graph.ancestral(only)
        seen = tuple(name for name in seen if name in graph.by_name)
    model = describe(graph, seen, folded)
    _write(draw_model(model, subject), output, model.remarks, as_json)


def _check(output: Path) -> None:
    """Raise :class:`UsageError` before any work if the figure cannot be drawn or written."""
    check_path(output)
    needed("matplotlib.figure")


def _write(figure: Figure, output: Path, remarks: Sequence[str], as_json: bool) -> None:
    """Write a figure, and print its path and what it leaves out."""
    save_figure(figure, output)
    figure.clear()
    if as_json:
        document({"output": plain(str(output)), "remarks": [plain(each) for each in remarks]})
        return
    print_folded(str(output))
    for each in remarks:
        print_folded(each)
