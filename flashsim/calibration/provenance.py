"""Where every number of a World came from: the record that travels with it, as plain JSON values."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flashsim.calibration.assumptions import ASSUMPTIONS
from flashsim.calibration.site import Site
from flashsim.data.clean import RowAccount
from flashsim.data.panel import Panel
from flashsim.models.customers.mixture import CustomerTypes
from flashsim.models.demand.ensemble import Member
from flashsim.models.demand.negative_binomial import COVARIATES, DEPTH, DISPLAY, WEEK_SD, WEEK_STEP_SD, DisplayContrast
from flashsim.models.demand.response import MemberResponse
from flashsim.models.forecasting.backtest import Backtest
from flashsim.models.forecasting.validation import INTERVAL, Interval
from flashsim.surface import FLOOR, LARGEST_ERROR, PROBES, Table

_MODEL: Final = "negative-binomial log-linear model (flashsim/models/demand/negative_binomial.py)"
_BOOTSTRAP: Final = "; each member from a bootstrap over households × blocks of weeks"
FIELD_SOURCES: Final = {
    "name": "the name of the tables and the number of products",
    "currency": "currency of the tables",
    "product_ids": "chosen from the product table for how often and how widely their depth varied",
    "product_names": "product_type and package_size of the product table",
    "product_groups": "product_category; small categories pooled by department",
    "segment_names": "kinds of households, from how they shop in the other half of the weeks: see segments",
    "list_price": "median of (sales_value + retail_disc + coupon_match_disc) / quantity over the product's lines",
    "unit_cost": "assumption: see assumptions",
    "depth_grid": "steps of 5 % to 60 %, fine enough for the bound of interpolation",
    "units_per_minute": f"{_MODEL}; split by multinomial shares of segments and smoothed hour profiles, local time; "
    "without display or mailer, on an average day of the weeks in the table" + _BOOTSTRAP,
    "display_effect": f"{_MODEL}, drawn towards the contrast of stores that differ in the same week "
    "(flashsim/models/demand/display.py); for all stores on display" + _BOOTSTRAP,
    "mailer_effect": f"{_MODEL}; for all stores in the mailer. Mailers go out chain-wide, together with deep "
    "discounts, so the two are told apart less well than the interval suggests" + _BOOTSTRAP,
    "weekday_factor": f"{_MODEL}, weighted by units of the World's products" + _BOOTSTRAP,
    "frailty_common_variance": "covariance between products of one-week-ahead errors of a day; blocks of weeks redrawn",
    "frailty_product_variance": "variance of the same errors beyond buying several at once and the common factor; "
    "blocks of weeks redrawn",
    "conversion_at_list": "assumption: see assumptions",
    "traffic_share": "assumption: see assumptions",
    "population": "assumption: see assumptions",
    "training_members": "the first members drawn; members are exchangeable",
    "heldout_members": "the rest",
    "supported_depth": "95 % of discounted lines are no deeper",
    "service_rate": "see site: servers",
    "unloaded_latency_s": "see site: servers",
    "rush_amplitude": "see site: rush",
    "rush_ramp_minutes": "see site: rush",
    "rush_hold_minutes": "see site: rush",
    "rush_decay_minutes": "see site: rush",
    "buyer_value": "see site: buyers",
}
NOT_IDENTIFIED: Final = (
    "visits: transactions show buyers only, so conversion and the share of uplift that is traffic are assumptions",
    "unit costs",
    "the size of the shop",
    "what one product's discount does to another: it arises in the choice model of the simulated sale, not from data",
    "demand pulled forward in substitutes: what follows a purchase is estimated for the product itself (see fidelity)",
    "some confounding of discounts with unrecorded support: prices were not random",
)


@dataclass(frozen=True)
class Evidence:
    """What a calibration found on its way."""

    account: RowAccount
    panel: Panel
    kinds: CustomerTypes
    display: DisplayContrast
    backtest: Backtest
    center: Member
    members: tuple[Member, ...]
    realized_price: float
    """Revenue over regular value, all kept lines."""
    site: Site
    """What was learned of the web site, or taken from elsewhere."""

    @property
    def households(self) -> int:
        """Households of the panel."""
        return len(self.kinds.segments.household_ids)


def describe(evidence: Evidence, *, products: NDArray[np.intp], facts: dict[str, Any]) -> dict[str, Any]:
    """The provenance of a World of ``products`` (panel indices); ``facts`` (notice, checksums, settings …) lead it."""
    panel = evidence.panel
    return facts | {
        "fields": dict(FIELD_SOURCES),
        "assumptions": [asdict(assumption) for assumption in (*ASSUMPTIONS, *evidence.site.assumptions)],
        "site": evidence.site.record,
        "not_identified": list(NOT_IDENTIFIED),
        "rows": evidence.account.rows(),
        "panel": {
            "products": panel.n_products,
            "weeks": panel.n_weeks,
            "first_day": panel.first_monday.isoformat(),
            "last_day": (panel.first_monday + timedelta(days=7 * panel.n_weeks - 1)).isoformat(),
            "days_closed": int((~panel.is_open).sum()),
            "households": evidence.households,
            "realized_price": evidence.realized_price,
            "unknown_depth_product_weeks": int(np.isnan(panel.depth).sum()),
            "depth_imputation": "a store or day without a sale takes the week's mean over stores that sold; a week "
            "without any sale takes the product's mean depth in weeks of the same promotion status, never 0 by default",
        },
        "model": _describe_model(evidence),
        "products": _describe_products(evidence, products),
        "segments": _describe_segments(evidence),
        "scores": describe_backtest(evidence.backtest),
    }


def describe_tables(tables: Sequence[Table]) -> dict[str, Any]:
    """How far the members' tables, as the simulated sale reads them, are from their models, as JSON."""
    return {
        "what": f"largest |table - model| over max(rate, {FLOOR:.0%} of the cell's peak) at {PROBES} random depths × "
        f"{PROBES} random minutes of each cell; a table beyond the bound is not made",
        "bound": LARGEST_ERROR,
        "error": max(table.error for table in tables),
        "hours": "where a model knows hours alone, the rate runs smoothly within them and keeps what each sells",
    }


def describe_segments_held(responses: Sequence[MemberResponse]) -> dict[str, Any]:
    """How far segments were moved so that none falls with depth, as JSON."""
    return {
        "what": "largest share of a segment's rate by which it was held not to fall with depth; taken from what the "
        "other segments gain, so that their sum is the demand model's",
        "moved": max(response.moved for response in responses),
    }


def describe_backtest(backtest: Backtest) -> dict[str, Any]:
    """Scores, rivals and reductions with their intervals, as JSON."""
    wape, pinball = backtest.better_naive()
    return {
        "what": "daily units by product; fitted on the weeks before each origin, promotion plan known, levels from a "
        "filter that sees the past only",
        "weeks_scored": list(backtest.weeks),
        "origins": list(backtest.origins),
        "product_days": backtest.scored_product_days,
        "units": backtest.scored_units,
        "interval": f"{INTERVAL[0]:.0%} to {INTERVAL[1]:.0%}, bootstrap over blocks of two weeks",
        "forecasts": [
            {"forecast": name, "wape": _interval(scores[0]), "pinball": _interval(scores[1])}
            for name, scores in backtest.scores.items()
        ],
        "reductions": [
            {"against": name, "wape": _interval(reduction[0]), "pinball": _interval(reduction[1])}
            for name, reduction in backtest.reductions.items()
        ],
        "reduction_against_better_naive": {"wape": _interval(wape), "pinball": _interval(pinball)},
        "poisson_floor": {"wape": backtest.floor[0], "pinball": backtest.floor[1]},
    }


def _describe_model(evidence: Evidence) -> dict[str, Any]:
    model = evidence.center.model
    return {
        "family": "negative binomial, log link; one-week-ahead level filter; separate moments of dispersion",
        "covariates": list(COVARIATES),
        "overall_slopes": model.overall_slopes.tolist(),
        "slope_sd_within_groups": model.slope_sd.tolist(),
        "slope_sd_between_groups": model.group_slope_sd.tolist(),
        "week_effect_sd": WEEK_SD,
        "week_effect_step_sd": WEEK_STEP_SD,
        "display_contrast": {"effect": evidence.display.effect, "spread": evidence.display.spread},
        "groups": [
            {"group": name, "products": int((model.group_of == g).sum()), "depth_slope": float(slope)}
            for g, (name, slope) in enumerate(zip(evidence.panel.groups, model.group_slopes[:, DEPTH], strict=True))
        ],
    }


def _describe_products(evidence: Evidence, products: NDArray[np.intp]) -> list[dict[str, Any]]:
    slopes = np.stack([member.model.slopes[products, DEPTH] for member in evidence.members])
    displays = np.stack([member.model.slopes[products, DISPLAY] for member in evidence.members])
    alphas = np.stack([member.dispersion.alpha[products] for member in evidence.members])
    records = []
    for i, product in enumerate(products):
        uplift = np.exp(0.3 * slopes[:, i])
        records.append(
            {
                "product_id": str(evidence.panel.product_ids[product]),
                "name": evidence.panel.product_names[product],
                "group": evidence.panel.groups[evidence.panel.group_of[product]],
                "units_per_day": float(evidence.center.units_per_day[product]),
                "depth_slope": float(evidence.center.model.slopes[product, DEPTH]),
                "depth_slope_se": float(slopes[:, i].std(ddof=1)) if len(slopes) > 1 else 0.0,
                "uplift_at_30_percent": float(np.exp(0.3 * evidence.center.model.slopes[product, DEPTH])),
                "uplift_interval": [float(bound) for bound in np.quantile(uplift, INTERVAL)],
                "display_effect": float(evidence.center.model.slopes[product, DISPLAY]),
                "display_effect_se": float(displays[:, i].std(ddof=1)) if len(displays) > 1 else 0.0,
                "dispersion": float(evidence.center.dispersion.alpha[product]),
                "dispersion_interval": [float(bound) for bound in np.quantile(alphas[:, i], INTERVAL)],
                "clumping": float(evidence.panel.clumping[product]),
            }
        )
    return records


def _describe_segments(evidence: Evidence) -> dict[str, Any]:
    segments = evidence.kinds.segments
    counts = np.bincount(segments.segment.ravel(), minlength=len(segments.names))
    shares = evidence.center.shares
    return {
        "number": evidence.kinds.record,
        "segments": [
            {
                "segment": name,
                "share_of_households": float(counts[s] / counts.sum()),
                "slope_against_last_segment": float(shares.common_slope[s]),
            }
            | evidence.kinds.described[s]
            for s, name in enumerate(segments.names)
        ],
    }


def _interval(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}
