"""The demo's report: one JSON file for programs, one HTML page for people."""

from sat2sound.clients.report.content import Report
from sat2sound.clients.report.page import render_page

__all__ = ["Report", "render_page"]
