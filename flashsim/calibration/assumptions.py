"""What transactions cannot tell, and what is assumed in its place: value or range, reason and source, in one list."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Assumption:
    """A quantity that the data do not identify; members draw from low … high."""

    field: str
    """The field of the World that it decides."""
    low: float
    """Least value."""
    high: float
    """Greatest value; the same as low where it is not varied."""
    unit: str
    """Unit of both."""
    reason: str
    """Why this value, with its source."""


CONVERSION_AT_LIST: Final = Assumption(
    "conversion_at_list",
    0.02,
    0.06,
    "units bought per visitor at list price",
    "Published benchmarks of web shops put all sectors near 3 % and food and beverage between 2.8 % and 10 % a month, "
    "about 6 % on average (Oberlo, Ecommerce conversion rate by industry, 2022 to 2024, after Dynamic Yield); drawn "
    "log-uniformly. Transactions show buyers, never visitors: not identified.",
)
TRAFFIC_SHARE: Final = Assumption(
    "traffic_share",
    0.2,
    0.6,
    "share of the log uplift that comes as extra visitors",
    "In store scanner data about one third of a promotion's extra units is category expansion, of which visits drawn "
    "from other stores are a part (van Heerde, Leeflang & Wittink 2004, Marketing Science 23(3), 317-334); a sale that "
    "is announced draws more visits than a shelf does, hence a wide range around it. Not identified.",
)
GROSS_MARGIN: Final = Assumption(
    "unit_cost",
    0.224,
    0.224,
    "gross margin as a share of revenue",
    "Kroger, fiscal 2016: sales of 115,337 and merchandise costs of 89,502 million USD (Form 10-K, quarterly data "
    "note). Unit cost = list price × (1 - margin) × revenue over regular value of all sale lines, the same share for "
    "every product. Costs are not in the data: not identified.",
)
CUSTOMERS: Final = Assumption(
    "population",
    500_000.0,
    500_000.0,
    "households",
    "The shop of a timed sale is taken to serve so many households that shop like the panel; a scenario may override "
    "it. Population = customers / households of the panel. Not identified.",
)
ASSUMPTIONS: Final = (CONVERSION_AT_LIST, TRAFFIC_SHARE, GROSS_MARGIN, CUSTOMERS)
