"""Documentation that is made from code or runs as code."""

import re
from pathlib import Path

from flashsim.evaluation.kpis import kpi_markdown

ROOT = Path(__file__).resolve().parents[1]


def test_the_kpi_page_is_made_from_the_list_in_code() -> None:
    assert kpi_markdown() in (ROOT / "docs" / "kpis.md").read_text(encoding="utf-8")


def test_examples_of_the_readme_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
