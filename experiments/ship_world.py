"""Make the World that comes with the package, anew, from Complete Journey.

python -m experiments.ship_world

A full calibration with fewer members, so that it stays below two megabytes. What it writes belongs into a
commit of its own, with the change that made it necessary.
"""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from experiments.pipeline.prepare import stage_progress
from flashsim.data.sources import complete_journey
from flashsim.world import SHIPPED

if TYPE_CHECKING:
    from flashsim.calibration.complete_journey import CalibrationSettings

SEED = 0


def settings() -> "CalibrationSettings":
    """Those of the full calibration, with fewer members."""
    from flashsim.calibration.complete_journey import FULL

    return replace(FULL, members=25, training_members=5)


def main() -> None:
    """Calibrate and write, whole or not at all."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    from flashsim.calibration.complete_journey import calibrate

    world = calibrate(complete_journey(), seed=SEED, settings=settings(), progress=stage_progress())
    world.save(SHIPPED)
    print(f"World {world.fingerprint()[:12]}: {SHIPPED}")


if __name__ == "__main__":
    main()
