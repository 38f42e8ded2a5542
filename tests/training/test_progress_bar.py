"""The bar counts all steps, also of a training that goes on, and leaves stdout alone."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from sat2sound.training import progress_bar
from sat2sound.training.progress_bar import StepBar


def drawn(trainer: Any, module: Any, steps: range, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(progress_bar, "ours", lambda given: given)
    text = io.StringIO()
    bar = StepBar(Console(file=text, width=120, force_terminal=True, color_system=None))
    trainer.global_step = steps.start
    bar.on_train_start(trainer, module)
    for step in steps:
        trainer.global_step, module.at, module.last_loss = step + 1, 2 * (step + 1), 10.0 / (step + 1)
        bar.on_train_batch_end(trainer, module, None, None, 0)
    bar.on_train_end(trainer, module)
    return re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", text.getvalue())


def test_steps_passes_and_loss(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    module = SimpleNamespace(at=0, last_loss=0.0, batches_per_pass=4)
    module.batch_index = lambda: module.at
    trainer = SimpleNamespace(is_global_zero=True, max_steps=6, global_step=0)
    whole = drawn(trainer, module, range(6), monkeypatch)
    assert "step 6/6" in whole
    assert "pass 3  loss 1.667" in whole
    going_on = drawn(trainer, module, range(3, 5), monkeypatch)
    assert "step 3/6" in going_on
    assert "step 5/6" in going_on
    assert "step 1/6" not in going_on
    assert capsys.readouterr().out == ""


def test_other_processes_draw_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = SimpleNamespace(is_global_zero=False, max_steps=6, global_step=0)
    assert drawn(trainer, SimpleNamespace(), range(2), monkeypatch) == ""
