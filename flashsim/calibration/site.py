"""What a World takes from a shop's web site: how a rush runs, how fast the servers are, what a buyer is worth later.

    from flashsim.calibration.site import SiteRecords
    calibrate(tables, seed=0, site=SiteRecords(traffic=read_traffic(path), servers=12, purchases=purchases))

    rush      from a table of visits by the minute that holds three rushes; else that of the 1998 World Cup site
    servers   from visits with response times and the number of servers that answered; else measured on a loopback
              server, where a load is given; else the World's own stated assumption
    buyers    from purchases by customer; else those of CDNOW, whose money is USD of 1997: a World in another currency
              then counts a buyer's return as 0, and says so

A table that cannot be used for one of the three is not used for it: the reason stands in the record. What is not the
shop's own is listed with the assumptions. Measured on a loopback server, a World is no longer the same from run to run.
"""

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.calibration.assumptions import Assumption
from flashsim.data.purchases import summarize_purchases
from flashsim.data.traffic import MINUTES_A_DAY, checked_traffic, visits_by_minute
from flashsim.errors import InputError, Unavailable
from flashsim.models.customers.cdnow import RepeatBuying, fit_repeat_buying
from flashsim.models.customers.cdnow import load_shipped as load_cdnow
from flashsim.models.traffic.latency import LatencyFit, fit_latency
from flashsim.models.traffic.loopback import Load, measure_loopback
from flashsim.models.traffic.rush import PARAMETERS, RushModel, fit_rushes
from flashsim.models.traffic.world_cup import load_shipped as load_world_cup

HORIZON_WEEKS: Final = 52.0
"""Time over which a buyer's later purchases count."""
LATENCY_DAYS: Final = 2
"""Days on either side of the busiest minute from which servers are learned: what tells is the load near saturation."""
MEASURED: Final = "a loopback server under a bounded load"
"""Source of servers that were measured."""
_UNITS: Final = {"service_rate": "visits a minute that a server completes", "unloaded_latency_s": "seconds"}
Learned = TypeVar("Learned")


@dataclass(frozen=True)
class SiteRecords:
    """What a shop knows of its web site; any part may be missing."""

    traffic: pd.DataFrame | None = None
    """date, visits and optionally response_time_s, one row a minute (:mod:`flashsim.data.traffic`)."""
    servers: int | None = None
    """How many servers answered these visits; needed to tell a service from a wait."""
    purchases: pd.DataFrame | None = None
    """customer_id, date, units, value in the currency of the tables (:mod:`flashsim.data.purchases`)."""
    load: Load | None = None
    """Load under which a loopback server is measured where ``traffic`` says nothing of servers."""


class Site(NamedTuple):
    """Fields of a World, and where they came from."""

    fields: dict[str, Any]
    assumptions: tuple[Assumption, ...]  # what is not the shop's own
    record: dict[str, Any]  # source of each part, as JSON


def learn_site(records: SiteRecords, *, currency: str, margin: float, assumed: Mapping[str, float], seed: int) -> Site:
    """Learn what ``records`` hold, and take the rest from elsewhere.

    ``margin`` is the gross margin as a share of revenue; ``assumed`` holds service_rate (1/minute) and
    unloaded_latency_s of servers of which nothing is known; ``seed`` draws the load of a loopback server.
    """
    parts = (
        _rush(records),
        _servers(records, assumed=assumed, seed=seed),
        _buyers(records, currency=currency, margin=margin),
    )
    return Site(
        {field: value for part in parts for field, value in part.fields.items()},
        tuple(assumption for part in parts for assumption in part.assumptions),
        {name: part.record for name, part in zip(("rush", "servers", "buyers"), parts, strict=True)},
    )


def _rush(records: SiteRecords) -> Site:
    def own(table: pd.DataFrame) -> RushModel:
        return fit_rushes(visits_by_minute(table).visits).model

    model = _learned(own, records.traffic, absent="no traffic_data was given")
    if not isinstance(model, Unavailable):
        return Site(_rush_fields(model), (), {"source": "traffic_data", "rushes": list(model.sentences())})
    why = model.reason
    shipped = load_world_cup()
    fields = _rush_fields(shipped.rush)
    spread = np.exp(np.sqrt(np.diag(shipped.rush.covariance)))
    assumptions = [
        Assumption(
            field,
            value,
            value,
            "multiple of ordinary demand" if field == "rush_amplitude" else "minutes",
            f"As in the {shipped.rush.rushes} rushes of the 1998 World Cup site, which differ by ×/÷ {factor:.2g}: a "
            f"crowd that comes for an announced event. Not this shop's: {why}. ({shipped.provenance['credit']})",
        )
        for (field, value), factor in zip(fields.items(), spread, strict=True)
    ]
    record = {"source": shipped.provenance["source"], "credit": shipped.provenance["credit"], "why_not_own": why}
    return Site(fields, tuple(assumptions), record | {"rushes": list(shipped.rush.sentences())})


def _rush_fields(model: RushModel) -> dict[str, float]:
    return {f"rush_{name}": float(value) for name, value in zip(PARAMETERS, astuple(model.typical), strict=True)}


def _servers(records: SiteRecords, *, assumed: Mapping[str, float], seed: int) -> Site:
    def own(table: pd.DataFrame) -> LatencyFit:
        if "response_time_s" not in table or records.servers is None:
            raise InputError("traffic_data lacks response_time_s, or the number of servers was not given")
        visits = visits_by_minute(table).visits
        part = _around_the_top(visits)
        return fit_latency(visits[part], response_time_s=_by_minute(table)[part], servers=records.servers)

    def loopback(load: Load) -> LatencyFit:
        table = measure_loopback(load, seed=seed)
        seen = table["response_time_s"].to_numpy()
        return fit_latency(table["visits"].to_numpy(), response_time_s=seen, servers=load.servers, tick_s=load.tick_s)

    fit = _learned(own, records.traffic, absent="no traffic_data was given")
    source, why = ("traffic_data", "") if isinstance(fit, LatencyFit) else (MEASURED, fit.reason)
    if isinstance(fit, Unavailable) and records.load is not None:
        fit = loopback(records.load)
    if isinstance(fit, Unavailable):
        reason = f"A server is an application node with its share of all behind it. Not measured: {why}."
        assumptions = tuple(
            Assumption(name, assumed[name], assumed[name], unit, reason) for name, unit in _UNITS.items()
        )
        return Site(dict(assumed), assumptions, {"source": "assumption", "why_not_own": why})
    model = fit.model
    fields = {"service_rate": 60.0 * model.service_rate, "unloaded_latency_s": model.unloaded_response_s}
    record = {"source": source, "servers": model.servers, "fit": list(fit.sentences())}
    return Site(fields, (), record if source == "traffic_data" else record | {"why_not_own": why})


def _by_minute(table: pd.DataFrame) -> NDArray[np.float64]:
    """(minute,) response times on the clock of :func:`visits_by_minute`; NaN where none was measured."""
    stamps = checked_traffic(table)
    minute = stamps["date"].dt.floor("min")
    seen = stamps.groupby(minute)["response_time_s"].mean()
    clock = pd.date_range(minute.iloc[0], minute.iloc[-1], freq="min")
    return seen.reindex(clock).to_numpy(np.float64)


def _around_the_top(visits: NDArray[np.float64]) -> slice:
    """The minutes around the busiest, up to ``LATENCY_DAYS`` days either way and to the next missing minute."""
    top, reach = int(np.nanargmax(visits)), LATENCY_DAYS * MINUTES_A_DAY
    holes = np.flatnonzero(np.isnan(visits))
    before, after = holes[holes < top], holes[holes > top]
    first = max(top - reach, int(before[-1]) + 1 if before.size else 0)
    last = min(top + reach, int(after[0]) if after.size else visits.size)
    return slice(first, last)


def _buyers(records: SiteRecords, *, currency: str, margin: float) -> Site:
    def own(table: pd.DataFrame) -> RepeatBuying:
        fitted = fit_repeat_buying(summarize_purchases(table), provenance={"source": "purchases"})
        fitted.spending.mean_spend_of_new()  # InputError where it does not exist
        return fitted

    model = _learned(own, records.purchases, absent="no purchases were given")
    why, reason = "", ""
    if isinstance(model, Unavailable):
        why, model = model.reason, load_cdnow()
        reason = (
            f"{model.provenance['source']} {model.provenance['customers']} customers of a web shop. Not this shop's: "
            f"{why}; the households of a panel shop often by choice, so their return would overstate it."
        )
        if currency != "USD":
            reason = f"{why}, and CDNOW's money is USD, not {currency}: what a buyer buys later counts as 0"
            unknown = Assumption("buyer_value", 0.0, 0.0, currency, reason)
            return Site({"buyer_value": 0.0}, (unknown,), {"source": "none", "why_not_own": why})
    purchases, spend = model.later_purchases(HORIZON_WEEKS), model.spending.mean_spend_of_new()
    value = purchases * spend * margin
    record = {"later_purchases": purchases, "spend": spend, "margin": margin, "weeks": HORIZON_WEEKS}
    words = f"gross margin of later purchases in {HORIZON_WEEKS:g} weeks, {currency} a new buyer"
    assumptions = (Assumption("buyer_value", value, value, words, reason),) if reason else ()
    return Site(
        {"buyer_value": value}, assumptions, dict(model.provenance) | record | ({"why_not_own": why} if why else {})
    )


def _learned(
    learn: Callable[[pd.DataFrame], Learned], table: pd.DataFrame | None, *, absent: str
) -> Learned | Unavailable:
    """What ``learn`` makes of the table; ``absent`` is the reason where there is none."""
    if table is None:
        return Unavailable(absent)
    try:
        return learn(table)
    except InputError as refusal:
        return Unavailable(str(refusal))
