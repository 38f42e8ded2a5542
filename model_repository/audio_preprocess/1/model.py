"""AUDIO -> LOG_MEL."""

from sat2sound.preprocessing import Limits, prepare_audio
from sat2sound.serving.python_models.answers import ContractModel
from sat2sound.serving.python_models.items import each_item


class TritonPythonModel(ContractModel):
    """Decodes ten seconds and computes the log-mel spectrogram; see sat2sound.preprocessing.prepare_audio."""

    name = "audio_preprocess"

    def load(self, folder):
        """Read the limits."""
        self.limits = Limits.from_environment()

    def answer(self, inputs):
        """One spectrogram per recording."""
        recordings, offsets = inputs["AUDIO"].reshape(-1), inputs["OFFSET_SECONDS"]

        def prepare(index):
            offset = 0.0 if offsets is None else float(offsets.reshape(-1)[index])
            return prepare_audio(recordings[index], self.limits, offset)

        return [each_item(len(recordings), prepare)]
