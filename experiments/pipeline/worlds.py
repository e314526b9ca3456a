"""Which World a program works on: a saved one, the one in the package, or one calibrated now."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.launch.outputs import RunFolder
from experiments.pipeline.prepare import say, stage_progress
from experiments.pipeline.trust import TrustConfig
from flashsim.errors import InputError
from flashsim.shown import brief
from flashsim.world import World, shipped_world

if TYPE_CHECKING:
    from flashsim.calibration.site import SiteRecords
    from flashsim.data.sources import ShopTables


@dataclass(frozen=True)
class WorldConfig(TrustConfig):
    """Which World the sale is on."""

    folder: str | None = None
    """A saved World; none: the one in the package, where it was made of the same data and nothing below asks for
    another; else one calibrated from Complete Journey."""
    calibrate: bool = False
    """Calibrate anew, though the World in the package was made of the same data."""
    data: str | None = None
    """Folder of the three tables; none: those in the installed package."""
    view: str = "all"
    """Part of the tables: all, early_weeks, later_weeks, home_stores or other_stores (flashsim/data/subsets.py)."""
    quick: bool = True
    """Fit the ensemble without spread of its own estimates (half a minute); false: the full calibration."""
    seed: int = 0
    """Of the bootstrap that makes the members."""

    def __post_init__(self) -> None:
        if self.calibrate and self.folder is not None:
            raise InputError(
                f"world.calibrate=true makes a World, world.folder={brief(self.folder)} is one that is made; give one"
            )


def obtain_world(config: WorldConfig, folder: RunFolder) -> World:
    """The World that ``config`` asks for; says which it is, also in ``run.json``.

    What is not saved already is saved to ``world`` in the run's folder.
    """
    if config.folder is not None:
        return _from(f"world.folder={config.folder}", call_uncalibrated(load_world(config.folder, config)), folder)
    why = _why_not_shipped(config)
    if why is not None:
        return calibrate_world(config, folder, why=why)
    world = shipped_world()
    changed = _what_changed(world, config)
    if changed is not None:
        return calibrate_world(config, folder, why=changed)
    world.save(folder.path / "world")
    told = "the package, made of the same data" if _is_at_hand(config) else "the package; its data are not installed"
    say(f"the World comes with {told} (world.calibrate=true makes it anew)")
    return _from(told, call_uncalibrated(world), folder)


def calibrate_world(config: WorldConfig, folder: RunFolder, *, why: str, site: "SiteRecords | None" = None) -> World:
    """A World calibrated now from Complete Journey, with what ``site`` tells, and saved to ``world`` in the run's
    folder; ``why`` says what asked for it."""
    from flashsim.calibration.complete_journey import FULL, QUICK, calibrate
    from flashsim.data.subsets import HALF_YEARS, view_of

    tables = view_of(_tables(config), config.view)
    say(f"calibrating a World: {why}")
    full = QUICK if config.quick else FULL
    settings = replace(full, heldout_weeks=full.heldout_weeks // 2) if config.view in HALF_YEARS else full
    with folder.timed("calibration"):
        world = calibrate(tables, seed=config.seed, settings=settings, site=site, progress=stage_progress())
    world.save(folder.path / "world")
    return _from(f"a calibration: {why}", call_uncalibrated(world), folder)


def load_world(folder: str, config: TrustConfig) -> World:
    """The World in ``folder``; says in a line whether it is signed, and by whom."""
    return World.load(Path(folder), trust=config.trust("world"))


def call_uncalibrated(world: World) -> World:
    """Say why ``world`` is uncalibrated, if it is, and hand it on."""
    for reason in world.uncalibrated_because:
        say(f"{world.title}: {reason}")
    return world


def check_no_world(config: WorldConfig) -> None:
    """InputError where a World is given for a reference sale, which has none."""
    given = {"folder": config.folder, "data": config.data, "calibrate": "true" if config.calibrate else None}
    for name, value in given.items():
        if value is not None:
            raise InputError(f"world.{name}={value}: a reference sale is on no World; leave it out")


def _from(origin: str, world: World, folder: RunFolder) -> World:
    """Note where ``world`` came from, and hand it on."""
    folder.record(world_from=origin)
    return world


def _why_not_shipped(config: WorldConfig) -> str | None:
    """The setting that asks for another World than the one in the package; None where none does."""
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name in ("calibrate", "view", "quick", "seed") and value != field.default:
            return f"world.{field.name}={str(value).lower()}"
    return None


def _what_changed(world: World, config: WorldConfig) -> str | None:
    """Which tables differ from those that ``world`` was made of, in words; None where none does, or none are at
    hand."""
    if not _is_at_hand(config):
        return None
    made_of = world.provenance.get("data", {}).get("sha256", {})
    differ = [name for name, found in _tables(config).checksums().items() if made_of.get(name) != found]
    if not differ:
        return None
    return f"{' and '.join(differ)} differ from what the World in the package was made of"


def _is_at_hand(config: WorldConfig) -> bool:
    """Whether there are tables to compare a World with: a folder that is named, or the package of the data."""
    from flashsim.data.sources import is_installed

    return config.data is not None or is_installed()


def _tables(config: WorldConfig) -> "ShopTables":
    """The tables that ``config`` names; InputError where there are none."""
    from flashsim.data.sources import complete_journey

    return complete_journey(None if config.data is None else Path(config.data))
