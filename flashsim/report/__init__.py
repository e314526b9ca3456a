"""From a comparison to a page that lets a person decide."""

from flashsim.report.page import ReportContext, write_report

__all__ = ["ReportContext", "write_report"]
