"""Demand as a response to price, where prices are not random and shelves run empty.

    ln rate(i) = level_p + elasticity_p·ln price(i) + covariates(i)·gamma_p + rho_p·control(i) + sigma_p·e(i)
    demand(i) ~ Poisson(rate(i)),   units(i) = min(demand(i), stock(i)),   e ~ N(0, 1)

The *control* is the part of the price that may have followed demand (:mod:`flashsim.models.price.price_control`).
Beside it, the part that is as good as random determines the price's own coefficient. When *we* set the price, the
control no longer depends on it; predictions average over the distribution of the control,

    E[demand | price, covariates] = exp(level + elasticity·ln price + covariates·gamma + sigma²/2)
                                    · mean_i exp(rho·control(i))

times what makes the means of a product add up to the units that it sold, where none of its days sold out: the mean of
a lognormal law rests on a tail that counts may not have.

Elasticities are never positive: a deeper discount never lowers demand. Their intervals follow Fieller and Anderson &
Rubin: they grow without bound as the instrument weakens, so a weak instrument cannot give a confident number.

    {b: (elasticity - b)² <= c²·[s² + (elasticity + rho - b)² / strength]},   strength = first-stage F × its degrees

Left out: the effect of one product's price on another's demand, lagged effects (pulled-forward demand), time (levels
are constant: pass seasons as covariates), elasticities that change with the price, and stock that is set with knowledge
of demand.

Source: Petrin & Train (2010), Journal of Marketing Research 47; Terza (1985), Economics Letters 18; Duan (1983), JASA
78, "Smearing estimate"; Fieller (1954), JRSS B 16; Anderson & Rubin (1949), Annals of Mathematical Statistics 20;
Bijmolt, van Heerde & Pieters (2005), Journal of Marketing Research 42 (1,851 published elasticities: -2.62, sd 2.21).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from safetensors.numpy import save as save_tensors

from flashsim.errors import InputError
from flashsim.files import UNSTATED_FORMAT, check_format, read_json, write_bytes, write_json
from flashsim.models.price.censored_counts import count_quantiles_of_lognormal_rate
from flashsim.models.price.price_control import WEAK_F, control_price
from flashsim.models.price.price_effects import CONFIDENCE, SLOPE, TAU, FittedResponse, explain, fit_response
from flashsim.models.price.sales_table import QUANTILES, SalesTable, read_sales
from flashsim.tensor_files import read_tensors

FEWEST_DAYS: Final = 30
"""With fewer distinct dates nothing is learned."""
EFFECTS_FILE, CARD_FILE = "price_response.safetensors", "price_response.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Diagnosis:
    """What the response rests on, and what is wrong with it, in words."""

    basis: str
    """instrument, product and week effects, or product effects."""
    first_stage_f: float
    """Smallest F over products; NaN without an instrument."""
    is_identified: bool
    """Whether the instrument is strong enough. Without an instrument False: prices are then assumed to be as good as
    random."""
    sold_out_share: float
    """Share of rows that say only that demand was at least the stock."""
    words: tuple[str, ...]
    """Sentences for a report."""


class PriceResponse:
    """Demand at prices that the shop sets, learned where prices follow demand and shelves run empty."""

    def __init__(self) -> None:
        self._fitted: FittedResponse | None = None

    def fit(self, table: pd.DataFrame) -> Self:
        """Learn from a table of sales. InputError when it cannot show a response (one price, few days, no sale)."""
        sales = read_sales(table)
        _check_extent(sales, table["date"].nunique())
        self._fitted = fit_response(sales, control_price(sales))
        return self

    def predict(self, table: pd.DataFrame, *, levels: tuple[float, ...] = QUANTILES) -> pd.DataFrame:
        """Predict unconstrained demand at the prices of ``table`` (product_id, price, the covariates of the fit).

        Columns: ``mean``; one column for each level, such as ``q0.05``; ``is_extrapolated`` where the product never had
        such a price. The quantiles contain the uncertainty of the fit, so they widen away from the prices that were
        seen.
        """
        fitted = self._learned()
        if not levels or not all(0.0 < level < 1.0 for level in levels):
            raise InputError(f"levels must lie between 0 and 1, got {levels}")
        product, log_price, design = fitted.lay_out(table)
        effects = fitted.effects[product]
        location = (design * effects[:, :-1]).sum(axis=1)
        mean = fitted.mean(product, design)
        unsure = np.einsum("ik,ikl,il->i", design, fitted.covariance[product][:, :-1, :-1], design)
        spread = np.sqrt(np.exp(2.0 * effects[:, TAU]) + fitted.control_variance[product] + unsure)
        quantiles = count_quantiles_of_lognormal_rate(location, spread, levels=levels)
        low, high = fitted.price_range[product].T
        columns: dict[str, Any] = {"mean": mean}
        columns |= {f"q{level:g}": column for level, column in zip(levels, quantiles, strict=True)}
        columns["is_extrapolated"] = (log_price < low - 1e-9) | (log_price > high + 1e-9)
        return pd.DataFrame(columns, index=table.index)

    def elasticities(self, *, confidence: float = CONFIDENCE) -> pd.DataFrame:
        """One row a product: product_id, elasticity, low, high (may be infinite), first_stage_f, is_identified."""
        fitted = self._learned()
        low, high = fitted.intervals(confidence=confidence).T
        return pd.DataFrame(
            {
                "product_id": fitted.product_ids,
                "elasticity": fitted.effects[:, SLOPE],
                "low": low,
                "high": high,
                "first_stage_f": fitted.first_stage_f,
                "is_identified": fitted.first_stage_f >= WEAK_F,
            }
        )

    @property
    def diagnosis(self) -> Diagnosis:
        """What the response rests on."""
        fitted = self._learned()
        f = float(np.min(fitted.first_stage_f))
        return Diagnosis(fitted.basis, f, f >= WEAK_F, fitted.sold_out_share, explain(fitted))

    def save(self, folder: Path) -> None:
        """Write two files to ``folder``: arrays, and a card with their checksum."""
        fitted = self._learned()
        data = save_tensors({name: np.ascontiguousarray(values) for name, values in fitted.arrays().items()})
        write_bytes(folder / EFFECTS_FILE, data)
        facts = {
            "format_version": FORMAT_VERSION,
            "product_ids": list(fitted.product_ids),
            "covariates": list(fitted.covariate_names),
            "basis": fitted.basis,
            "sold_out_share": fitted.sold_out_share,
            "diagnosis": list(explain(fitted)),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        write_json(folder / CARD_FILE, facts)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a model that :meth:`save` wrote. InputError when a file is missing or was changed."""
        card = read_json(folder / CARD_FILE)
        seen = card.get("format_version", UNSTATED_FORMAT) if isinstance(card, dict) else UNSTATED_FORMAT
        again = "fit it again and save it: PriceResponse().fit(table).save(folder)"
        check_format(folder / CARD_FILE, seen, known=FORMAT_VERSION, make_anew=again)
        try:
            arrays = read_tensors(folder / EFFECTS_FILE, sha256=card["sha256"], advice="save the model again")
            fitted = FittedResponse(
                product_ids=tuple(card["product_ids"]),
                covariate_names=tuple(card["covariates"]),
                basis=card["basis"],
                sold_out_share=card["sold_out_share"],
                **arrays,
            )
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{folder / CARD_FILE} does not describe a price response ({error}); save it again"
            ) from error
        model = cls()
        model._fitted = fitted
        return model

    def _learned(self) -> FittedResponse:
        if self._fitted is None:
            raise InputError("the model has learned nothing yet; call fit(table) first")
        return self._fitted


def _check_extent(sales: SalesTable, days: int) -> None:
    """InputError where a table cannot show a response with any method."""
    if days < FEWEST_DAYS:
        raise InputError(f"the table covers {days} dates, at least {FEWEST_DAYS} are needed; bring more days")
    if np.ptp(sales.log_price) < 1e-9:
        raise InputError(
            f"every row has the price {np.exp(sales.log_price[0]):g}: "
            "nothing can be learned about other prices; vary it"
        )
    for product, name in enumerate(sales.product_ids):
        rows = sales.product == product
        if not rows.any():
            raise InputError(f"product {name!r} had no stock in any row; leave it out")
        if not sales.units[rows].any():
            raise InputError(f"product {name!r} never sold in {rows.sum()} rows; leave it out")
        if sales.is_sold_out[rows].all():
            raise InputError(
                f"product {name!r} sold out in each of its {rows.sum()} rows: its demand has no upper end; leave it out"
            )
