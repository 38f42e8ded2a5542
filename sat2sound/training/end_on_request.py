"""SIGTERM, as Kubernetes and Slurm send it before they kill: end between two steps, so that nothing is lost."""

from __future__ import annotations

import signal
import threading
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from sat2sound.training.callbacks import ours


class EndOnRequest(Callback):
    """asked: whether the training ended because it was asked to. One process that is asked is enough."""

    def __init__(self) -> None:
        self.asked = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, instead of Lightning, which would end within a step; it puts the former handler back at the end.

        Only a process's main thread can listen.
        """
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The callback that keeps checkpoints then writes the last one, as at any end."""
        if ours(pl_module).between_steps and trainer.strategy.reduce_boolean_decision(self.asked, all=False):
            self.asked = trainer.should_stop = True
