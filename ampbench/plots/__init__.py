"""Plots of samples, results, fits and models, as figures of matplotlib, and as files.

=========================  ==================================================================
:func:`pair_plot`,         samples of a posterior, of several side by side, with reference and
:func:`pair_plots`         true parameters
:func:`predictive_plot`    posterior predictions with the observation
:func:`budget_plot`        scores of a frame of results against the number of simulations
:func:`pareto_plot`        scores of a frame of results against time
:func:`calibration_plot`   ranks and coverage of fits; :func:`posterior_ranks` computes ranks
:func:`training_plot`      a training history
:func:`graph_plot`         a model and its inverse
:func:`save_figure`        writes a figure as png, svg or pdf
=========================  ==================================================================

A figure belongs to no window, and no function uses the state of pyplot. Matplotlib is needed once something is drawn:
``pip install 'ampbench[plots]'``.
"""

from __future__ import annotations

from ampbench.figures.pairs import pair_plot, pair_plots
from ampbench.figures.predictive import predictive_plot
from ampbench.figures.style import save_figure
from ampbench.plots.budget import budget_plot
from ampbench.plots.calibration import calibration_plot, posterior_ranks
from ampbench.plots.graph import graph_plot
from ampbench.plots.pareto import pareto_plot
from ampbench.plots.training import training_plot

__all__ = [
    "budget_plot",
    "calibration_plot",
    "graph_plot",
    "pair_plot",
    "pair_plots",
    "pareto_plot",
    "posterior_ranks",
    "predictive_plot",
    "save_figure",
    "training_plot",
]
