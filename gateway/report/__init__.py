"""The report: one HTML file that says what a result shows, and how far to trust it."""

from gateway.report.latex import tex_tables
from gateway.report.page import render_report

__all__ = ["render_report", "tex_tables"]
