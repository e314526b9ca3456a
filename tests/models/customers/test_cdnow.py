"""What travels of CDNOW are the published parameters, with their source, and no data."""

from dataclasses import astuple
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from flashsim.data.purchases import read_cdnow, summarize_purchases
from flashsim.errors import InputError
from flashsim.models.customers import cdnow
from flashsim.models.customers.cdnow import SHIPPED, fit_repeat_buying, load_shipped


def test_the_shipped_buyers_come_back_as_published() -> None:
    """Fader, Hardie & Lee (2005): E[X(39)] = 1.19672 and E[X(78)] = 1.86052 at parameters of three digits."""
    shipped = load_shipped()
    assert astuple(shipped.buying) == pytest.approx((0.243, 4.414, 0.793, 2.426), abs=5.1e-4)
    assert shipped.later_purchases(39.0) == pytest.approx(1.19672, abs=5e-3)
    assert shipped.later_purchases(78.0) == pytest.approx(1.86052, abs=5e-3)
    assert astuple(shipped.spending) == pytest.approx((6.25, 3.74, 15.44), abs=0.01)
    assert "Fader & Hardie" in shipped.provenance["source"]
    assert SHIPPED.stat().st_size < 2_000


def test_the_shipped_parameters_are_those_of_the_table() -> None:
    pytest.importorskip("lifetimes", reason="lifetimes, which carries CDNOW, is not installed", exc_type=ImportError)
    history = summarize_purchases(read_cdnow("sample"), end=date(1997, 9, 30))
    again, shipped = fit_repeat_buying(history, provenance={}), load_shipped()
    np.testing.assert_allclose(astuple(again.buying), astuple(shipped.buying), rtol=1e-4)
    np.testing.assert_allclose(astuple(again.spending), astuple(shipped.spending), rtol=1e-4)
    assert again.provenance["customers"] == shipped.provenance["customers"] == 2357


@pytest.mark.parametrize(
    ("text", "words"),
    [("{}", "does not hold repeat buying of format 1"), ('{"format": 1}', "lacks an entry .'buying'.; refit with")],
)
def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
    (tmp_path / "cdnow.json").write_text(text)
    monkeypatch.setattr(cdnow, "SHIPPED", tmp_path / "cdnow.json")
    with pytest.raises(InputError, match=words):
        load_shipped()
