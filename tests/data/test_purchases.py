"""Purchases become x, t_x and T by the stated conventions, and CDNOW is read as published."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flashsim.data.purchases import read_cdnow, summarize_purchases
from flashsim.errors import InputError


def make_purchases() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "customer_id": [7, 3, 3, 3, 3, 9],
            "date": pd.to_datetime(
                ["2026-01-05", "2026-01-01", "2026-01-15", "2026-01-15T18:00", "2026-01-29", "2026-03-01"],
                format="ISO8601",
            ),
            "units": [1, 1, 2, 1, 1, 1],
            "value": [5.0, 90.0, 10.0, 4.0, 6.0, 1.0],
        }
    )


def test_purchases_of_a_day_are_one_and_the_first_day_only_starts_the_clock() -> None:
    history = summarize_purchases(make_purchases(), end=date(2026, 2, 12))
    assert history.customer_ids.tolist() == [3, 7]  # 9 came after the end
    assert history.frequency.tolist() == [2, 0]
    assert history.recency_weeks == pytest.approx([4.0, 0.0])
    assert history.age_weeks == pytest.approx([6.0, 38 / 7])
    assert history.mean_spend == pytest.approx([(14.0 + 6.0) / 2, 0.0])
    assert history.spends_again.tolist() == [True, False]


def test_the_order_of_rows_does_not_matter_and_the_last_day_ends_by_default() -> None:
    table = make_purchases()
    shuffled = summarize_purchases(table.sample(frac=1.0, random_state=1))
    for one, other in zip(summarize_purchases(table), shuffled, strict=True):
        assert (one == other).all()
    assert shuffled.age_weeks[-1] == 0.0  # the customer of the last day


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.iloc[:0], "the table of purchases is empty"),
        (lambda t: t.drop(columns="value"), "column 'value' is missing"),
        (lambda t: t.drop(columns="date"), "column 'date' is missing"),
        (lambda t: t.assign(value=-1.0), "column 'value' has -1.0 in row 0, expected >= 0"),
        (lambda t: t.assign(value=t["value"].where(t.index != 2)), r"column 'value' is empty \(NaN\) in row 2"),
        (lambda t: t.assign(date=t["date"].where(t.index != 1)), r"column 'date' is empty \(NaN\) in row 1"),
        (lambda t: t.assign(date="yesterday"), "column 'date' holds .* expected dates"),
        (lambda t: t.assign(date=t["date"].dt.tz_localize("UTC")), "expected dates without a zone"),
        (lambda t: t.assign(date=t["date"] + pd.Timedelta(days=900)), "nobody bought up to 2026-02-12"),
    ],
)
def test_a_broken_table_is_refused(change: Callable[[pd.DataFrame], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        summarize_purchases(change(make_purchases()), end=date(2026, 2, 12))


def test_the_sample_is_the_published_one() -> None:
    """2,357 customers with 6,919 orders; the first has x = 2, t_x = 30.43, T = 38.86 (Fader, Hardie & Lee 2005)."""
    purchases = read_cdnow("sample")
    history = summarize_purchases(purchases, end=date(1997, 9, 30))
    assert (len(purchases), history.frequency.size) == (6919, 2357)
    assert history.frequency[0] == 2
    assert history.recency_weeks[0] == pytest.approx(30.43, abs=5e-3)
    assert history.age_weeks[0] == pytest.approx(38.86, abs=5e-3)


def test_the_sample_is_the_tenth_of_the_master() -> None:
    sample, master = read_cdnow("sample"), read_cdnow("master")
    assert master["customer_id"].nunique() == 23_570
    assert sample["value"].sum() == pytest.approx(master["value"].sum() / 10, rel=0.1)
    assert set(np.unique(sample["date"])) <= set(np.unique(master["date"]))


def test_a_missing_package_file_or_part_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="got 'whole'"):
        read_cdnow("whole")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"CDNOW_sample\.txt is missing"):
        read_cdnow("sample", folder=tmp_path)
    for text in ("no numbers here", "1 2 3", " 00004 0001 19979901  2   29.33"):
        (tmp_path / "CDNOW_sample.txt").write_text(text)
        with pytest.raises(InputError, match=r"CDNOW_sample\.txt"):
            read_cdnow("sample", folder=tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match="pip install 'lifetimes"):
        read_cdnow("master")
