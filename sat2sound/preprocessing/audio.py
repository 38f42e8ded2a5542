"""Encoded recordings -> the 10 seconds of 32 kHz mono that the audio encoder takes."""

from __future__ import annotations

import io
import math
import re

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from sat2sound.errors import InvalidInput
from sat2sound.preprocessing.limits import Limits, check_encoded_size

Waveform = npt.NDArray[np.float32]

SAMPLE_RATE = 32_000
SECONDS = 10
SAMPLES = SAMPLE_RATE * SECONDS
SAMPLE_RATES = (1_000, 768_000)  # what recorders produce; beyond it a header lies
MAX_CHANNELS = 16
FORMATS = ("WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF")

_EXPECTED = "one WAV, FLAC, Ogg or MP3 recording"
# Beginnings of these formats: libsndfile knows two dozen others, and none of their parsers is to be reachable.
_SIGNATURES = re.compile(
    rb"RIF[FX]....WAVE|RF64....WAVE|riff\x2e\x91\xcf\x11|fLaC|OggS|ID3|\xff[\xe2-\xff]|FORM....AIF[FC]", re.DOTALL
)
_UNKNOWN_LENGTH = 2**62  # libsndfile's largest count stands for "the header does not say"
# What the resampler's filter reaches beyond the span that is kept, in seconds: without it the ends would fade.
_MARGIN_SECONDS = 0.1
_BLOCK = 65_536  # frames decoded at a time: many channels at a high rate need not be in memory at once


class _Buffer(io.BytesIO):
    """Bytes as a file whose impossible seeks stay where they are.

    Damaged files make libsndfile ask for positions before the start; an exception cannot cross it and would be printed.
    """

    def seek(self, offset: int, whence: int = 0, /) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


class _Recording(soundfile.SoundFile):  # type: ignore[misc]  # an untyped base
    """A file that is read front to back, without a seek after each read.

    soundfile would seek to where the read ended, which fails at the end of FLAC streams whose header does not say how
    long they are.
    """

    def seekable(self) -> bool:
        return False


def decode_audio(data: bytes, limits: Limits, offset_seconds: float = 0.0) -> Waveform:
    """Ten seconds from `offset_seconds` on: float32 [320000], mono (mean of channels), 32 kHz.

    Longer recordings are cropped, shorter ones zero-padded at the end (MODEL.md, audio branch). Only the needed span is
    decoded. Raises InvalidInput for anything that is no recording, is out of `limits`, or ends before the offset.
    """
    check_encoded_size(data, limits, "recording")
    if not _SIGNATURES.match(data):
        raise _undecodable("format not recognised", data)
    try:
        with _Recording(_Buffer(data)) as file:
            rate = file.samplerate
            _check_header(file, limits, offset_seconds)
            start = round(offset_seconds * rate)
            # One second is a whole number of samples at both rates, so that the crop is that of the resampled whole.
            lead = min(start, rate)
            if start:
                file.seek(start - lead)
            samples = _read_mono(file, lead + math.ceil((SECONDS + _MARGIN_SECONDS) * rate))
    except soundfile.SoundFileError as error:
        # without the prefix, which names our buffer's address
        raise _undecodable(getattr(error, "error_string", str(error)), data) from None
    if len(samples) <= lead:
        raise InvalidInput(
            "the recording has no samples" if not start else f"the recording ends before {offset_seconds:g} seconds",
            expected=_EXPECTED,
            fix="check that it is complete, or choose a smaller offset",
        )
    resampled = soxr.resample(samples, rate, SAMPLE_RATE) if rate != SAMPLE_RATE else samples
    return _fit(resampled[round(lead * SAMPLE_RATE / rate) :])


def _undecodable(reason: str, data: bytes) -> InvalidInput:
    return InvalidInput(
        f"the bytes are not a recording that can be decoded ({reason[:120]}; they start with {data[:8]!r})",
        expected=_EXPECTED,
        fix="check that the whole file was sent and that it plays; convert other formats first",
    )


def _read_mono(file: soundfile.SoundFile, frames: int) -> Waveform:
    """Up to so many frames, mean of channels. Raises InvalidInput for NaN and infinite samples."""
    blocks: list[Waveform] = []
    while frames > 0:
        block = file.read(min(frames, _BLOCK), dtype="float32", always_2d=True)
        if not np.isfinite(block).all():
            raise InvalidInput(
                "the recording has samples that are NaN or infinite",
                expected="finite samples",
                fix="export the recording again, e.g. as 16-bit WAV",
            )
        # float files may exceed full scale, but must not overflow the power
        blocks.append(np.clip(block, -64.0, 64.0).mean(axis=1, dtype=np.float32))
        if len(block) < min(frames, _BLOCK):
            break
        frames -= len(block)
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _check_header(file: soundfile.SoundFile, limits: Limits, offset_seconds: float) -> None:
    if file.format not in FORMATS:
        raise InvalidInput(f"recordings in {file.format} are not accepted", expected=_EXPECTED, fix="convert the file")
    low, high = SAMPLE_RATES
    if not low <= file.samplerate <= high:
        raise InvalidInput(
            f"the sample rate is {file.samplerate} Hz", expected=f"{low} to {high} Hz", fix="resample it"
        )
    if file.channels > MAX_CHANNELS:
        raise InvalidInput(
            f"the recording has {file.channels} channels", expected=f"1 to {MAX_CHANNELS}", fix="mix it down to stereo"
        )
    streamed = file.frames >= _UNKNOWN_LENGTH  # written to a pipe: the longest that could be is the safe guess
    seconds = limits.max_audio_seconds if streamed else file.frames / file.samplerate
    if not limits.min_audio_seconds <= seconds <= limits.max_audio_seconds:
        raise InvalidInput(
            f"the recording lasts {seconds:.3f} seconds",
            expected=f"{limits.min_audio_seconds:g} to {limits.max_audio_seconds:g} seconds",
            fix="send a part of it: 10 seconds are used",
        )
    if not 0.0 <= offset_seconds < seconds:  # also catches NaN
        raise InvalidInput(
            f"OFFSET_SECONDS is {offset_seconds:g}",
            expected=f"0 up to the recording's length of {seconds:.3f} seconds",
            fix="choose an offset within the recording, or leave it out to start at 0",
        )


def _fit(waveform: Waveform) -> Waveform:
    """Crop or zero-pad at the end to float32 [320000]."""
    fitted = np.zeros(SAMPLES, dtype=np.float32)
    kept = waveform[:SAMPLES]
    fitted[: len(kept)] = kept
    return fitted
