"""Where every number of a World of a shop's own tables came from: table or base World, as plain JSON values."""

import copy
import dataclasses
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeVar

import numpy as np

from flashsim.calibration.assumptions import ASSUMPTIONS, GROSS_MARGIN
from flashsim.calibration.shop_surface import MOST_WHOLE
from flashsim.data.shop_tables import CheckedTables
from flashsim.errors import Unavailable
from flashsim.fidelity import FidelityCard, own_card
from flashsim.models.demand.daily_totals import ShopDemand
from flashsim.models.demand.member_levels import BLOCK_WEEKS
from flashsim.models.forecasting.validation import INTERVAL
from flashsim.world import World

BASE: Final = "base World"
"""Source of what the tables do not tell."""
Found = TypeVar("Found")


@dataclass
class Record:
    """What is learned from which table, written down while it is learned."""

    base: World
    sources: dict[str, str] = field(default_factory=dict)
    """Field of the World: the table that it is from."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Field of the World: how it came from there, in words."""
    not_learned: list[str] = field(default_factory=list)
    """What a table that is there does not tell, and why."""
    demand: ShopDemand | None = None
    similar: tuple[str, ...] = ()
    """What stands in for each product in the base World, in words."""
    names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    hours_from: str | None = None
    """Table of the hours of the day."""
    segments_from: str | None = None
    costs_given: tuple[str, ...] = ()
    """Products with a unit cost of their own."""
    tables: dict[str, Any] = field(default_factory=dict)
    """How far the tables are from what they were made of."""
    site: dict[str, Any] = field(default_factory=dict)
    """What traffic, or a loopback server, tells of servers and rushes."""
    promotions: dict[str, Any] | None = None
    """The back-test of past promotions; None without a table of sales."""

    def __post_init__(self) -> None:
        """Everything is the base World's until a table says otherwise."""
        for name in (part.name for part in dataclasses.fields(World) if part.name != "provenance"):
            self.set(name, BASE, "no table of yours tells it")

    @property
    def units_over_list(self) -> float:
        """Expected units at the prices asked over those at list prices; 1 where no table tells."""
        return 1.0 if self.demand is None else self.demand.units_over_list

    def set(self, name: str, source: str, words: str) -> None:
        """Enter where the field ``name`` came from."""
        self.sources[name], self.reasons[name] = source, words

    def enter(self, found: Found | Unavailable, names: tuple[str, ...], table: str, *, doing: str) -> Found | None:
        """``found``, its fields entered as from ``table``; None, with the reason noted, where it is unavailable."""
        if isinstance(found, Unavailable):
            self.not_learned.append(f"{doing}: {found.reason}; the base World's are taken")
            for name in names:
                self.set(name, BASE, found.reason)
            return None
        for name in names:
            self.set(name, table, f"{doing} of {table}")
        if doing == "segments":
            self.segments_from = table
        return found

    def enter_hours(self, found: Found | Unavailable, table: str) -> Found | None:
        """``found`` hours of the day, entered as from ``table``; None, with the reason noted, where unavailable."""
        if isinstance(found, Unavailable):
            self.not_learned.append(f"hours of the day: {found.reason}")
            return None
        self.hours_from = table
        return found

    def learn_from_sales(
        self,
        demand: ShopDemand,
        similar: tuple[str, ...],
        *,
        names: tuple[str, ...],
        groups: tuple[str, ...],
        own_currency: str,
    ) -> None:
        """Enter what a table of sales tells."""
        self.demand, self.similar = demand, similar
        self.names, self.groups = names, groups
        for name, words in _FROM_SALES.items():
            self.set(name, "sales_data", words)
        self.set("currency", "mapping", "as the mapping says")
        self.set("depth_grid", "fixed", "steps of 2.5 % to the deepest of the base World")
        if own_currency != self.base.currency:
            self.set("buyer_value", "fixed", f"0, for the base World's is in {self.base.currency}")
        self.set("mailer_effect", BASE, "sales_data does not tell mailers from other promotions")

    def finish(self) -> None:
        """Enter the fields that several tables may have made."""
        self.set("name", "mapping", "as the mapping says, and the number of products")
        demand = self.demand
        hours = self.hours_from or BASE
        if demand is None:
            if self.hours_from:
                self.set("units_per_minute", f"{hours} and {BASE}", f"hours of the day: {hours}; all else: {BASE}")
            return
        own = len(demand.product_ids) - len(demand.unidentified)
        response = f"sales_data for {own} of {len(demand.product_ids)} products" + (
            "" if not demand.unidentified else f", {BASE} for {', '.join(sorted(demand.unidentified)[:20])}"
        )
        segments = self.segments_from or BASE
        sources = dict.fromkeys(["sales_data", hours, segments] + [BASE] * bool(demand.unidentified))
        words = f"level: sales_data; response to price: {response}; hours of the day: {hours}; segments: {segments}"
        self.set("units_per_minute", " and ".join(sources), words)
        apart = len(demand.product_ids) > MOST_WHOLE
        self.set(
            "hour_profile",
            (self.hours_from or BASE) if apart else "fixed",
            "the hours of units_per_minute" if apart else "none: units_per_minute holds the hours",
        )
        given = len(self.costs_given)
        self.set(
            "unit_cost",
            "sales_data"
            if given == len(demand.product_ids)
            else "assumption"
            if not given
            else "sales_data and assumption",
            f"given for {given} of {len(demand.product_ids)} products; else list price × (1 - margin) × revenue over "
            "regular value: see assumptions",
        )
        supported = "sales_data" if not demand.unidentified else f"sales_data and {BASE}"
        if demand.supported_depth is None:
            supported = BASE
        self.set(
            "supported_depth", supported, "95 % of the discounted days are no deeper; the smaller, of several sources"
        )


_FROM_SALES: Final = {
    "product_ids": "the products that sold",
    "product_names": "product_name, else the base World's, else the id",
    "product_groups": "product_group, else the base World's, else none",
    "list_price": "list_price of the last eight weeks, else the last price that held for four of them outside "
    "promotions, else their median",
    "weekday_factor": "weekday effects of the products, weighted by what they sell",
    "level_days": "the last day of data; season of tables of a year or more; how far levels moved from week to week",
    "frailty_common_variance": "covariance between products of one-week-ahead errors of a day",
    "frailty_product_variance": "variance of the same errors beyond the common factor; buying several at once is in it",
    "population": "the table is of the whole shop: 1",
}


def with_own_books(own: CheckedTables) -> CheckedTables:
    """The same tables with an account and notes that can be written to: the caller's stay as they are."""
    return dataclasses.replace(own, account=copy.deepcopy(own.account), notes=list(own.notes))


def describe_own(
    own: CheckedTables, record: Record, *, settings: dict[str, Any], card: FidelityCard | Unavailable
) -> dict[str, Any]:
    """The provenance of a World of ``own`` tables; ``settings`` are those of the calibration, ``card`` is what held-out
    weeks say, or why there are none."""
    record.finish()
    base = record.base
    facts: dict[str, Any] = {
        "notice": _notice(record),
        "data": {
            "name": own.mapping.name,
            "files": dict(own.files),
            "sha256": dict(own.checksums),
            "time_zone": own.mapping.time_zone,
            "days": {name: own.days(name) for name in own.tables if name != "support_tickets"},
            "spans": own.spans(),
        },
        "calibration": settings | {"block_weeks": BLOCK_WEEKS, "model": "flashsim/models/demand/daily_totals.py"},
        "fields": {name: f"{record.sources[name]}: {record.reasons[name]}" for name in record.sources},
        "sources": dict(record.sources),
        "base": {
            "name": base.name,
            "fingerprint": base.fingerprint(),
            "notice": str(base.provenance.get("notice", "")),
            "fields": base.provenance.get("fields", {}),
            "uncalibrated_because": list(base.uncalibrated_because),
        },
        "rows": own.account.rows(),
        "quarantined_rows": {name: own.quarantine.rows_of(name) for name in own.files},
        "notes": list(own.notes),
        "not_learned": list(record.not_learned),
        "products": [] if record.demand is None else _products(record, record.demand),
        "left_out": {} if record.demand is None else dict(record.demand.left_out),
        "response": [] if record.demand is None else list(record.demand.words),
        "assumptions": [asdict(assumption) for assumption in ASSUMPTIONS if _is_assumed(assumption.field, record)],
        "not_identified": [words for words, name in _NOT_IDENTIFIED if name is None or _is_assumed(name, record)],
        "tables": record.tables,
        "site": record.site,
        "support_tickets": None
        if own.tickets is None
        else {str(intent): int(count) for intent, count in own.tickets["intent"].value_counts().items()},
    }
    return facts | {"fidelity": own_card(facts, card, base=BASE, promotions=record.promotions)}


_NOT_IDENTIFIED: Final = (
    ("visits: sales show buyers only, so units a visitor are the base World's", "conversion_at_list"),
    ("the share of an uplift that comes as extra visitors", None),
    ("unit costs of products for which the table gives none", "unit_cost"),
    ("the size of the shop", "population"),
    ("what one product's discount does to another: it arises in the choice model of the simulated sale", None),
    ("how many units go in one purchase: daily totals do not tell", None),
)
"""What no table tells, and the field with which that may change."""


def _notice(record: Record) -> str:
    base = sorted(name for name, source in record.sources.items() if BASE in source)
    own = f"Fields wholly or partly from the base World {record.base.name!r}: {', '.join(base)}."
    return " ".join(part for part in (own, str(record.base.provenance.get("notice", ""))) if part)


def _is_assumed(name: str, record: Record) -> bool:
    """Whether the field still rests on an assumption, of our own or of the base World."""
    if name == GROSS_MARGIN.field:
        return record.sources[name] != "sales_data"
    return record.sources[name] == BASE


def _products(record: Record, demand: ShopDemand) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for place, product in enumerate(demand.product_ids):
        level, elasticity = demand.level[:, place], demand.elasticity[:, place]
        told = demand.evidence[place]
        row: dict[str, Any] = {
            "product_id": product,
            "name": record.names[place],
            "group": record.groups[place],
            "list_price": float(demand.list_price[place]),
            "units_per_day": float(level.mean()),
            "units_per_day_interval": [float(bound) for bound in np.quantile(level, INTERVAL)],
            "days": told.days,
            "days_elsewhere": told.days_elsewhere,
            "prices": told.prices,
            "episodes": told.episodes,
            "is_identified": told.is_identified,
            "flags": list(told.flags),
            "elasticity_interval": [told.low, told.high],
        }
        if product in demand.unidentified:
            row["response"] = f"{BASE}, {record.similar[place]}: {product} {demand.unidentified[product]}"
        else:
            row["response"] = "sales_data"
            row["elasticity"] = float(elasticity.mean())
        rows.append(row)
    return rows
