"""Boosted trees as a response model: real steps in depth."""

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.surface import ResponseModel, read_day

Array = NDArray[np.float64]


def trees() -> ResponseModel:
    """Boosted trees fitted to counts whose mean is 2 exp(3 depth) over a day with one peak."""
    lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    generator = np.random.default_rng(0)
    depth, hour = generator.uniform(0.0, 0.6, 20_000), generator.uniform(0.0, 24.0, 20_000)
    mean = 2.0 * np.exp(3.0 * depth) * (1.0 + 0.8 * np.sin(2.0 * np.pi * (hour - 11.0) / 24.0))
    settings = {"objective": "poisson", "num_leaves": 15, "learning_rate": 0.1, "num_threads": 1, "verbose": -1}
    data = lightgbm.Dataset(np.column_stack([depth, hour]), label=generator.poisson(mean))
    booster = lightgbm.train(settings, data, num_boost_round=60)

    def rates(depths: Array, minutes: Array) -> Array:
        """The day is read by the hour, as members' profiles are: steps in depth are what is left."""
        places = np.column_stack([np.repeat(depths, 24), np.tile(np.arange(24) + 0.5, depths.size)])
        return read_day(np.asarray(booster.predict(places)).reshape(depths.size, 24), minutes)

    return rates
