"""``python -m ampbench``."""

from ampbench.cli import main

main()
