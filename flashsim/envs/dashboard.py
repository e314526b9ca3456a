"""Reads features back from observations by their names, and the run-out price, a rule around which an agent may steer.

    run-out index   the price index at which a product's stock lasts just to the end, by forecast and learned level

Source: Gallego & van Ryzin (1994), Management Science 40(8), for the run-out price.
"""

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.features import observation_table
from flashsim.scenarios.compiled import CompiledSale


class Dashboard:
    """Reads features back from the observations of a sale."""

    def __init__(self, sale: CompiledSale) -> None:
        self.sale = sale
        self.columns = {feature.name: column for column, feature in enumerate(observation_table(sale))}
        self._run_out = [self.columns[f"product_{product}_run_out"] for product in range(sale.products)]

    def share(self, observation: NDArray[np.float32], name: str) -> NDArray[np.float64]:
        """A feature that is a share, (sale,)."""
        return observation[:, self.columns[name]].astype(np.float64)

    def ratio(self, observation: NDArray[np.float32], name: str) -> NDArray[np.float64]:
        """A feature that is shown as x/(1+x), as x, (sale,)."""
        shown = np.minimum(self.share(observation, name), 1.0 - 1e-6)
        return shown / (1.0 - shown)

    def run_out(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Price index (sale, product) nearest to that at which the stock lasts just to the end."""
        place = observation[:, self._run_out].astype(np.float64)
        return np.rint(place * (self.sale.price_levels - 1)).astype(np.int64)

    def servers_ordered(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Servers last ordered, (sale,)."""
        share = self.share(observation, "servers_ordered")
        return np.rint(share * self.sale.tables.servers.max_servers).astype(np.int64)

    def until_opening(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Ticks until the doors open, (sale,); 0 from then on."""
        if not self.sale.pre_opening:
            return np.zeros(observation.shape[0], np.int64)
        return np.rint(self.share(observation, "to_opening") * self.sale.pre_opening).astype(np.int64)

    def tick(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """The tick about to pass, (sale,); the first one before the opening."""
        ticks = self.sale.ticks
        past = np.rint((1.0 - self.share(observation, "time_left")) * ticks).astype(np.int64)
        return np.clip(past, 0, ticks - 1)
