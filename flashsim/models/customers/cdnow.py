"""Repeat buying that the package ships: BG/NBD and Gamma-Gamma of CDNOW, a web shop, and how they were fitted.

    from flashsim.models.customers.cdnow import load_shipped
    shipped = load_shipped()
    shipped.later_purchases(52.0)                     # expected later purchases of a new buyer in a year
    shipped.spending.mean_spend_of_new()              # and what each is worth, USD
    print(shipped.provenance["source"])

This command refits from the file inside the package lifetimes, on the customers and weeks that the literature uses:

    python -m flashsim.models.customers.cdnow

The households of a grocer's loyalty panel cannot stand in for the buyers of a web shop. The panel chose them because
they shop often (a median of 43 visits a year in Complete Journey), so their return rate overstates that of a new buyer.
A shop's own purchases are better as soon as they cover some weeks. The file holds parameters, never the data.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from flashsim.data.purchases import CDNOW_NOTICE, PurchaseHistory, read_cdnow, summarize_purchases
from flashsim.errors import InputError
from flashsim.files import read_json, write_json
from flashsim.models.customers.retention import BgNbd, GammaGamma, fit_bg_nbd, fit_gamma_gamma

SHIPPED: Final = Path(__file__).with_name("cdnow.json")
FORMAT: Final = 1
REFIT: Final = "python -m flashsim.models.customers.cdnow"
END: Final = date(1997, 9, 30)
"""Last day of the weeks that the literature fits."""
DIGITS: Final = 6
"""Significant digits kept."""


@dataclass(frozen=True)
class RepeatBuying:
    """How often buyers come back, and how much they spend."""

    buying: BgNbd
    """Model of later purchases; its unit of time is a week."""
    spending: GammaGamma
    """Model of the spend of a later purchase; currency."""
    provenance: Mapping[str, Any]
    """Source, customers, period, method."""

    def later_purchases(self, weeks: float) -> float:
        """Expected purchases of a new buyer in the ``weeks`` after the first purchase."""
        return self.buying.expected_purchases_of_new(weeks)


def fit_repeat_buying(history: PurchaseHistory, *, provenance: Mapping[str, Any]) -> RepeatBuying:
    """Fit both models by maximum likelihood. InputError when the customers do not identify them."""
    again = history.spends_again
    if not again.any():
        raise InputError("no customer bought again for money, so there is nothing to learn; bring a longer time")
    buying = fit_bg_nbd(history.frequency, recency=history.recency_weeks, age=history.age_weeks)
    spending = fit_gamma_gamma(history.frequency[again], mean_spend=history.mean_spend[again])
    facts = {
        "customers": buying.customers,
        "bought_again": spending.customers,
        "method": "BG/NBD and Gamma-Gamma by maximum likelihood (flashsim/models/customers/retention.py)",
    }
    return RepeatBuying(buying.model, spending.model, {**provenance, **facts})


def load_shipped() -> RepeatBuying:
    """Load the parameters that the package ships. InputError when their file is damaged."""
    record = read_json(SHIPPED)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InputError(f"{SHIPPED} does not hold repeat buying of format {FORMAT}; refit with: {REFIT}")
    try:
        return RepeatBuying(BgNbd(**record["buying"]), GammaGamma(**record["spending"]), record["provenance"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{SHIPPED} lacks an entry ({error}); refit with: {REFIT}") from error


def main() -> None:
    """Fit on CDNOW's sample and write the whole file, or nothing."""
    source = {
        "source": CDNOW_NOTICE,
        "period": f"first purchases of January to March 1997, followed to {END.isoformat()}",
        "refit": REFIT,
    }
    fitted = fit_repeat_buying(summarize_purchases(read_cdnow("sample"), end=END), provenance=source)
    record = {
        name: {key: float(f"{value:.{DIGITS}g}") for key, value in asdict(model).items()}
        for name, model in (("buying", fitted.buying), ("spending", fitted.spending))
    }
    write_json(SHIPPED, record | {"format": FORMAT, "provenance": dict(fitted.provenance)})
    print(f"{fitted.later_purchases(52.0):.3g} later purchases a year of {fitted.spending.mean_spend_of_new():.4g} USD")


if __name__ == "__main__":
    main()
