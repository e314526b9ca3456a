"""Does a trained policy keep its lead where it was not trained? Play its bundle on other worlds, beside a rule.

python -m experiments.studies.generalise bundle=BUNDLE scenario=grocery_evening world.folder=WORLD
python -m experiments.studies.generalise bundle=BUNDLE world.folder=WORLD 'elsewhere=[LATER_WEEKS,OTHER_STORES]'

The sale is played on the World's training members, on its held-out members, on a deliberately misspecified World whose
operator believes in the first (discounts work half as well, twice as many come), and on the held-out members of the
Worlds ``elsewhere`` (``experiments.calibrate`` makes them), whose operator knows their forecast. Levels differ
from place to place, so what is compared is the lead over a rule on the same sales: the run-out price, which reads the
same observation, with the operations that suit it best on the World's training members. The gap is the lead there less
that on the training members. Leaves ``generalisation.csv``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder
from experiments.launch.progress import progress_meter
from experiments.pipeline.prepare import ScenarioConfig, is_reference, make_scenario, obtain_scenario, say
from experiments.pipeline.trust import PoliciesConfig
from experiments.pipeline.worlds import WorldConfig, call_uncalibrated, load_world, obtain_world
from flashsim.errors import InputError
from flashsim.evaluation.intervals import interval_words
from flashsim.evaluation.probes.misspecified import misspecified, surprised
from flashsim.evaluation.rollout import check_policy, play
from flashsim.evaluation.stats import Resampled, bootstrap_means, difference_of_means, differences
from flashsim.files import write_table
from flashsim.policies.bundle import Policy
from flashsim.rules import Operations, run_out_price
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.parameters import check_range, check_seed, check_whole
from flashsim.world import World


@dataclass(frozen=True)
class GeneraliseConfig:
    """Who is played, and where."""

    bundle: str | None = None
    """Folder of an exported policy."""
    policies: PoliciesConfig = field(default_factory=PoliciesConfig)
    world: WorldConfig = field(default_factory=WorldConfig)
    """The World that it was trained on."""
    elsewhere: tuple[str, ...] = ()
    """Folders of other saved Worlds with as many products."""
    scenario: ScenarioConfig = field(default_factory=ScenarioConfig)
    sales: int = 1_000
    seed: int = 0
    """First seed of the sales, and of the bootstrap."""
    confidence: float = 0.95
    resamples: int = 10_000
    output: str = dated("generalise")

    def __post_init__(self) -> None:
        check_whole("sales", self.sales, 2, 10**9)
        check_seed(self.seed, bits=62)
        check_whole("resamples", self.resamples, 100, 10**9)
        check_range("confidence", self.confidence, 0.01, 0.9999)


def places(world: World, config: GeneraliseConfig, folder: RunFolder) -> Iterator[tuple[str, CompiledSale]]:
    """Where the policy is played: a name and the sale on the members that may be drawn there.

    It can choose from the same menu everywhere; InputError where another World does not support that.
    """
    scenario = obtain_scenario(config.scenario, world, folder)
    sale = scenario.compile()
    yield "training members", sale.with_members(sale.training_members)
    yield "held-out members", sale.with_members(sale.heldout_members)
    truth = make_scenario(config.scenario, misspecified(world)).compile()
    yield "misspecified", surprised(sale, truth).with_members(sale.heldout_members)
    same_menu = replace(config.scenario, changes={"depths": scenario.depths, **config.scenario.changes})
    for place in config.elsewhere:
        other = call_uncalibrated(load_world(place, config.world))
        there = make_scenario(same_menu, other).compile()
        for note in there.menu_notes:
            say(f"{other.name}: {note}")
        yield other.name, there.with_members(there.heldout_members)


COLUMNS = ("profit", "rule", "lead")


def played(place: str, sale: CompiledSale, policy: Policy, how: Operations, config: GeneraliseConfig) -> Resampled:
    """Profit of ``policy``, of the run-out price with operations ``how``, and the lead of the one over the other."""
    with progress_meter(f"playing on {place}", total=2 * sale.all_ticks) as advance:
        mine, rule = (
            play(sale, player, sales=config.sales, seed=config.seed, progress=advance)
            for player in (policy, run_out_price(sale, how))
        )
    profit, rival = mine.totals["profit"], rule.totals["profit"]
    lead = differences(profit[:, None], rival[:, None])
    scores = np.concatenate([np.stack([profit, rival], axis=1), lead], axis=1)
    return bootstrap_means(scores, mine.members, resamples=config.resamples, seed=config.seed)


def lead_row(found: Resampled, trained: Resampled, *, confidence: float) -> dict[str, float]:
    """Means with intervals, and the gap of the lead to that on the training members, ``trained``."""
    told = dict(zip(COLUMNS, np.stack([found.mean, *found.interval(confidence)], axis=1).tolist(), strict=True))
    if found is not trained:
        told["gap"] = [float(values[-1]) for values in difference_of_means(found, trained, confidence=confidence)]
    return {f"{name}{end}": row[k] for name, row in told.items() for k, end in enumerate(("", "_low", "_high"))}


def told_interval(row: Mapping[str, Any], name: str, *, sales: int) -> str:
    """A difference and its interval in words."""
    mean, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    return f"{mean:+,.1f} ({interval_words(mean, low, high, sales=sales, shown='{:+,.1f}'.format, of='tail')})"


@entry("generalise", GeneraliseConfig)
def main(config: GeneraliseConfig, folder: RunFolder) -> None:
    """Play everywhere, then print the table."""
    from agents.start.imitation import starting_rule

    if config.bundle is None:
        raise InputError("bundle: expected the folder of an exported policy, got none; set bundle=FOLDER")
    if is_reference(config.scenario):
        raise InputError(f"scenario: {config.scenario.name!r} has no members to hold out; name a scenario on a World")
    policy = config.policies.load(config.bundle)
    world = obtain_world(config.world, folder)
    folder.record(seeds={"sales": config.seed}, data={"world": world.fingerprint()})
    where = list(places(world, config, folder))
    for _, sale in where:
        check_policy(sale, policy)
    how = starting_rule(where[0][1]).operations
    folder.record(rule=asdict(how))
    found = [played(place, sale, policy, how, config) for place, sale in where]
    rows = [
        {"place": place, "members": len(sale.tables.members), "sales": config.sales}
        | lead_row(one, found[0], confidence=config.confidence)
        for (place, sale), one in zip(where, found, strict=True)
    ]
    table = pd.DataFrame(rows)
    write_table(folder.path / "generalisation.csv", table)
    print(f"{policy.name}: profit of a sale ({where[0][1].currency}), that of the run-out price, the lead over it,")
    print("and its gap to the lead on the training members\n")
    for row in rows:
        told = [told_interval(row, name, sales=config.sales) for name in ("lead", "gap") if name in row]
        print(f"{row['place']:<28}{row['profit']:>12,.1f}{row['rule']:>12,.1f}   {'   '.join(told)}")
    print(f"\nTable: {folder.path / 'generalisation.csv'}", flush=True)


if __name__ == "__main__":
    main()
