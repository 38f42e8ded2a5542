"""An independent, slow implementation of MODEL.md in float64, to make parity folders with other salts and inputs.

It shares no code with the library: plain loops and torch's own layers, sorting for sparsemax.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

Parameters = dict[str, Tensor]


def linear(p: Parameters, name: str, x: Tensor) -> Tensor:
    return functional.linear(x, p[f"{name}.weight"], p.get(f"{name}.bias"))


def norm(p: Parameters, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"], eps)


def attention(qkv: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    """Attention of one sequence, head by head. qkv: [T, 3 C]; bias: [heads, T, T]."""
    width = qkv.shape[1] // 3
    size = width // heads
    outputs = []
    for head in range(heads):
        q, k, v = (qkv[:, part * width + head * size :][:, :size] for part in range(3))
        scores = q @ k.T / math.sqrt(size)
        outputs.append(torch.softmax(scores if bias is None else scores + bias[head], -1) @ v)
    return torch.cat(outputs, 1)


def satellite_tokens(p: Parameters, pixels: Tensor, gsd: float) -> Tensor:
    """pixels [3, 224, 224] -> projected tokens [196, 1024]."""
    name = "satmae_backbone.backbone"
    patches = pixels.reshape(3, 14, 16, 14, 16).permute(1, 3, 0, 2, 4).reshape(196, -1)
    x = patches @ p[f"{name}.patch_embed.proj.weight"].reshape(768, -1).T + p[f"{name}.patch_embed.proj.bias"]
    position = torch.zeros(196, 768, dtype=torch.float64)
    for index in range(196):
        for half, coordinate in ((0, index % 14), (384, index // 14)):
            angles = torch.tensor([coordinate * gsd * 10000 ** (-k / 192) for k in range(192)], dtype=torch.float64)
            position[index, half : half + 384] = torch.cat([angles.sin(), angles.cos()])
    x = x + position
    for block in range(12):
        b = f"{name}.blocks.{block}"
        x = x + linear(p, f"{b}.attn.proj", attention(linear(p, f"{b}.attn.qkv", norm(p, f"{b}.norm1", x, 1e-6)), 12))
        hidden = functional.gelu(linear(p, f"{b}.mlp.fc1", norm(p, f"{b}.norm2", x, 1e-6)))
        x = x + linear(p, f"{b}.mlp.fc2", hidden)
    y = "satmae_backbone.projector"
    return linear(p, f"{y}.linear2", functional.gelu(linear(p, f"{y}.linear1", x)))


def fuse(p: Parameters, tokens: Tensor, entry: dict[str, Any]) -> Tensor:
    """tokens [196, 1024] and metadata -> [196 + parts, 1024], with torch's own encoder layers.

    The parts are those that there are parameters for.
    """
    name = "sat_encoder.meta_fuser.meta_embed"

    def waves(part: str, *angles: float) -> Tensor:
        values = torch.tensor([f(a) for a in angles for f in (math.sin, math.cos)], dtype=torch.float64)
        return linear(p, f"{name}.{part}.fc2", functional.gelu(linear(p, f"{name}.{part}.fc1", values)))

    extra, missing = [], [False] * 196
    for part in ("audio_source", "caption_source"):
        if f"{name}.{part}_fc.source_embed.weight" in p:
            extra.append(p[f"{name}.{part}_fc.source_embed.weight"][entry[part]])
            missing.append(False)
    if f"{name}.location_fc.fc1.weight" in p:
        extra.append(waves("location_fc", math.pi * entry["latitude"] / 90, math.pi * entry["longitude"] / 180))
        missing.append(False)
    for part, value, period in (("month", "month", 12), ("time", "hour", 23)):
        if f"{name}.{part}_fc.fc1.weight" in p:
            known = bool(entry[f"{part}_valid"])
            extra.append(waves(f"{part}_fc", 2 * math.pi * entry[value] / period) * known)
            missing.append(not known)
    x = torch.cat([tokens, torch.stack(extra)])[None]
    mask = torch.tensor([missing])
    for index in range(3):
        layer = nn.TransformerEncoderLayer(1024, 8, 2048, 0.0, "gelu", batch_first=True, dtype=torch.float64).eval()
        start = f"sat_encoder.meta_fuser.transformer_encoder.layers.{index}."
        layer.load_state_dict({key.removeprefix(start): value for key, value in p.items() if key.startswith(start)})
        x = layer.train()(x, src_key_padding_mask=mask)  # training mode: not the fused fast path; no dropout
    return x[0].detach()


def log_mel(samples: np.ndarray) -> Tensor:
    """float32 [320000] -> dB [1001, 64]."""
    window = torch.hann_window(1024, periodic=True, dtype=torch.float64)
    signal = torch.from_numpy(samples.astype(np.float64))
    power = (
        torch.stft(signal, 1024, 320, window=window, center=True, pad_mode="reflect", return_complex=True).abs() ** 2
    )

    def to_mel(hertz: float) -> float:
        return hertz * 3 / 200 if hertz < 1000 else 15 + math.log(hertz / 1000) * 27 / math.log(6.4)

    def to_hertz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * math.exp((mel - 15) * math.log(6.4) / 27)

    low, high = to_mel(50), to_mel(14000)
    corners = [to_hertz(low + (high - low) * step / 65) for step in range(66)]
    filters = torch.zeros(513, 64, dtype=torch.float64)
    for band in range(64):
        a, b, c = corners[band : band + 3]
        for k in range(513):
            hertz = k * 16000 / 512
            filters[k, band] = max(0.0, min((hertz - a) / (b - a), (c - hertz) / (c - b))) * 2 / (c - a)
    return 10 * torch.log10(torch.clamp(power.T @ filters, min=1e-10))


def window_attention(p: Parameters, name: str, x: Tensor, heads: int, grid: int, shift: int) -> Tensor:
    """x [grid^2, C], normalised -> attention output, window by window."""
    qkv, table = linear(p, f"{name}.qkv", x), p[f"{name}.relative_position_bias_table"]
    mixed = torch.zeros_like(x)
    inside = [(r, c) for r in range(8) for c in range(8)]
    rows = [(a - c + 7) * 15 + (b - d + 7) for a, b in inside for c, d in inside]
    relative = table[rows].reshape(64, 64, heads).permute(2, 0, 1)
    for top in range(0, grid, 8):
        for left in range(0, grid, 8):
            where = [((top + r + shift) % grid, (left + c + shift) % grid) for r, c in inside]
            side = [(top + r + shift >= grid, left + c + shift >= grid) for r, c in inside]  # wrapped around or not
            apart = torch.tensor([[0.0 if a == b else -100.0 for b in side] for a in side], dtype=torch.float64)
            flat = [r * grid + c for r, c in where]
            mixed[flat] = attention(qkv[flat], heads, relative + apart)
    return linear(p, f"{name}.proj", mixed)


def audio_tokens(p: Parameters, mel: Tensor) -> Tensor:
    """dB [1001, 64] -> [32, 768]."""
    name = "audio_encoder.model.audio_enc"
    scale = p[f"{name}.bn0.weight"] / torch.sqrt(p[f"{name}.bn0.running_var"] + 1e-5)
    mel = (mel - p[f"{name}.bn0.running_mean"]) * scale + p[f"{name}.bn0.bias"]
    mel = functional.interpolate(mel[None, None], (1024, 64), mode="bicubic", align_corners=True)[0, 0]
    picture = torch.cat([mel[quarter * 256 : quarter * 256 + 256].T for quarter in range(4)])
    patches = picture.reshape(64, 4, 64, 4).permute(0, 2, 1, 3).reshape(4096, 16)
    x = patches @ p[f"{name}.patch_embed.proj.weight"].reshape(96, 16).T + p[f"{name}.patch_embed.proj.bias"]
    x = norm(p, f"{name}.patch_embed.norm", x)
    for stage, (depth, heads) in enumerate(((2, 4), (2, 8), (6, 16), (2, 32))):
        grid = 64 >> stage
        for index in range(depth):
            b = f"{name}.layers.{stage}.blocks.{index}"
            if (stage, index) == (3, 1):
                values = linear(p, f"{b}.attn.qkv", norm(p, f"{b}.norm1", x))[:, 2 * x.shape[1] :]
                x = x + linear(p, f"{b}.attn.proj", values)
                x = x + norm(p, f"{b}.norm2", x)
                break
            shift = 4 if index % 2 and grid > 8 else 0
            x = x + window_attention(p, f"{b}.attn", norm(p, f"{b}.norm1", x), heads, grid, shift)
            hidden = functional.gelu(linear(p, f"{b}.mlp.fc1", norm(p, f"{b}.norm2", x)))
            x = x + linear(p, f"{b}.mlp.fc2", hidden)
        if stage < 3:
            square, d = x.reshape(grid, grid, -1), f"{name}.layers.{stage}.downsample"
            parts = [square[row::2, column::2] for column in (0, 1) for row in (0, 1)]
            x = linear(p, f"{d}.reduction", norm(p, f"{d}.norm", torch.cat(parts, -1).reshape(grid * grid // 4, -1)))
    x = norm(p, f"{name}.norm", x).reshape(8, 8, 768)
    return torch.cat([(x[2 * quarter] + x[2 * quarter + 1]) / 2 for quarter in range(4)])


def queries(p: Parameters, kind: str, x: Tensor) -> Tensor:
    """Tokens -> queries. kind: img, txt or audio."""
    m = f"fdt.{kind}_query_model.q_map"
    return linear(p, f"{m}.4", norm(p, f"{m}.3", functional.gelu(linear(p, f"{m}.1", norm(p, f"{m}.0", x)))))


def weights(p: Parameters, q: Tensor, mask: Tensor | None = None) -> Tensor:
    """Queries [T, 1024] -> sparsemax weights [16000], by sorting."""
    logits = q @ p["fdt.space_dict"].T / math.sqrt(1024) / 1000
    z = (logits if mask is None else logits * mask[:, None]).max(0).values
    if mask is not None:
        z = z.clamp(min=0)
    ordered = z.sort(descending=True).values
    sums = ordered.cumsum(0)
    size = int((1 + torch.arange(1, len(z) + 1) * ordered > sums).sum())
    return (z - (sums[size - 1] - 1) / size).clamp(min=0)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of unit length, float64."""
    wide = rows.astype(np.float64)
    return np.asarray(wide / np.sqrt((wide**2).sum(1, keepdims=True)))


def losses(satellite: np.ndarray, audio: np.ndarray, caption: np.ndarray, image_caption: np.ndarray) -> list[float]:
    """The five contrastive terms and the total, target by target."""

    def contrastive(first: np.ndarray, second: np.ndarray) -> float:
        logits = unit(first) @ unit(second).T / 0.07
        count = len(logits)
        rows = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        columns = logits - np.log(np.exp(logits).sum(0, keepdims=True))
        total = 0.0
        for i in range(count):
            for j in range(count):
                pseudo = 0.1 * (logits[i, j] >= logits[i, i] - 1e-9)  # equal rows are equal whatever the rounding
                total -= ((i == j) + pseudo) * (rows[i, j] + columns[i, j]) / 2 / count
        return total

    both = audio.astype(np.float64) + caption
    pairs = [contrastive(satellite, audio), contrastive(satellite, caption), contrastive(audio, caption)]
    others = [contrastive(satellite, both), contrastive(satellite, image_caption)]
    return [*pairs, *others, sum(pairs) / 3 + sum(others)]
