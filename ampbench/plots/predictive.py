from ampbench.figures.predictive import MAX_HISTOGRAMS, predictive_plot
