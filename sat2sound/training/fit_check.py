"""Does a batch fit? Better seen before the first step than after hours, in the batch with the longest captions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from sat2sound.training.callbacks import ours
from sat2sound.training.errors import DoesNotFit
from sat2sound.training.lightning_module import TrainingModule

_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


class FitCheck(Callback):
    """Before the first step: the batch with the largest shapes, forward, backward and one step of an optimizer.

    Nothing of it stays: the optimizer is another one with a learning rate of 0, buffers are put back, and random
    numbers are set anew for every batch.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises DoesNotFit saying what to change."""
        module = ours(pl_module)
        buffers = {name: value.clone() for name, value in module.named_buffers()}
        try:
            _one_step(trainer, module)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not any(words in str(error).lower() for words in _MEMORY):
                raise
            raise DoesNotFit(module.device, error) from None
        finally:
            module.zero_grad(set_to_none=True)
            with torch.no_grad():
                for name, value in module.named_buffers():
                    value.copy_(buffers[name])
        self.say(f"a batch fits{_peak(module.device)}")


def _one_step(trainer: Trainer, module: TrainingModule) -> None:
    batch = module.task.largest_batch(trainer.global_rank, trainer.world_size).to(module.device)
    with trainer.precision_plugin.forward_context():
        loss = module.task.losses(batch, module.batch_index(), module.gather)["total"]
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [value.grad for value in module.parameters() if value.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if trainer.optimizers[0].state or not bool(torch.isfinite(norm)):
        return  # its state is there already; or even a step of length 0 would harm the weights
    optimizer = module.optimisation.optimizer(module.module, set())
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    optimizer.step()


def _peak(device: torch.device) -> str:
    if device.type != "cuda":
        return ""
    peak, whole = torch.cuda.max_memory_allocated(device), torch.cuda.get_device_properties(device).total_memory
    torch.cuda.empty_cache()
    return f": {peak / 2**30:.1f} of {whole / 2**30:.1f} GiB"
