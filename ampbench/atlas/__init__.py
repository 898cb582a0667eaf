"""What is wrong with these samples? Checks for dropped modes, invented mass, wrong widths, shifts and tails."""
