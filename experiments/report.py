"""Write the report of a finished run or evaluation again.

python -m experiments.report evaluation=outputs/run/2026-01-31_12-00-00
"""

from dataclasses import dataclass
from pathlib import Path

from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder
from experiments.pipeline.compare import report
from flashsim.errors import InputError


@dataclass(frozen=True)
class ReportConfig:
    """Where the evaluation is."""

    evaluation: str = ""
    """Folder of a finished run or evaluation."""
    output: str = dated("report")


@entry("report", ReportConfig)
def main(config: ReportConfig, folder: RunFolder) -> None:
    """Compare and write."""
    if not config.evaluation:
        raise InputError("evaluation: expected the folder of a finished run, got none; set evaluation=FOLDER")
    comparison = report(Path(config.evaluation), folder.path)
    print(f"Report: {folder.path / 'report.html'}\n{comparison}", flush=True)


if __name__ == "__main__":
    main()
