"""Learn a World from shop data and save it.

python -m experiments.calibrate                # the full calibration on Complete Journey
python -m experiments.calibrate world.data=FOLDER world.seed=1 output=outputs/calibrate/mine
"""

from dataclasses import dataclass, field

import pandas as pd

from experiments.entry import dated, entry
from experiments.judging import score_rows
from experiments.outputs import RunFolder
from experiments.stages import WorldConfig, obtain_world
from flashsim.errors import InputError
from flashsim.files import write_text


@dataclass(frozen=True)
class CalibrateConfig:
    """Everything that a calibration depends on."""

    world: WorldConfig = field(default_factory=lambda: WorldConfig(quick=False))
    output: str = dated("calibrate")


@entry("calibrate", CalibrateConfig)
def main(config: CalibrateConfig, folder: RunFolder) -> None:
    """Calibrate, save the World with its scores and the account of rows, and say where they are."""
    if config.world.folder is not None:
        raise InputError(f"world.folder: a calibration makes a World, got {config.world.folder!r}; leave it out")
    world = obtain_world(config.world, folder)
    folder.record(seeds={"calibration": config.world.seed}, data={"world": world.fingerprint()})
    for name, rows in (("scores", score_rows(world)), ("rows", world.provenance.get("rows", []))):
        write_text(folder.path / f"{name}.csv", pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    print(pd.DataFrame(score_rows(world)).to_string(index=False), flush=True)
    print(f"World: {folder.path / 'world'}", flush=True)


if __name__ == "__main__":
    main()
