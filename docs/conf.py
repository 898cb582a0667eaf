"""Sphinx settings.

The pages load nothing from elsewhere. Formulas are set by MathJax 3.2.2, ``es5/tex-svg.js`` of the npm package
``mathjax``: one file that holds its fonts; docs/decisions says why.
"""

from importlib.metadata import version as installed

project = "ampbench"
author = "The ampbench authors"
project_copyright = author
release = installed("ampbench")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
mathjax_path = "mathjax/tex-svg.js"
html_theme = "furo"
html_title = f"ampbench {release.split('.post')[0]}"
html_static_path = ["static"]
html_css_files = ["pages.css"]
exclude_patterns = ["_build", "example_plugin", "static"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
