"""Every flaw of a table of traffic has one stated outcome."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flashsim.data.traffic import WORLD_CUP_COLUMNS, checked_traffic, read_traffic, visits_by_minute
from flashsim.errors import InputError
from tests.data.world_cup import WORLD_CUP_TABLE, needs_world_cup

DAYS = 4


def make_table(*, days: float = DAYS, step_minutes: int = 1) -> pd.DataFrame:
    minutes = np.arange(0, int(days * 1440), step_minutes)
    visits = 100.0 + 50.0 * np.sin(minutes * 2 * np.pi / 1440)
    date = pd.Timestamp("2026-03-01") + pd.to_timedelta(minutes, unit="min")
    return pd.DataFrame({"date": date, "visits": visits.round(), "clicks": 3.0, "response_time_s": 0.2})


def test_a_whole_table_becomes_its_minutes() -> None:
    table = make_table()
    series = visits_by_minute(table)
    assert series.visits.tolist() == table["visits"].tolist()
    assert series.start == pd.Timestamp("2026-03-01")
    assert series.index_of("2026-03-02 00:05") == 1445
    assert series.account.merged == series.account.absent == series.account.empty == 0
    with pytest.raises(InputError, match="outside the series"):
        series.index_of("2026-04-01")


def test_gaps_and_empty_minutes_stay_missing_and_are_counted() -> None:
    table = make_table()
    table.loc[[5, 6], "visits"] = np.nan
    series = visits_by_minute(table.drop(index=range(100, 160)))
    assert np.flatnonzero(np.isnan(series.visits)).tolist() == [5, 6, *range(100, 160)]
    assert (series.account.absent, series.account.empty, series.account.longest_gap_minutes) == (60, 2, 60)
    assert "62 minutes are missing (60 without a row, 2 empty)" in " ".join(series.account.sentences())


def test_clocks_that_jump_forward_leave_missing_minutes() -> None:
    table = make_table()
    later = table["date"].where(table.index < 2000, table["date"] + pd.Timedelta(hours=1))
    series = visits_by_minute(table.assign(date=later))
    assert np.isnan(series.visits).sum() == 60
    assert series.visits.size == len(table) + 60


def test_equal_duplicates_are_merged_and_counted() -> None:
    table = make_table()
    table.loc[20, "visits"] = np.nan
    doubled = pd.concat([table, table.iloc[[10, 20]]]).sort_values("date", kind="stable")
    series = visits_by_minute(doubled)
    assert series.account.merged == 2
    assert series.visits.size == len(table)


def test_seconds_within_a_minute_do_not_matter() -> None:
    table = make_table()
    shifted = visits_by_minute(table.assign(date=table["date"] + pd.Timedelta(seconds=17)))
    assert (shifted.visits == visits_by_minute(table).visits).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.iloc[:0], "is empty; bring at least 3 days"),
        (lambda t: t.iloc[:1440], "spans 1.00 days, at least 3 are needed"),
        (lambda t: t.assign(visits=0.0), "all visits are 0"),
        (lambda t: t.assign(visits=np.nan), "100% of the minutes are missing"),
        (lambda t: t.iloc[::2], "rows are 2 minutes apart"),
        (lambda t: t.assign(visits=t["visits"].where(t.index != 7, -1.0)), "column 'visits' has -1.0 in row 7"),
        (lambda t: t.assign(visits=t["visits"].where(t.index != 7, np.inf)), "column 'visits' has inf in row 7"),
        (lambda t: t[t.index % 4 != 3], "25% of the minutes are missing, at most 20%"),
        (lambda t: t.assign(visits="many"), "column 'visits' is not numeric"),
        (lambda t: t.assign(response_time_s=-0.5), "column 'response_time_s' has -0.5 in row 0"),
        (lambda t: t.drop(columns="visits"), "column 'visits' is missing"),
        (lambda t: t.drop(columns="date"), "column 'date' is missing"),
        (lambda t: t.assign(date="noon"), "column 'date' does not hold stamps"),
        (lambda t: t.assign(date=t["date"].dt.tz_localize("UTC")), "give stamps in UTC without a zone"),
        (lambda t: t.assign(date=t["date"].where(t.index != 9)), r"column 'date' is empty \(NaN\) in row 9"),
        (lambda t: t.iloc[::-1], "the clock jumps back in row 1, from 2026-03-04 23:59:00 to 2026-03-04 23:58:00"),
        (
            lambda t: t.assign(date=t["date"].where(t.index < 3000, t["date"] - pd.Timedelta(hours=1))),
            "the clock jumps back in row 3000",
        ),
        (
            lambda t: pd.concat([t, t.iloc[[10]].assign(visits=7.0)]).sort_values("date", kind="stable"),
            r"row 11 repeats the minute of the row before with 7 visits instead of \d+",
        ),
    ],
)
def test_what_cannot_be_mended_is_refused(change: Callable[[pd.DataFrame], pd.DataFrame], words: str) -> None:
    with pytest.raises(InputError, match=words) as refusal:
        visits_by_minute(change(make_table()))
    assert "\n" not in str(refusal.value)


def test_coarser_tables_are_told_from_gappy_ones() -> None:
    with pytest.raises(InputError, match="rows are 5 minutes apart"):
        visits_by_minute(make_table(step_minutes=5))


def test_columns_are_mapped_and_files_checked(tmp_path: Path) -> None:
    table = make_table()
    path = tmp_path / "traffic.csv"
    table.rename(columns={"date": "period", "visits": "count"}).to_csv(path, index=False)
    read = read_traffic(path, columns=WORLD_CUP_COLUMNS)
    pd.testing.assert_frame_equal(read, checked_traffic(table))
    table.to_parquet(tmp_path / "traffic.parquet")
    pd.testing.assert_frame_equal(read_traffic(tmp_path / "traffic.parquet"), read)
    with pytest.raises(InputError, match="has no column 'hits'"):
        read_traffic(path, columns={"visits": "hits"})
    with pytest.raises(InputError, match="does not exist"):
        read_traffic(tmp_path / "nowhere.csv")
    (tmp_path / "broken.parquet").write_bytes(b"no table")
    with pytest.raises(InputError, match="cannot be read as a table"):
        read_traffic(tmp_path / "broken.parquet")


@needs_world_cup
def test_the_world_cup_table_is_whole_but_for_ten_minutes() -> None:
    series = visits_by_minute(read_traffic(WORLD_CUP_TABLE, columns=WORLD_CUP_COLUMNS))
    assert (series.account.rows, series.account.minutes, series.account.absent) == (66_380, 66_390, 10)
