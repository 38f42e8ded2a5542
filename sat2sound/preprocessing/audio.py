"""Encoded recordings -> the 10 seconds of 32 kHz mono that the audio encoder takes."""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from sat2sound.errors import InvalidInput
from sat2sound.preprocessing.image import check_encoded_size
from sat2sound.preprocessing.limits import Limits

Waveform = npt.NDArray[np.float32]

SAMPLE_RATE = 32_000
SECONDS = 10
SAMPLES = SAMPLE_RATE * SECONDS
SAMPLE_RATES = (1_000, 768_000)  # what recorders produce; beyond it a header lies
MAX_CHANNELS = 16
FORMATS = ("WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF")

_EXPECTED = "one WAV, FLAC, Ogg or MP3 recording"
# What the resampler's filter reaches beyond the span that is kept, in seconds: without it the end would fade.
_MARGIN_SECONDS = 0.1


def decode_audio(data: bytes, limits: Limits, offset_seconds: float = 0.0) -> Waveform:
    """Ten seconds from `offset_seconds` on: float32 [320000], mono (mean of channels), 32 kHz.

    Longer recordings are cropped, shorter ones zero-padded at the end (MODEL.md, audio branch). Only the needed span is
    decoded. Raises InvalidInput for anything that is no recording, is out of `limits`, or ends before the offset.
    """
    check_encoded_size(data, limits, "recording")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check_header(file, limits, offset_seconds)
            file.seek(round(offset_seconds * file.samplerate))
            wanted = math.ceil((SECONDS + _MARGIN_SECONDS) * file.samplerate)
            samples = file.read(wanted, dtype="float32", always_2d=True)
            rate = file.samplerate
    except soundfile.SoundFileError as error:
        raise InvalidInput(
            f"the bytes are not a recording that can be decoded ({str(error)[:120]}; they start with {data[:8]!r})",
            expected=_EXPECTED,
            fix="check that the whole file was sent and that it plays; convert other formats first",
        ) from None
    if len(samples) == 0:
        raise InvalidInput("the recording has no samples", expected=_EXPECTED, fix="check that it is complete")
    if not np.isfinite(samples).all():
        raise InvalidInput(
            "the recording has samples that are NaN or infinite",
            expected="finite samples",
            fix="export the recording again, e.g. as 16-bit WAV",
        )
    mono = np.clip(samples.mean(axis=1), -64.0, 64.0)  # float files may exceed full scale, but not overflow the power
    return _fit(soxr.resample(mono, rate, SAMPLE_RATE) if rate != SAMPLE_RATE else mono)


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
    seconds = file.frames / file.samplerate
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
