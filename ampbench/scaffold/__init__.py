"""New projects: an installable plugin with one component, which passes its conformance tests."""

from ampbench.scaffold.names import Names
from ampbench.scaffold.project import Project, project_of, write

__all__ = ["Names", "Project", "project_of", "write"]
