"""How is it told? Comparisons of methods, published scores, tables, and the export to ArviZ."""
