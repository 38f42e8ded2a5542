"""A vision-language model of `transformers` on this machine: LLaVA-1.5, or any of its kind in a local folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from PIL import Image

from sat2sound.captioning.captioner import MAX_NEW_TOKENS, PROMPT, Answer, answer_of
from sat2sound.captioning.errors import CaptioningError

DEFAULT_MODEL = "llava-hf/llava-1.5-7b-hf"


class LocalCaptioner:
    """Greedy captions, a batch at a time.

    model: folder or hub name of an image-text-to-text model with safetensors weights; code that comes with a model is
    not run, pickled weights are not read. device: default CUDA in float16 where there is one, else CPU in float32.
    Raises CaptioningError if it cannot be loaded.
    """

    def __init__(
        self, model: str = DEFAULT_MODEL, *, prompt: str = PROMPT, batch: int = 8, device: str | None = None
    ) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self._model, self._batch = model, batch
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.float16 if self.device.startswith("cuda") else torch.float32
        try:
            load_processor: Any = AutoProcessor.from_pretrained  # not typed
            self.processor: Any = load_processor(model, backend="pil")
            network: Any = AutoModelForImageTextToText.from_pretrained(model, dtype=dtype, use_safetensors=True)
        except (OSError, ValueError, KeyError) as error:
            raise CaptioningError(
                f"{model} cannot be loaded as a vision-language model: {error}",
                fix="give the folder of one, or a hub name that can be reached",
            ) from error
        self.network: Any = network
        network.eval().to(self.device)
        self.processor.tokenizer.padding_side = "left"  # so that all answers begin at the same position
        self.text = self._prompt(prompt)

    @property
    def name(self) -> str:
        """The folder or hub name."""
        return self._model

    @property
    def batch(self) -> int:
        """Images per forward pass."""
        return self._batch

    def _prompt(self, prompt: str) -> str:
        if self.processor.chat_template:
            content = [{"type": "image"}, {"type": "text", "text": prompt}]
            message = [{"role": "user", "content": content}]
            return str(self.processor.apply_chat_template(message, add_generation_prompt=True))
        return f"USER: {self.processor.image_token}\n{prompt} ASSISTANT:"  # LLaVA-1.5's own form

    @torch.inference_mode()
    def _generate(self, images: Sequence[Image.Image]) -> list[str]:
        given = self.processor(
            images=list(images), text=[self.text] * len(images), padding=True, return_tensors="pt"
        ).to(self.device, self.network.dtype)
        tokens = self.network.generate(
            **given, max_new_tokens=MAX_NEW_TOKENS, do_sample=False, pad_token_id=self.processor.tokenizer.pad_token_id
        )
        new = tokens[:, given["input_ids"].shape[1] :]
        return [str(text) for text in self.processor.batch_decode(new, skip_special_tokens=True)]

    def caption(self, images: Sequence[Image.Image]) -> Iterator[tuple[int, Answer]]:
        """See `Captioner`."""
        yield from ((index, answer_of(text)) for index, text in enumerate(self._generate(images)))
