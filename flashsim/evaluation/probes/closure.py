"""Closure: with nothing in the way, a simulated sale at constant depth sells what the learned model says.

Stock, servers, payment and pushes are taken out of the way; then the mean of units asked for must equal the World's
expected units within 1 % and 4 standard errors, for each product at every depth of the menu. Visits, conversion and the
choice among products stand between the two, so this tests that they add nothing and lose nothing.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.scenarios import Failures, Scenario
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.inventory import StockParams
from flashsim.sim.streams import EVALUATION_DOMAIN

TOLERANCE = 0.01
STANDARD_ERRORS = 4.0
_AMPLE = 1e6
_ANY_NUMBER = 100  # units a person may buy


def unhindered(scenario: Scenario) -> Scenario:
    """The sale with stock, servers, payment, limits a person, pushes and failures out of the way."""
    servers = replace(
        scenario.servers, service_rate=_AMPLE, latency_sensitivity=0.0, start_servers=scenario.servers.max_servers
    )
    return replace(
        scenario,
        stock_cover=1e4,
        stock_units=None,
        waves=((0, 1.0),),
        pre_opening=0,
        servers=servers,
        carts=StockParams(payment_delay=0, payment_failure=0.0, cart_timeout=0),
        traffic=replace(scenario.traffic, push_budget=0),
        choice=replace(scenario.choice, limit=_ANY_NUMBER),
        failures=Failures(),
    )


def closure_table(scenario: Scenario, *, sales: int, seed: int, threads: int = 1) -> pd.DataFrame:
    """Learned and simulated units of each product at each depth, and whether they agree; on all members. The same for
    any number of ``threads``."""
    free = unhindered(scenario)
    sale = free.compile()
    sale = sale.with_members((*sale.training_members, *sale.heldout_members))
    per_buyer = free.choice.units_allowed  # rates count buyers
    rows = [
        _rows(sale, price_index, per_buyer=per_buyer, sales=sales, seed=seed, threads=threads)
        for price_index in range(sale.price_levels)
    ]
    return pd.DataFrame([row for depth in rows for row in depth])


def _rows(
    sale: CompiledSale, price_index: int, *, per_buyer: float, sales: int, seed: int, threads: int
) -> list[dict[str, object]]:
    action = ActionConfig(heads=("discount",), per_product=False)
    batch = SaleBatch(sale, sales, action=action, reward=RewardConfig(), domain=EVALUATION_DOMAIN, threads=threads)
    batch.seed(consecutive_seeds(seed, sales))
    batch.observe()
    members = batch.batch.rows(batch.batch.state.member)
    learned = per_buyer * sale.tables.rate[:, :, :, price_index].astype(np.float64).sum(axis=(0, 1))[:, members].T
    units = np.zeros((sales, sale.products))
    for _ in range(sale.ticks):
        batch.step(np.full((sales, 1), price_index))
        units += batch.batch.rows(batch.batch.ledger.requests)
    error = (units - learned).std(axis=0, ddof=1) / np.sqrt(sales)
    return [
        {
            "depth": float(sale.depths[product, price_index]),
            "product": name,
            "learned_units": float(learned[:, product].mean()),
            "simulated_units": float(units[:, product].mean()),
            "standard_error": float(error[product]),
            "holds": bool(
                abs(units[:, product].mean() - learned[:, product].mean())
                <= TOLERANCE * learned[:, product].mean() + STANDARD_ERRORS * error[product]
            ),
        }
        for product, name in enumerate(sale.product_names)
    ]
