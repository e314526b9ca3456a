"""From a comparison to a page that lets a person decide, and from a shop's data to one that shows what they tell."""

from flashsim.report.data_page import DataFacts, write_data_page
from flashsim.report.page import ReportContext, write_report

__all__ = ["DataFacts", "ReportContext", "write_data_page", "write_report"]
