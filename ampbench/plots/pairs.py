from ampbench.figures.pairs import MAX_COMPONENTS, pair_plot
