"""The World Cup table that tests may read but the project does not carry."""

from pathlib import Path

import pytest

from flashsim.data.traffic import WORLD_CUP_COLUMNS, MinuteSeries, read_traffic, visits_by_minute

WORLD_CUP_TABLE = Path(__file__).resolve().parents[3] / "shared" / "data" / "worldcup98" / "requests_per_minute.csv"
needs_world_cup = pytest.mark.skipif(
    not WORLD_CUP_TABLE.is_file(), reason=f"the table of requests per minute is not at {WORLD_CUP_TABLE}"
)


def read_world_cup() -> MinuteSeries:
    return visits_by_minute(read_traffic(WORLD_CUP_TABLE, columns=WORLD_CUP_COLUMNS))
