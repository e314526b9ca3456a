"""From a comparison to a page that a person can decide from."""

from flashsim.report.page import ReportContext, write_report

__all__ = ["ReportContext", "write_report"]
