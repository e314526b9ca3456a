"""Make the World that comes with the package, anew, from Complete Journey: ``python -m experiments.ship_world``.

A full calibration with fewer members, so that it stays at a few hundred kilobytes. What it writes belongs into a
commit of its own, with the change that made it necessary.
"""

from dataclasses import replace

from experiments.pipeline.prepare import stage_progress
from flashsim.calibration.complete_journey import FULL, calibrate
from flashsim.data.sources import complete_journey
from flashsim.world import SHIPPED

SETTINGS = replace(FULL, members=25, training_members=5)
SEED = 0


def main() -> None:
    """Calibrate and write, whole or not at all."""
    world = calibrate(complete_journey(), seed=SEED, settings=SETTINGS, progress=stage_progress())
    world.save(SHIPPED)
    print(f"World {world.fingerprint()[:12]}: {SHIPPED}")


if __name__ == "__main__":
    main()
