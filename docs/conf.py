"""Sphinx settings."""

from importlib.metadata import version as installed

project = "ampbench"
author = "The ampbench authors"
project_copyright = author
release = installed("ampbench")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath"]
html_theme = "furo"
exclude_patterns = ["_build", "example_plugin"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
