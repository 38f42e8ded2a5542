"""The names of parameters in published checkpoints, and how they correspond to this library's."""

from __future__ import annotations

import re

# published prefix -> ours; the first that matches is used
_PREFIXES = (
    ("satmae_backbone.backbone.", "satellite."),
    ("satmae_backbone.projector.", "projector."),
    ("sat_encoder.meta_fuser.transformer_encoder.layers.", "metadata.layers."),
    ("sat_encoder.meta_fuser.meta_embed.", "metadata.meta_embed."),
    ("audio_encoder.model.audio_enc.", "audio."),
    ("fdt.space_dict", "codebook.concepts"),
    ("fdt.img_query_model.q_map.", "satellite_query.layers."),
    ("fdt.audio_query_model.q_map.", "audio_query.layers."),
    ("fdt.txt_query_model.q_map.", "text_query.layers."),
    ("logit_scale_", "logit_scales."),
)
# torch's own attention module, as published, names its projections differently from a Linear
_ATTENTION = (("self_attn.in_proj_", "in_proj."), ("self_attn.out_proj.", "out_proj."))

# Constants and unused heads that published checkpoints carry along: computed here, or not part of the model.
IGNORED = (
    re.compile(r"^audio_encoder\.model\.audio_enc\.audio_feats_extractor\."),  # STFT and mel filter constants
    re.compile(r"^audio_encoder\.model\.audio_enc\.(spectrogram_extractor|logmel_extractor)\."),
    re.compile(r"^audio_encoder\.model\.audio_enc\.(tscam_conv|head)\."),  # classification heads of the pre-training
    re.compile(r"^audio_encoder\.model\.audio_enc\..*\.(relative_position_index|attn_mask)$"),
    re.compile(r"^audio_encoder\.model\.audio_enc\..*\.num_batches_tracked$"),
)


def is_ignored(published_name: str) -> bool:
    """Whether a published name is on the explicit list of constants that loading skips."""
    return any(pattern.search(published_name) for pattern in IGNORED)


def to_library(published_name: str) -> str | None:
    """This library's name of a published parameter, or None if no such parameter is known."""
    for published, ours in _PREFIXES:
        if published_name.startswith(published):
            name = ours + published_name.removeprefix(published)
            if ours == "metadata.layers.":
                for old, new in _ATTENTION:
                    name = name.replace(old, new)
            return name
    return None


def to_published(library_name: str) -> str:
    """The inverse of `to_library`. Raises KeyError for a name that published checkpoints do not have."""
    for published, ours in _PREFIXES:
        if library_name.startswith(ours):
            name = published + library_name.removeprefix(ours)
            if ours == "metadata.layers.":
                for old, new in _ATTENTION:
                    name = re.sub(r"(\.layers\.\d+\.)" + re.escape(new), r"\1" + old, name)
            return name
    raise KeyError(library_name)
