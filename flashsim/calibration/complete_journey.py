"""From a shop's tables to a World: clean, fit, score, draw an ensemble, and compile it into response surfaces.

    from flashsim.calibration.complete_journey import calibrate
    from flashsim.data.sources import complete_journey
    from flashsim.calibration.site import SiteRecords
    world = calibrate(complete_journey(), seed=0, site=SiteRecords(traffic=visits, servers=12))   # site: if you have it
    world.save(Path("world"))
    env = gymnasium.make("flashsim/FlashSale-v0", scenario=grocery_evening(world))

    units_per_minute(m, s, p, d, h) = units a day(m, p)·exp(slope(m, p)·d)·share(m, p, s, d)·profile(m, g(p), s, h) / 60

Each table is held against the model it was made from, and one that strays is not made (:mod:`flashsim.surface`). Every
number of the World says in its provenance where it came from. What transactions cannot identify (how many people
looked without buying, what goods cost, how large the shop is) are assumptions, named as such, with a source and, where
it matters, a range over which the members vary.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.calibration.assumptions import CONVERSION_AT_LIST, CUSTOMERS, GROSS_MARGIN, TRAFFIC_SHARE
from flashsim.calibration.provenance import (
    Evidence,
    describe,
    describe_segments_held,
    describe_tables,
)
from flashsim.calibration.site import Site, SiteRecords, learn_site
from flashsim.data.clean import RowAccount, clean_promotions, clean_transactions
from flashsim.data.panel import build_panel, sale_lines, select_products
from flashsim.data.sources import ShopTables
from flashsim.errors import InputError
from flashsim.fidelity import FidelityCard, fidelity_card, first_weeks, held_out_weeks
from flashsim.fidelity.promotions import (
    FIRST_SCORED,
    MODELLED_PRODUCTS,
    judge,
    not_judged,
    score_outcomes,
    shelf_outcomes,
)
from flashsim.models.customers.behavior import household_behavior
from flashsim.models.customers.mixture import CustomerTypes, find_customer_types
from flashsim.models.demand.display import StoreCells, contrast_displays, store_cells
from flashsim.models.demand.ensemble import Member, Observations, fit_ensemble
from flashsim.models.demand.negative_binomial import DISPLAY, MAILER, DemandModel, DemandTable, fit_demand
from flashsim.models.demand.pull_forward import estimate_pull_forward
from flashsim.models.demand.response import respond
from flashsim.models.forecasting.backtest import Backtest, demand_table, run_backtest
from flashsim.sim.parameters import check_seed
from flashsim.surface import tabulate
from flashsim.world import World

Progress = Callable[[str, int, int], None]
"""Called with a description, steps done and steps in all."""

DEFAULT_PRODUCT_IDS: Final = (1127831, 995242, 908531, 1006184, 909894, 914190, 8090521, 1124729)
"""Strawberries, milk, chocolate milk, salad, juice, cream cheese, soft drinks, candy bar: of the products of Complete
Journey those whose depth varied often and widely enough to support a response up to 50 %."""
DEPTH_GRID: Final = tuple(round(0.05 * i, 2) for i in range(13))
SUPPORTED_DEPTH: Final = 0.5
"""95 % of the discounts in Complete Journey are no deeper; beyond is extrapolation."""


@dataclass(frozen=True)
class CalibrationSettings:
    """How much work a calibration does."""

    product_ids: tuple[int, ...] = DEFAULT_PRODUCT_IDS
    """Products of the World."""
    modelled_products: int = 300
    """Best sellers that the demand model is fitted and scored on; the World's products borrow strength from them."""
    heldout_weeks: int = 16
    """Last weeks, on which the model is scored after fits to the weeks before."""
    horizon_weeks: int = 4
    """Weeks between one fit and the next while scoring."""
    members: int = 32
    """Members of the ensemble."""
    training_members: int = 12
    """Of these, the ones that policies may be trained on; the others judge."""
    block_weeks: int = 4
    """Length of the blocks of weeks that are drawn together."""
    kinds: int | None = None
    """Segments of households; none: the smallest number within one standard error of the best held-out likelihood."""
    resamples: int = 5000
    """Bootstrap resamples behind the intervals of the scores."""
    back_tested_products: int = 0
    """Best sellers whose past promotions are predicted, each from what was known before it; 0: none."""
    estimate_spread: bool = True
    """Estimate how far slopes differ between products anew in each member, instead of once."""

    def __post_init__(self) -> None:
        """Check what would otherwise fail far from here."""
        if not self.product_ids or len(set(self.product_ids)) < len(self.product_ids):
            raise InputError(f"product_ids must be unique and not empty, got {self.product_ids}")
        if not 1 <= self.training_members <= self.members:
            raise InputError(f"training_members must be in 1 … {self.members}, got {self.training_members}")
        for name in ("modelled_products", "heldout_weeks", "horizon_weeks", "block_weeks", "resamples"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be >= 1, got {getattr(self, name)}")
        if self.back_tested_products < 0:
            raise InputError(f"back_tested_products must be >= 0, got {self.back_tested_products}")
        if self.kinds is not None and self.kinds < 1:
            raise InputError(f"kinds must be >= 1 or none, got {self.kinds}")


FULL: Final = CalibrationSettings(back_tested_products=MODELLED_PRODUCTS)
QUICK: Final = CalibrationSettings(resamples=1000, estimate_spread=False)
"""Same products, weeks and members; fewer resamples, one estimate of the spread of slopes for all members, and no
back-test of past promotions."""


def calibrate(
    tables: ShopTables,
    *,
    seed: int,
    quick: bool = True,
    settings: CalibrationSettings | None = None,
    site: SiteRecords | None = None,
    progress: Progress | None = None,
) -> World:
    """Learn a World from ``tables``; equal seeds and settings give equal Worlds (same fingerprint).

    ``site`` holds what the shop knows of its web site; what is missing there is taken from elsewhere and named.
    ``settings`` overrides the choice that ``quick`` makes between QUICK and FULL. InputError when a table is missing or
    broken, or too short for the weeks that are to be held out.
    """
    check_seed(seed)
    chosen = settings if settings is not None else (QUICK if quick else FULL)
    report = progress if progress is not None else _silent
    seen = _observe(tables, settings=chosen, seed=seed, progress=report)
    panel = seen.observations.panel
    scoring, drawing, assuming = (np.random.default_rng((seed, use)) for use in range(3))
    backtest = _score(seen, settings=chosen, generator=scoring, progress=report)
    display = contrast_displays(seen.cells, group_of=panel.group_of, weeks=panel.n_weeks)
    center, members = fit_ensemble(
        seen.observations,
        members=chosen.members,
        block_weeks=chosen.block_weeks,
        display=display,
        estimate_spread=chosen.estimate_spread,
        generator=drawing,
        progress=report,
    )
    evidence = Evidence(
        account=seen.account,
        panel=panel,
        kinds=seen.kinds,
        display=display,
        backtest=backtest,
        center=center,
        members=members,
        realized_price=seen.realized_price,
        site=_learn_site(tables, site or SiteRecords(), seed=seed),
    )
    pulled = estimate_pull_forward(
        seen.observations.lines, panel, segments=seen.kinds.segments, generator=np.random.default_rng((seed, 5))
    )
    card = _judge(tables, seen, evidence, settings=chosen, seed=seed, progress=report)
    report("compiling the World", 0, 1)
    facts = {
        "notice": tables.notice,
        "data": {"name": tables.name, "sha256": tables.checksums(), "time_zone": tables.time_zone},
        "calibration": dataclasses.asdict(chosen) | {"seed": seed},
        "fidelity": card.as_json()
        | {"pulled_forward": None if pulled is None else pulled.as_json()}
        | {"promotions": _back_test(tables, products=chosen.back_tested_products, seed=seed, progress=report)},
    }
    world = _compile(tables, evidence, settings=chosen, generator=assuming, facts=facts)
    report("compiling the World", 1, 1)
    return world


def stratified(low: float, high: float, *, count: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """``count`` draws from [low, high], one in each of as many equal parts, in random order."""
    places = (generator.permutation(count) + generator.random(count)) / count
    return low + (high - low) * places


class _Seen(NamedTuple):
    """What the tables hold, laid out for the models."""

    observations: Observations
    cells: StoreCells
    account: RowAccount
    kinds: CustomerTypes
    realized_price: float


def _observe(tables: ShopTables, *, settings: CalibrationSettings, seed: int, progress: Progress) -> _Seen:
    """Read and clean the tables, choose products, and lay out the panel."""
    steps = 4
    progress("reading and cleaning tables", 0, steps)
    account = RowAccount()
    products = tables.read_products()
    lines = clean_transactions(tables.read_transactions(), products, time_zone=tables.time_zone, account=account)
    progress("reading and cleaning tables", 1, steps)
    n_weeks = int((lines["day"].max() - lines["day"].min()).days) // 7 + 1
    shortest = settings.heldout_weeks + 2 * max(settings.block_weeks, 8)
    if n_weeks < shortest:
        raise InputError(
            f"the tables cover {n_weeks} weeks, {shortest} are needed to hold out {settings.heldout_weeks}; "
            "bring more or hold out fewer"
        )
    early_weeks = n_weeks - settings.heldout_weeks
    selected = select_products(
        lines,
        count=settings.modelled_products,
        ranking_weeks=early_weeks,
        always=settings.product_ids,
        account=account,
    )
    promotions = clean_promotions(
        tables.read_promotions(selected["product_id"].unique().tolist()),
        rows_in_file=tables.count_promotions(),
        account=account,
    )
    progress("reading and cleaning tables", 2, steps)
    panel = build_panel(selected, all_lines=lines, products=products, promotions=promotions, early_weeks=early_weeks)
    behavior = household_behavior(lines, products, block_weeks=settings.block_weeks)
    kinds = find_customer_types(behavior, types=settings.kinds, generator=np.random.default_rng((seed, 6)))
    segments = kinds.segments
    progress("reading and cleaning tables", 3, steps)
    positions = sale_lines(
        selected,
        product_ids=panel.product_ids,
        household_ids=segments.household_ids,
        first_monday=panel.first_monday,
    )
    observations = Observations(
        panel=panel,
        table=demand_table(panel, weeks=panel.n_weeks),
        lines=positions,
        segment=segments.of_lines(positions.household, positions.week),
        segment_names=segments.names,
        households=len(segments.household_ids),
    )
    cells = store_cells(selected, promotions, panel=panel)
    progress("reading and cleaning tables", steps, steps)
    realized_price = float(lines["sales_value"].sum() / lines["regular_value"].sum())
    return _Seen(observations, cells, account, kinds, realized_price)


def _score(
    seen: _Seen, *, settings: CalibrationSettings, generator: np.random.Generator, progress: Progress
) -> Backtest:
    """Score the model on the held-out weeks; each fit, its display contrast too, sees earlier weeks alone."""
    panel = seen.observations.panel

    def fit(table: DemandTable) -> DemandModel:
        weeks = table.units.shape[1]
        return fit_demand(table, display=contrast_displays(seen.cells, group_of=panel.group_of, weeks=weeks))

    return run_backtest(
        panel,
        first_week=panel.n_weeks - settings.heldout_weeks,
        horizon=settings.horizon_weeks,
        resamples=settings.resamples,
        generator=generator,
        fit=fit,
        progress=progress,
    )


def _learn_site(tables: ShopTables, records: SiteRecords, *, seed: int) -> Site:
    """What ``records`` tell of the web site; the World's own defaults stand in for servers that they do not tell of."""
    return learn_site(
        records,
        currency=tables.currency,
        margin=GROSS_MARGIN.low,
        assumed={name: getattr(World, name) for name in ("service_rate", "unloaded_latency_s")},
        seed=seed,
    )


def _judge(
    tables: ShopTables,
    seen: _Seen,
    evidence: Evidence,
    *,
    settings: CalibrationSettings,
    seed: int,
    progress: Progress,
) -> FidelityCard:
    """The fidelity card: a World made in the same way from the weeks before those held out, simulated on these."""
    first_week = seen.observations.panel.n_weeks - settings.heldout_weeks
    early = first_weeks(seen.observations, first_week)
    display = contrast_displays(seen.cells, group_of=early.panel.group_of, weeks=first_week)
    drawing, assuming = (np.random.default_rng((seed, use)) for use in (3, 4))
    center, members = fit_ensemble(
        early,
        members=settings.members,
        block_weeks=settings.block_weeks,
        display=display,
        estimate_spread=settings.estimate_spread,
        generator=drawing,
        progress=lambda _, done, total: progress("fitting on the weeks before those held out", done, total),
    )
    known = dataclasses.replace(evidence, panel=early.panel, display=display, center=center, members=members)
    all_products = dataclasses.replace(settings, product_ids=early.panel.product_ids)
    world = _compile(tables, known, settings=all_products, generator=assuming, facts={})
    progress("simulating held-out weeks", 0, 1)
    held = held_out_weeks(world, seen.observations, first_week=first_week)
    card = fidelity_card(world, held, seed=seed, together=[str(product) for product in settings.product_ids])
    progress("simulating held-out weeks", 1, 1)
    return card


def _back_test(tables: ShopTables, *, products: int, seed: int, progress: Progress) -> dict[str, Any]:
    """How well past promotions were predicted."""
    if not products:
        return not_judged("this calibration leaves it out", episodes=0)
    outcomes = shelf_outcomes(
        tables,
        products=products,
        seed=seed,
        progress=lambda done, total: progress("predicting past promotions", done, total),
    )
    return judge(score_outcomes(outcomes, first_week=FIRST_SCORED), seed=seed)


def _compile(
    tables: ShopTables,
    evidence: Evidence,
    *,
    settings: CalibrationSettings,
    generator: np.random.Generator,
    facts: dict[str, Any],
) -> World:
    panel, members = evidence.panel, evidence.members
    products = np.array([panel.product_ids.index(product) for product in settings.product_ids], dtype=np.intp)
    responses = [
        respond(member, products=products, group_of=panel.group_of, deepest=DEPTH_GRID[-1]) for member in members
    ]
    (probes,) = generator.spawn(1)
    made = [tabulate(response, DEPTH_GRID, generator=probes) for response in responses]
    low, high = np.log((CONVERSION_AT_LIST.low, CONVERSION_AT_LIST.high))
    list_price = np.round(panel.list_price[products], 2)
    cost_share = (1.0 - GROSS_MARGIN.low) * evidence.realized_price
    return World(
        name=f"{tables.name}, {len(products)} products",
        currency=tables.currency,
        product_ids=tuple(str(product) for product in settings.product_ids),
        product_names=tuple(panel.product_names[product] for product in products),
        product_groups=tuple(panel.groups[panel.group_of[product]] for product in products),
        segment_names=evidence.kinds.segments.names,
        list_price=list_price,
        unit_cost=np.round(list_price * cost_share, 4),
        depth_grid=np.array(DEPTH_GRID),
        units_per_minute=np.stack([table.values for table in made]).astype(np.float32),
        display_effect=np.stack([member.model.slopes[products, DISPLAY] for member in members]),
        mailer_effect=np.stack([member.model.slopes[products, MAILER] for member in members]),
        weekday_factor=np.stack([_weekday_factor(member, products) for member in members]),
        frailty_common_variance=np.array([member.dispersion.common for member in members]),
        frailty_product_variance=np.stack([member.dispersion.product[products] for member in members]),
        conversion_at_list=np.exp(stratified(low, high, count=settings.members, generator=generator)),
        traffic_share=stratified(TRAFFIC_SHARE.low, TRAFFIC_SHARE.high, count=settings.members, generator=generator),
        population=CUSTOMERS.low / evidence.households,
        training_members=tuple(range(settings.training_members)),
        heldout_members=tuple(range(settings.training_members, settings.members)),
        supported_depth=SUPPORTED_DEPTH,
        **evidence.site.fields,
        provenance=describe(evidence, products=products, facts=facts)
        | {"interpolation": describe_tables(made), "segments_held": describe_segments_held(responses)},
    )


def _weekday_factor(member: Member, products: NDArray[np.intp]) -> NDArray[np.float64]:
    """Weekday factors of ``products`` together, weighted by their units at list price; mean 1."""
    effect = np.exp(member.model.weekday_effect[member.model.group_of[products]])
    weighted = member.units_per_day[products] @ (effect / effect.mean(axis=1, keepdims=True))
    return weighted / weighted.mean()


def _silent(description: str, done: int, total: int) -> None:
    """Show no progress."""
