"""A World that is deliberately not the one a policy was made for, under an operator who does not know.

    units(depth) = traffic · units(0) · (units(depth) / units(0))^elasticity

so that with elasticity 0.5 the log uplift of every discount is half of what was learned, and with traffic 2 twice as
many come. Conversion at list price stays, so twice the units are twice the visitors.

What it leaves out: costs, segments and the shape of the day stay as they were.
"""

from dataclasses import replace

import numpy as np

from flashsim.errors import InputError
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.parameters import check_range
from flashsim.world import World

_DEPTH_AXIS = 3  # of units_per_minute


def misspecified(world: World, *, elasticity: float = 0.5, traffic: float = 2.0) -> World:
    """``world`` with the response to depth raised to the power ``elasticity``, and ``traffic`` times the demand.

    It has no fidelity card: nothing like it was seen. InputError when a factor is negative.
    """
    check_range("elasticity", elasticity, 0.0, 100.0)
    check_range("traffic", traffic, 0.0, 1000.0)
    units = world.units_per_minute.astype(np.float64)
    at_list = units.take([0], axis=_DEPTH_AXIS)
    uplift = np.divide(units, at_list, out=np.ones_like(units), where=at_list > 0.0)
    facts = {name: fact for name, fact in world.provenance.items() if name != "fidelity"}
    changed = np.asarray(traffic * at_list * uplift**elasticity, dtype=np.float32)
    return replace(
        world,
        name=f"{world.name}, misspecified",
        units_per_minute=changed,
        provenance=facts | {"misspecified": {"elasticity": elasticity, "traffic": traffic, "of": world.fingerprint()}},
    )


def surprised(believed: CompiledSale, truth: CompiledSale) -> CompiledSale:
    """The sale ``believed``, its stock, servers and forecast as planned, to which people come as in ``truth``.

    InputError when the two are not the same sale on two Worlds.
    """
    if believed.tables.rate.shape != truth.tables.rate.shape or believed.product_names != truth.product_names:
        raise InputError(
            f"surprised: expected the same sale on two Worlds, got rates of {believed.tables.rate.shape} and "
            f"{truth.tables.rate.shape}; make both from one scenario"
        )
    people = ("rate", "conversion", "traffic_share", "common_variance", "product_variance")
    return replace(believed, tables=believed.tables._replace(**{name: getattr(truth.tables, name) for name in people}))
