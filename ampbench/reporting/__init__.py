"""Reports of results: comparisons of methods, published scores, tables, and the export to ArviZ."""
