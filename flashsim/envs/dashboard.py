"""Reads features back from observations by their names, and the run-out price, a rule around which an agent may steer.

    run-out index   the price index at which a product's stock lasts just to the end, by forecast and learned level

Source: Gallego & van Ryzin (1994), Management Science 40(8), for the run-out price.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.features import observation_table
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.cache import compiled_inline


def ratio_shown(share: Any) -> Any:
    """x of what is shown as x/(1+x)."""
    shown = np.minimum(share, 1.0 - 1e-6)
    return shown / (1.0 - shown)


def count_shown(share: Any, most: int) -> Any:
    """The count of which ``share`` shows the share of ``most``."""
    return np.rint(share * most)


def tick_shown(time_left: Any, ticks: int) -> Any:
    """The tick about to pass, of ``ticks``."""
    return np.minimum(np.maximum(np.rint((1.0 - time_left) * ticks), 0.0), ticks - 1.0)


def tick_of_effect(tick: Any, until_opening: Any, lag: int, ticks: int) -> Any:
    """The tick of the sale, of ``ticks``, in which an order of now takes effect: ``tick`` is the next one of the sale,
    ``until_opening`` ticks away; the first where the order takes effect before the opening."""
    return np.minimum(np.maximum(tick - until_opening + lag, 0.0), ticks - 1.0)


read_ratio = compiled_inline(ratio_shown)  # the same for one number, in compiled code
read_count = compiled_inline(count_shown)
read_tick = compiled_inline(tick_shown)
read_tick_of_effect = compiled_inline(tick_of_effect)


class Dashboard:
    """Reads features back from the observations of a sale."""

    def __init__(self, sale: CompiledSale) -> None:
        self.sale = sale
        self.columns = {feature.name: column for column, feature in enumerate(observation_table(sale))}
        self.run_out_columns = self.of_products("run_out")

    def of_products(self, name: str) -> NDArray[np.int64]:
        """The column of a feature of each product, (product,)."""
        return np.array([self.columns[f"product_{product}_{name}"] for product in range(self.sale.products)], np.int64)

    def share(self, observation: NDArray[np.float32], name: str) -> NDArray[np.float64]:
        """A feature that is a share, (sale,)."""
        return observation[:, self.columns[name]].astype(np.float64)

    def ratio(self, observation: NDArray[np.float32], name: str) -> NDArray[np.float64]:
        """A feature that is shown as x/(1+x), as x, (sale,)."""
        ratio: NDArray[np.float64] = ratio_shown(self.share(observation, name))
        return ratio

    def run_out(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Price index (sale, product) nearest to that at which the stock lasts just to the end."""
        shares = observation[:, self.run_out_columns].astype(np.float64)
        return _whole(count_shown(shares, self.sale.price_levels - 1))

    def servers_ordered(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Servers last ordered, (sale,)."""
        return _whole(count_shown(self.share(observation, "servers_ordered"), self.sale.tables.servers.max_servers))

    def until_opening(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Ticks until the doors open, (sale,); 0 from then on."""
        if not self.sale.pre_opening:
            return np.zeros(observation.shape[0], np.int64)
        return _whole(count_shown(self.share(observation, "to_opening"), self.sale.pre_opening))

    def tick_of_effect(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """The tick in which servers ordered now take effect, (sale,)."""
        lag = self.sale.tables.servers.lag
        return _whole(tick_of_effect(self.tick(observation), self.until_opening(observation), lag, self.sale.ticks))

    def tick(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """The tick about to pass, (sale,); the first one before the opening."""
        return _whole(tick_shown(self.share(observation, "time_left"), self.sale.ticks))


def _whole(counts: NDArray[np.float64]) -> NDArray[np.int64]:
    return counts.astype(np.int64)
