"""The entropy bonus of PPO: how much it is paid for trying, less and less while it learns."""

from stable_baselines3.common.callbacks import BaseCallback


class EntropySchedule(BaseCallback):
    """Lets PPO's entropy bonus fall linearly to 0 at ``until`` of the training."""

    def __init__(self, start: float, *, until: float) -> None:
        super().__init__()
        self.start, self.until = start, until

    def _on_rollout_start(self) -> None:
        done = 1.0 - self.model._current_progress_remaining
        self.model.ent_coef = self.start * max(0.0, 1.0 - done / self.until)  # type: ignore[attr-defined]

    def _on_step(self) -> bool:
        return True
