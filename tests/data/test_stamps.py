"""Stamps as people write them: every way of writing one, and every hour that clocks skip or repeat."""

import pandas as pd
import pytest

from flashsim.data.stamps import Stamps, read_stamps

BERLIN = "Europe/Berlin"


def read(*text: str, time_zone: str = BERLIN, naive_zone: str = BERLIN) -> Stamps:
    return read_stamps(pd.Series(text), time_zone=time_zone, naive_zone=naive_zone)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-11", "2026-11-11"),
        ("2026/1/5", "2026-01-05"),
        ("20260304", "2026-03-04"),
        ("2026-11-11 20:00", "2026-11-11 20:00"),
        ("2026-11-11T20:00:30", "2026-11-11 20:00:30"),
        ("2026-11-11T19:00:00Z", "2026-11-11 20:00"),
        ("2026-07-11 20:00:00+08:00", "2026-07-11 14:00"),
        ("1794423600", "2026-11-11 20:00"),
        ("1794423600000", "2026-11-11 20:00"),
    ],
)
def test_dates_are_read_as_they_are_commonly_written(text: str, expected: str) -> None:
    stamps = read(text)
    assert stamps.reasons[0] == ""
    assert stamps.local[0] == pd.Timestamp(expected)


@pytest.mark.parametrize("text", ["03/04/2026", "2026-02-30", "2026-11-11 25:00", "tomorrow", "20:00", "46000"])
def test_what_could_be_two_days_or_none_is_not_guessed(text: str) -> None:
    assert "write 2026-11-11" in read("2026-01-01", text).reasons[1]
    assert read("2026-01-01", "").reasons[1] == "is empty"


def test_an_hour_that_the_spring_skips_never_was() -> None:
    stamps = read("2026-03-29 01:59", "2026-03-29 02:30", "2026-03-29 03:00")
    assert [bool(reason) for reason in stamps.reasons] == [False, True, False]
    assert "clocks went forward" in stamps.reasons[1]


def test_an_hour_that_the_autumn_repeats_is_known_as_such_with_and_without_a_zone() -> None:
    naive = read("2026-10-25 01:59", "2026-10-25 02:30", "2026-10-25 03:00")
    assert naive.happens_twice.tolist() == [False, True, False]
    aware = read("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z")
    assert aware.local.dt.hour.tolist() == [2, 2, 3]
    assert aware.happens_twice.tolist() == [True, True, False]


def test_stamps_of_another_zone_are_moved_but_days_are_not() -> None:
    stamps = read("2026-07-01 23:00", "2026-07-01", naive_zone="UTC")
    assert stamps.local.tolist() == [pd.Timestamp("2026-07-02 01:00"), pd.Timestamp("2026-07-01")]


def test_of_two_ways_of_writing_the_rarer_cannot_be_read() -> None:
    many = ["2026-05-01 10:00"] * 3
    stamps = read(*many, "2026-05-01T10:00:00Z")
    assert stamps.reasons.tolist()[:3] == ["", "", ""]
    assert "has a time zone, unlike most rows" in stamps.reasons[3]
    stamps = read(*(f"{stamp}Z" for stamp in many), "2026-05-01T10:00:00")
    assert "has no time zone, unlike most rows" in stamps.reasons[3]


def test_a_clock_that_jumped_by_years_is_told_from_the_rest() -> None:
    stamps = read("2026-05-01", "1970-01-01", "2026-05-02", "2062-05-03")
    assert ["a clock that jumped" in reason for reason in stamps.reasons] == [False, True, False, True]
    assert stamps.local.notna().tolist() == [True, False, True, False]


def test_a_table_of_several_years_without_a_long_silence_is_whole() -> None:
    stamps = read("2020-05-01", "2021-05-01", "2022-05-01", "2023-05-01")
    assert (stamps.reasons == "").all()
