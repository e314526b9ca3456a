"""A World: every number that a simulated sale needs, and where each came from.

Learned models are evaluated once, on a grid of segment x product x discount depth x hour of day, into the table
``units_per_minute``; the simulator reads it between its nodes (:mod:`flashsim.surface`) and never meets a model. A
World holds ``M`` members, equally plausible worlds that carry what the data leave uncertain: policies are trained on
some and judged on the others.

On disk a World is two files: ``world.safetensors`` (the arrays) and ``world.json`` (names, scalars, provenance, the
SHA-256 of the first file and the fingerprint of the whole content). Neither can carry code.

What it leaves out: what a product means to another (cross-price effects arise only from the choice model of the
simulated sale), and what changes from day to day beyond weekday, season and frailties.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors.numpy import save as save_tensors

from flashsim import surface, world_checks
from flashsim.errors import InputError
from flashsim.files import MOST_JSON, check_format, json_of, read_bytes, replace_folder, write_bytes, write_json
from flashsim.marks import claimed, keeps_mark, mark_in_words
from flashsim.season import LevelDays
from flashsim.shown import brief
from flashsim.signatures import ANYBODY, SIGNATURE_FILE, Kind, Trust, check_signature
from flashsim.sim.servers import ServerParams
from flashsim.tensor_files import read_tensors
from flashsim.world_checks import (
    FACTS,
    HOURS_APART,
    MEMBER_TUPLES,
    TEXT_TUPLES,
    axes_in,
    check_members,
    check_names,
    check_provenance,
    check_ranges,
    check_shapes,
)

FORMAT_VERSION: Final = 2
FORMAT_CHANGES: Final = "2 added service_rate, unloaded_latency_s, rush_amplitude … rush_decay_minutes and buyer_value"
"""What an older World lacks."""
ARRAYS_FILE: Final = "world.safetensors"
FACTS_FILE: Final = "world.json"
SIGNED_AS: Final = Kind("World", FORMAT_VERSION, lambda _folder: (ARRAYS_FILE, FACTS_FILE))
SHIPPED: Final = Path(__file__).with_name("shipped_world")
"""Folder of the World that comes with the package."""
HOURS_OF_DAY: Final = surface.HOURS_OF_DAY
DAYS_OF_WEEK: Final = world_checks.DAYS_OF_WEEK
ARRAY_AXES: Final = world_checks.ARRAY_AXES


@dataclass(frozen=True, eq=False, kw_only=True)
class World:
    """Demand, prices and assumptions for one shop; arrays are copied in and read-only. InputError, with the value seen,
    when a shape, a range or a name is wrong."""

    name: str
    """What the World is called in reports."""
    currency: str = "USD"
    """ISO 4217 code of every price and cost."""
    product_ids: tuple[str, ...]
    """Unique ids, as in the data."""
    product_names: tuple[str, ...]
    """Names a person reads."""
    product_groups: tuple[str, ...]
    """Group (department or category) whose response a product borrows strength from."""
    segment_names: tuple[str, ...]
    """Household segments."""
    list_price: NDArray[np.float64]  # product; currency/unit
    """Regular shelf price."""
    unit_cost: NDArray[np.float64]  # product; currency/unit
    """What a unit costs the shop: an assumption, named in the provenance."""
    depth_grid: NDArray[np.float64]  # depth; share of list price
    """Discount depths of the table, ascending from 0."""
    units_per_minute: NDArray[np.float32]  # member, segment, product, depth, hour of day; units/minute
    """Expected units from the whole panel on an average day without display or mailer, mean over the hour; never falls
    with depth. With an ``hour_profile`` its hour axis has one place, the mean of the day."""
    display_effect: NDArray[np.float64]  # member, product; log scale
    """Added to log units when the product stands on a display."""
    mailer_effect: NDArray[np.float64]  # member, product; log scale
    """Added to log units when the product is in the mailer."""
    weekday_factor: NDArray[np.float64]  # member, weekday (Monday first); mean 1
    """Multiplies the units of an average day."""
    frailty_common_variance: NDArray[np.float64]  # member
    """Variance of the mean-1 gamma factor that all products of a sale share."""
    frailty_product_variance: NDArray[np.float64]  # member, product
    """Variance of the mean-1 gamma factor of one product of a sale."""
    conversion_at_list: NDArray[np.float64]  # member; in (0, 1)
    """Units bought per visitor at list price: an assumption, not identified by transactions."""
    traffic_share: NDArray[np.float64]  # member; in [0, 1]
    """Share of the log uplift that arrives as extra visitors: an assumption."""
    population: float
    """How many times the panel the shop is: an assumption."""
    training_members: tuple[int, ...]
    """Members that policies may be trained on."""
    heldout_members: tuple[int, ...]
    """Members that policies are judged on; none is a training member."""
    supported_depth: float = 0.5
    """Depths beyond this are extrapolation."""
    service_rate: float = ServerParams.service_rate
    """Visits that one busy server completes in a minute; the simulator's assumption unless it was learned."""
    unloaded_latency_s: float = ServerParams.unloaded_latency_s
    """Response time without waiting, seconds; the simulator's assumption unless it was learned."""
    rush_amplitude: float = 1.3
    """Extra demand at the top of an announced rush, as a multiple of the ordinary; 1998 World Cup site, rounded."""
    rush_ramp_minutes: float = 36.0
    """Time in which the extra grows by a factor e before the top; of the same site, as those below."""
    rush_hold_minutes: float = 14.0
    """How long the top lasts."""
    rush_decay_minutes: float = 42.0
    """Time in which the extra falls by a factor e after the top."""
    hour_profile: NDArray[np.float32] | None = None  # member, segment, product, hour; mean 1
    """By which the mean of the day is multiplied in each hour, at every depth: a World of many products keeps its hours
    apart, for the file would be 24 times as large. None: ``units_per_minute`` holds them."""
    level_days: LevelDays | None = None
    """When the levels hold, their season and drift; None: on any day."""
    buyer_value: float = 0.0
    """Gross margin of what a new buyer buys later within a year, currency; 0 where nothing is known."""
    provenance: dict[str, Any]
    """Where each field came from, data checksums, held-out scores, rows dropped by reason, notices; JSON."""

    def __post_init__(self) -> None:
        """Copy the arrays in, make them read-only, and check every shape and range."""
        for field in (*TEXT_TUPLES, *MEMBER_TUPLES):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        for field, (dtype, _) in axes_in(self).items():
            try:
                array = np.array(getattr(self, field), dtype=dtype, order="C")
            except (TypeError, ValueError) as error:
                raise InputError(f"{field}: expected an array of {dtype} ({error})") from error
            array.setflags(write=False)
            object.__setattr__(self, field, array)
        check_names(self)
        check_shapes(self)
        check_ranges(self)
        check_members(self)
        check_provenance(self.provenance)

    @property
    def n_members(self) -> int:
        """Number of plausible worlds."""
        return int(self.units_per_minute.shape[0])

    @property
    def n_products(self) -> int:
        """Number of products."""
        return len(self.product_ids)

    def rates(self, products: Sequence[int] | None = None) -> NDArray[np.float32]:
        """``units_per_minute`` of ``products`` (indices; all if None) with all 24 hours, however they are kept."""
        kept = slice(None) if products is None else list(products)
        table = self.units_per_minute[:, :, kept]
        return table if self.hour_profile is None else table * self.hour_profile[:, :, kept, None, :]

    def daily_units(self) -> NDArray[np.float64]:
        """Expected units of the panel (member, product, depth) on an average day."""
        places = HOURS_OF_DAY // self.units_per_minute.shape[4]
        units: NDArray[np.float64] = self.units_per_minute.sum(axis=(1, 4), dtype=np.float64) * (60.0 * places)
        return units

    def hourly_units(self) -> NDArray[np.float64]:
        """Rates (member, hour) at list price, 1/minute, of all segments and products together."""
        at_list = self.units_per_minute[:, :, :, 0]
        if self.hour_profile is not None:
            return np.einsum("msph,msp->mh", self.hour_profile, at_list[..., 0], dtype=np.float64)
        units: NDArray[np.float64] = at_list.sum(axis=(1, 2), dtype=np.float64)
        return units

    def units_at(
        self, depths: ArrayLike, minutes: ArrayLike, *, products: Sequence[int] | None = None
    ) -> NDArray[np.float64]:
        """Expected units a minute of the panel (member, segment, product, depth, minute) on an average day.

        ``depths`` ascend within the grid, ``minutes`` are minutes of the day; ``products`` are indices (all if None).
        """
        return surface.read_surface(self.rates(products), self.depth_grid, depths=depths, minutes=minutes)

    @property
    def uncalibrated_because(self) -> tuple[str, ...]:
        """Why the World must not be taken for calibrated, by its fidelity card; nothing when every line passes."""
        card = self.provenance.get("fidelity")
        lines = card.get("lines") if isinstance(card, dict) else None
        if not isinstance(card, dict) or not isinstance(lines, list) or not lines:
            return ("no fidelity card: it was never compared with weeks that it had not seen",)
        if card.get("why_not_judged"):
            return (
                f"none of the {len(lines)} lines of its fidelity card was judged: {claimed(card['why_not_judged'])}",
            )
        return tuple(mark_in_words(line) for line in lines if not keeps_mark(line))

    @property
    def title(self) -> str:
        """The name as it is shown; it says so when the World is not calibrated."""
        return f"{self.name} (uncalibrated)" if self.uncalibrated_because else self.name

    def fingerprint(self) -> str:
        """SHA-256 over everything the World holds; equal fingerprints mean equal Worlds."""
        digest = hashlib.sha256()
        for field, (dtype, _) in axes_in(self).items():
            array = getattr(self, field)
            digest.update(f"{field}:{dtype}:{array.shape}:".encode())
            digest.update(array.astype(np.dtype(dtype).newbyteorder("<"), copy=False).tobytes())
        digest.update(json.dumps(_facts(self), sort_keys=True, ensure_ascii=False, allow_nan=False).encode())
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Write the World to ``folder``, whole or not at all; replaces a World, refuses a folder of other files."""
        folder = Path(folder)
        tensors = save_tensors({field: getattr(self, field) for field in axes_in(self)})
        facts = _facts(self) | {
            "format_version": FORMAT_VERSION,
            "sha256": hashlib.sha256(tensors).hexdigest(),
            "fingerprint": self.fingerprint(),
        }
        with replace_folder(folder, ours=_FILES) as temporary:
            write_bytes(temporary / ARRAYS_FILE, tensors)
            write_json(temporary / FACTS_FILE, facts)

    @classmethod
    def load(cls, folder: Path, *, trust: Trust = ANYBODY) -> "World":
        """Read a World; InputError when it is missing, truncated, tampered with, of another version or ill-shaped, and
        when its signature is wrong or not of those that ``trust`` asks for."""
        folder = Path(folder)
        data = read_bytes(folder / FACTS_FILE, most=MOST_JSON)
        check_signature(folder, SIGNED_AS, trust, read={FACTS_FILE: data})
        facts = json_of(data, folder / FACTS_FILE)
        _check_facts(facts, folder)
        fields: dict[str, Any] = {field: facts[field] for field in FACTS}
        fields |= _read_arrays(folder / ARRAYS_FILE, facts["sha256"])
        try:
            world = cls(**fields, level_days=LevelDays.from_json(facts.get("level_days")))
        except InputError as error:
            raise InputError(f"{folder} is not a valid World: {error}") from error
        if not world.heldout_members:
            raise InputError(f"{folder} holds out no member, so no policy could be judged on it; calibrate again")
        if world.fingerprint() != facts["fingerprint"]:
            raise InputError(
                f"{folder / FACTS_FILE} was changed after it was written: its content has fingerprint "
                f"{world.fingerprint()[:12]}, it claims {str(facts['fingerprint'])[:12]}; calibrate again or restore it"
            )
        return world


def shipped_world() -> World:
    """The small World that comes with the package: eight products of Complete Journey, 8 + 4 members.

    ``python -m experiments.ship_world`` makes it anew. It carries the notice of its data in ``provenance["notice"]``.
    """
    return World.load(SHIPPED)


_FILES: Final = (ARRAYS_FILE, FACTS_FILE, SIGNATURE_FILE)


def _facts(world: World) -> dict[str, Any]:
    """Everything but the arrays, as JSON knows it."""
    days = {} if world.level_days is None else {"level_days": world.level_days.as_json()}
    return {field: getattr(world, field) for field in FACTS} | days


def _check_facts(facts: object, folder: Path) -> None:
    path = folder / FACTS_FILE
    if not isinstance(facts, dict):
        raise InputError(f"{path} does not describe a World: expected an object, got {type(facts).__name__}")
    again = "calibrate again: python -m experiments.calibrate"
    check_format(path, facts.get("format_version"), known=FORMAT_VERSION, changes=FORMAT_CHANGES, make_anew=again)
    expected = {*FACTS, "format_version", "sha256", "fingerprint"}
    known = expected | {"level_days"}
    for problem, keys in (("lacks", expected - set(facts)), ("has the unknown key", set(facts) - known)):
        if keys:
            raise InputError(f"{path} {problem} {brief(min(keys))}; calibrate again or restore it")
    for field in (*TEXT_TUPLES, *MEMBER_TUPLES):
        if not isinstance(facts[field], list):
            raise InputError(
                f"{path}: {field} must be a list, got {brief(facts[field])}; calibrate again or restore it"
            )


def _read_arrays(path: Path, sha256: object) -> dict[str, NDArray[Any]]:
    arrays = read_tensors(path, sha256=sha256, advice="calibrate again or restore it")
    known = dict(ARRAY_AXES) | dict([HOURS_APART])
    if set(arrays) not in (set(ARRAY_AXES), set(known)):
        raise InputError(f"{path} holds the arrays {sorted(arrays)}, expected {sorted(ARRAY_AXES)}; calibrate again")
    for field, array in arrays.items():
        if array.dtype != known[field][0]:
            raise InputError(f"{path}: {field} is {array.dtype}, expected {known[field][0]}; calibrate again")
    return arrays
