"""Reports: one self-contained page, or Markdown or PDF, from the results of one or several directories."""

from ampbench.report.content import Content as Content
from ampbench.report.gather import gather as gather
from ampbench.report.page import page as page
