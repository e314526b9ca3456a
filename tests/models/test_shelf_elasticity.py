"""Elasticities of a shelf: known ones are found, and Dominick's orange juice is what the literature says."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flashsim.errors import InputError
from flashsim.models.shelf_elasticity import read_orange_juice, shelf_elasticities

TABLE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "dominicks_oj" / "oj.csv"


def made_shelf(*, stores: int = 40, weeks: int = 60, seed: int = 0) -> pd.DataFrame:
    """Two brands of elasticity -2 and -3, .8 steeper when featured; prices share a part, and cross effects are .5."""
    generator = np.random.default_rng(seed)
    shared = 0.15 * generator.standard_normal((stores, weeks))
    log_price = shared + 0.15 * generator.standard_normal((2, stores, weeks))
    featured = (generator.random((2, stores, weeks)) < 0.25) * 1.0
    rows = []
    for brand, slope in enumerate((-2.0, -3.0)):
        own, rival = log_price[brand], log_price[1 - brand]
        level = 3.0 + 0.5 * generator.standard_normal((stores, 1))
        log_units = level + (slope - 0.8 * featured[brand]) * own + 0.4 * featured[brand] + 0.5 * rival
        log_units += 0.3 * generator.standard_normal((stores, weeks))
        store, week = np.indices((stores, weeks))
        columns = {"store": store, "week": week, "units": np.exp(log_units), "price": np.exp(own)}
        columns["featured"] = featured[brand]
        rows.append(pd.DataFrame({"brand": "ab"[brand]} | {name: values.ravel() for name, values in columns.items()}))
    return pd.concat(rows, ignore_index=True)


def by_brand_and_kind(found: pd.DataFrame) -> dict[tuple[str, str], dict[Any, Any]]:
    return {(row["brand"], row["kind"]): row for row in found.to_dict("records")}


def test_known_elasticities_are_inside_their_intervals() -> None:
    found = by_brand_and_kind(shelf_elasticities(made_shelf(), confidence=0.999))
    for brand, slope in (("a", -2.0), ("b", -3.0)):
        for kind, truth in (("plain", slope), ("featured", slope - 0.8), ("difference", -0.8)):
            row = found[brand, kind]
            assert row["low"] <= truth <= row["high"]
            assert row["high"] - row["low"] < 0.6


def test_equal_seeds_give_equal_intervals_and_few_stores_are_refused() -> None:
    shelf = made_shelf(stores=12)
    pd.testing.assert_frame_equal(shelf_elasticities(shelf, seed=3), shelf_elasticities(shelf, seed=3))
    with pytest.raises(InputError, match="3 stores are too few"):
        shelf_elasticities(shelf[shelf["store"] < 3])
    with pytest.raises(InputError, match="column 'featured' is missing"):
        shelf_elasticities(shelf.drop(columns="featured"))


@pytest.mark.skipif(not TABLE.is_file(), reason="shared/data/dominicks_oj is not there")
def test_orange_juice_is_as_elastic_as_published_and_steeper_when_featured() -> None:
    """Average elasticities about -2.5 to -3.2; every interval is clear of -2 and -4, and features steepen demand."""
    table = read_orange_juice(TABLE)
    assert len(table) == 28_947
    assert table["store"].nunique() == 83
    found = by_brand_and_kind(shelf_elasticities(table))
    for brand in ("dominicks", "minute.maid", "tropicana"):
        average = found[brand, "average"]
        assert -3.3 < average["low"] < average["high"] < -2.4
        assert -3.2 < average["elasticity"] < -2.5
        assert found[brand, "difference"]["high"] < 0.0
