"""What no held-out weeks judge: the card of a World of a shop's own tables, and what an update makes of any card.

A World of a shop's own tables learns from every day that they hold, and they rarely hold enough to keep some back. Its
card has the lines of every card, with the reason why each could not be judged; so it is called uncalibrated wherever it
is used. The card is made from the World's provenance alone (:mod:`flashsim.calibration.shop_provenance`), and adds
nothing to it.

An update brings days that the World had not seen, but a handful: how many units were sold, and how many the World had
expected, is told beside the lines, without a mark.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from flashsim.fidelity.card import ASKED


def own_card(record: Mapping[str, Any], *, base: str, promotions: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The card, as plain values, of a World of own tables whose provenance is ``record``; ``base`` is the name of its
    source for what the tables do not tell, as in ``record["sources"]``, ``promotions`` the back-test of past ones."""
    products = [row["product_id"] for row in record["products"]]
    tables = " and ".join(name for name in record["data"]["days"])
    reasons = _reasons(record, products=products)
    return {
        "what": f"A World of a shop's own tables ({tables}). {_of_the_base(record['base'])}",
        "why_not_judged": f"every day of {tables} was learned from, so that none is left to compare a simulation with",
        "interval": "none",
        "passed": False,
        "lines": [_unjudged(name, reasons[name]) for name in ASKED],
        "promotions": None if promotions is None else dict(promotions),
        "products": [],
        "first_day": "",
        "weeks": 0,
        "modelled_products": len(products),
        "product_days": 0,
        "draws": 0,
        "frozen_level": None,
        "not_identified": [
            *record["not_identified"],
            *record["not_learned"],
            *record["response"],
            *(f"demand of {product}: it {why}, and is left out" for product, why in record["left_out"].items()),
            *(
                f"response to price of {row['product_id']}: {row['response']}"
                for row in record["products"]
                if "elasticity" not in row
            ),
        ],
        "fell_back": [
            {"field": name, "world": record["base"]["name"], "why": record["fields"][name].removeprefix(f"{source}: ")}
            for name, source in record["sources"].items()
            if base in source.split(" and ")
        ],
    }


def updates_sentence(updates: Sequence[Mapping[str, Any]]) -> str:
    """A World's ``updates`` in a sentence: what was sold, against what the World expected before each of them."""
    spans = [span for update in updates for span in update["spans"].values()]
    sales = [row for update in updates for row in update.get("levels", [])]
    units, expected = (sum(row[name] for row in sales) for name in ("units", "expected"))
    hours = any(update.get("hours", {}).get("whole_days") for update in updates)
    changed = " and ".join(["levels"] * bool(sales) + ["hours of the day"] * hours)
    return (
        f"{len(updates)} update{'s' * (len(updates) > 1)} since "
        f"({min(first for first, _ in spans)} to {max(last for _, last in spans)}): "
        + (f"{units:,.0f} units were sold, {expected:,.0f} were expected; " if sales else "")
        + (f"{changed} have followed and were not judged anew." if changed else "nothing changed.")
    )


def _unjudged(name: str, why: str) -> dict[str, Any]:
    question, (mark_low, mark_high) = ASKED[name]
    found = dict.fromkeys(("happened", "simulated", "value", "low", "high"))
    line = {"name": name, "question": question, "mark_low": mark_low, "mark_high": mark_high}
    return line | found | {"passed": False, "why_not_judged": why}


def _reasons(record: Mapping[str, Any], *, products: Sequence[str]) -> dict[str, str]:
    """Why each line could not be judged."""
    base = f"the World {record['base']['name']!r}"
    used = set(record["sources"]["units_per_minute"].split(" and "))
    with_hours = [name for name in ("user_behavior", "orders", "traffic_data") if name in used]
    demand = hours = response = f"your tables tell no demand: it is that of {base}"
    if products:
        demand = response = hours = (
            f"all {record['data']['days']['sales_data']} days of sales_data were learned from, none was held out"
        )
        if not any("elasticity" in row for row in record["products"]):
            response = f"no product tells a response to price of its own: it is that of {base}"
    if with_hours:
        hours = f"all days of {' and '.join(with_hours)} were learned from, none was held out"
    elif products:
        hours = f"no table tells the hours of the day: they are those of {base}"
    together = "one product is sold alone" if len(products) == 1 else demand
    repeats = (
        f"what a customer buys later is not learned from your tables (buyer_value: {record['fields']['buyer_value']})"
    )
    special = {"response": response, "sign of the response": response, "hours": hours, "burstiness": hours}
    return dict.fromkeys(ASKED, demand) | special | {"correlation": together, "repeats": repeats}


def _of_the_base(base: Mapping[str, Any]) -> str:
    failed = "; ".join(base["uncalibrated_because"])
    verdict = f"is uncalibrated itself: {failed}" if failed else "passes its own card, which says nothing of this shop"
    return f"The World that stands in for what they do not tell, {base['name']!r}, {verdict}."
