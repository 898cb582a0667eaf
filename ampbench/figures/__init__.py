"""The figures of posteriors and of their predictions, and the style of all figures."""
