"""Which column of an export is what: by the mapping, else by a preset, else by a name that stands for itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from flashsim.data.exports.layout import plain_name, some
from flashsim.data.orders.options import ORDER_COLUMNS
from flashsim.data.orders.presets import COMMON, PRESETS
from flashsim.errors import InputError
from flashsim.settings import nearest
from flashsim.shown import brief

SIGNATURES: Final = {
    "shopify": ("Lineitem quantity", "Lineitem price"),
    "woocommerce": ("Order Number", "Item Name"),
    "taobao": ("订单编号", "买家会员名"),
}
"""Columns by which an export shows which system it is of."""


class OrderColumns(NamedTuple):
    """The columns of an export that are read."""

    place: dict[str, int]  # name used here: place in the header
    name: dict[str, str]  # name used here: name in the file
    told: tuple[str, ...]  # what was detected, a phrase each
    instead: int | None = None  # place of the name by which a product is known that has no code

    @property
    def lines_have_totals(self) -> bool:
        """Whether revenue is a column, or units times price."""
        return "total" in self.place


def wanted_names(preset: str | None, mapped: Mapping[str, str]) -> tuple[str, ...]:
    """Every name that a header may hold, to find its separator."""
    sources = (COMMON if preset is None else PRESETS[preset]).values()
    return (*mapped.values(), *(name for names in sources for name in names))


def find_columns(header: Sequence[str], *, preset: str | None, mapped: Mapping[str, str], path: Path) -> OrderColumns:
    """Which column is what; InputError when one that is needed, or one that the mapping names, is missing."""
    place = _mapped_places(header, mapped, path)
    plain = {plain_name(name): number for number, name in reversed(list(enumerate(header)))}
    known = COMMON if preset is None else PRESETS[preset]
    for ours in ORDER_COLUMNS:
        if ours in place:
            continue
        names = known.get(ours, ()) if preset is not None else (ours, *known.get(ours, ()))
        found = [plain[key] for key in map(plain_name, names) if key in plain]
        free = [number for number in found if ours.startswith("product_") or number not in place.values()]
        if free:
            place[ours] = free[0]
    if preset is None and "price" in place and "total" in place and "total" not in mapped:
        del place["total"]  # it may be the total of the order
    for shown in ("product_name", "product_group"):
        if shown not in mapped and place.get(shown) == place.get("product_id") and shown == "product_group":
            place.pop(shown, None)
    _check_needed(header, place, preset=preset, path=path)
    name = {ours: header[number] for ours, number in place.items()}
    told = [f"{ours} is {theirs!r}" for ours, theirs in name.items() if ours not in mapped and ours != theirs]
    by_name = preset is not None and "product_id" not in mapped and place.get("product_name") != place["product_id"]
    instead = place.get("product_name") if by_name else None
    if instead is not None:
        told.append(f"a product without {name['product_id']!r} is known by {name['product_name']!r}")
    return OrderColumns(place, name, ("columns: " + ", ".join(told),) if told else (), instead)


def _mapped_places(header: Sequence[str], mapped: Mapping[str, str], path: Path) -> dict[str, int]:
    place = {}
    for ours, theirs in mapped.items():
        if theirs not in header:
            hint = nearest(theirs, list(header), cutoff=0.75)
            raise InputError(
                f"{path}: the mapping names the column {brief(theirs)} for {ours}, the file has {some(header)}"
                + (f"; did you mean {brief(hint)}?" if hint else "; correct the mapping")
            )
        place[ours] = list(header).index(theirs)
    return place


def _check_needed(header: Sequence[str], place: Mapping[str, int], *, preset: str | None, path: Path) -> None:
    missing = [ours for ours in ("date", "product_id") if ours not in place]
    if not {"price", "total"} & set(place):
        missing.append("price")
    if not missing:
        return
    there = {plain_name(name) for name in header}
    fits = [one for one, names in SIGNATURES.items() if one != preset and {plain_name(name) for name in names} <= there]
    advice = (
        f"it looks like an export of {fits[0]}: choose data.preset={fits[0]}"
        if fits
        else f"name it in a mapping file: orders: {{columns: {{{missing[0]}: YOUR_NAME}}}}, given as data.mapping=FILE"
    )
    needed = "price of a unit or total of a line" if missing[0] == "price" else missing[0]
    raise InputError(
        f"{path}: no column is known as the {needed} of an order line, the file has {some(header)}; {advice}"
    )
