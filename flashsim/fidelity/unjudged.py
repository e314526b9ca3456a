"""The card of a World of a shop's own tables, what it cannot judge, and what an update makes of any card.

Where the tables hold enough days, the last weeks are held out and judged as on every card
(:mod:`flashsim.calibration.shop_card`). A line that the tables cannot answer is on the card with the reason, and so is
every line where they are too short: such a World is called uncalibrated wherever it is used. What is said beside the
lines is made from the World's provenance (:mod:`flashsim.calibration.shop_provenance`), and adds nothing to it.

An update brings days that the World had not seen, but a handful: how many units were sold, and how many the World had
expected, is told beside the lines, without a mark.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from flashsim.errors import Unavailable
from flashsim.fidelity.card import ASKED, LEFT_OUT, FidelityCard

MOST_NAMED = 20
"""Products that a sentence names one by one; of more their number is told."""


def own_card(
    record: Mapping[str, Any],
    judged: FidelityCard | Unavailable,
    *,
    base: str,
    promotions: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The card, as plain values, of a World of own tables whose provenance is ``record``; ``judged`` are its held-out
    weeks, or why there are none; ``base`` is the name of its source for what the tables do not tell, as in
    ``record["sources"]``; ``promotions`` the back-test of past ones."""
    tables = " and ".join(name for name in record["data"]["days"])
    about = f"A World of a shop's own tables ({tables}). {_of_the_base(record['base'])}"
    reasons = _reasons(record, judged)
    if isinstance(judged, Unavailable):
        card = _blank(record, judged) | {"what": about}
    else:
        card = judged.as_json()
        card |= {"what": f"{about} {card['what']}"}
    found = {line["name"]: line for line in card["lines"]}
    lines = [found[name] if name in found else _unjudged(name, reasons[name]) for name in ASKED]
    fell_back = [
        {"field": name, "world": record["base"]["name"], "why": record["fields"][name].removeprefix(f"{source}: ")}
        for name, source in record["sources"].items()
        if base in source.split(" and ")
    ]
    not_identified = _not_identified(record) + ([] if isinstance(judged, Unavailable) else _untold())
    passed = all(line["passed"] for line in lines)
    told = {"promotions": None if promotions is None else dict(promotions)}
    return card | told | {"lines": lines, "passed": passed, "not_identified": not_identified, "fell_back": fell_back}


def _blank(record: Mapping[str, Any], why: Unavailable) -> dict[str, Any]:
    return {
        "why_not_judged": f"{why.reason}, so that none is left to compare a simulation with"
        if record["products"]
        else why.reason,
        "interval": "none",
        "lines": [],
        "products": [],
        "first_day": "",
        "weeks": 0,
        "modelled_products": len(record["products"]),
        "product_days": 0,
        "draws": 0,
        "frozen_level": None,
    }


def _untold() -> list[str]:
    """What held-out weeks of a shop do not tell, as on every card, beyond what its record says already."""
    return [words for words in LEFT_OUT if words.startswith(("sharing", "latency", "minutes", "depths"))]


def _not_identified(record: Mapping[str, Any]) -> list[str]:
    left_out = [f"demand of {product}: it {why}, and is left out" for product, why in record["left_out"].items()]
    responses = [
        f"response to price of {row['product_id']}: {row['response']}"
        for row in record["products"]
        if "elasticity" not in row
    ]
    return [
        *record["not_identified"],
        *record["not_learned"],
        *few(record["response"], "more remarks on products"),
        *few(left_out, "more products that are left out"),
        *few(responses, "more products whose response is the base World's"),
    ]


def few(sentences: Sequence[str], rest: str) -> list[str]:
    """The first sentences, and how many there are besides."""
    more = len(sentences) - MOST_NAMED
    return [*sentences[:MOST_NAMED], *([f"{more} {rest}"] if more > 0 else [])]


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


def _reasons(record: Mapping[str, Any], judged: FidelityCard | Unavailable) -> dict[str, str]:
    """Why each line could not be judged, if it could not."""
    base = f"the World {record['base']['name']!r}"
    used = set(record["sources"]["units_per_minute"].split(" and "))
    products = record["products"]
    if isinstance(judged, Unavailable):
        demand = judged.reason if products else f"your tables tell no demand: it is that of {base}"
        response = hours = demand
    else:
        demand = "the weeks held out do not tell it"
        response = "no price varied in the weeks held out"
        hours = "no table tells in which hours most units were sold"
        hours += " (those of the World are of visits)" if "traffic_data" in used else ""
    if products and not any("elasticity" in row for row in products):
        response = f"no product tells a response to price of its own: it is that of {base}"
    if products and not used & {"user_behavior", "orders", "traffic_data"}:
        hours = f"no table tells the hours of the day: they are those of {base}"
    repeats = (
        f"what a customer buys later is not learned from your tables (buyer_value: {record['fields']['buyer_value']})"
    )
    together = "one product is sold alone" if len(products) == 1 else demand
    special = {"response": response, "sign of the response": response, "hours": hours, "burstiness": hours}
    return dict.fromkeys(ASKED, demand) | special | {"correlation": together, "repeats": repeats}


def _of_the_base(base: Mapping[str, Any]) -> str:
    failed = "; ".join(base["uncalibrated_because"])
    verdict = f"is uncalibrated itself: {failed}" if failed else "passes its own card, which says nothing of this shop"
    return f"The World that stands in for what they do not tell, {base['name']!r}, {verdict}."
