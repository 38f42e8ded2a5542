"""IMAGE and what is known about it -> PIXELS and CONDITIONS."""

from sat2sound.preprocessing import Limits, SatelliteRequest, decode_text, prepare_satellite
from sat2sound.serving.python_models.answers import ContractModel, read_config
from sat2sound.serving.python_models.items import each_item


class TritonPythonModel(ContractModel):
    """Decodes, checks, crops and resizes; see sat2sound.preprocessing.prepare_satellite."""

    name = "satellite_preprocess"

    def load(self, folder):
        """Read which model this is."""
        self.config = read_config(folder)
        self.limits = Limits.from_environment()

    def answer(self, inputs):
        """Pixels, then one column per condition."""

        def value(name, index):
            return None if inputs[name] is None else inputs[name].reshape(-1)[index]

        def text(name, index):
            raw = value(name, index)
            return None if raw is None else decode_text(raw)

        def number(name, index, kind):
            raw = value(name, index)
            return None if raw is None else kind(raw)

        def prepare(index):
            request = SatelliteRequest(
                image=value("IMAGE", index),
                satellite=text("SATELLITE", index),
                zoom_level=number("ZOOM_LEVEL", index, int),
                gsd=number("GSD", index, float),
                latitude=number("LATITUDE", index, float),
                longitude=number("LONGITUDE", index, float),
                month=number("MONTH", index, int),
                hour=number("HOUR", index, int),
                audio_source=text("AUDIO_SOURCE", index),
                caption_source=text("CAPTION_SOURCE", index),
            )
            return prepare_satellite(request, self.config, self.limits)

        prepared = each_item(len(inputs["IMAGE"]), prepare)
        columns = zip(*(conditions.as_array() for _, conditions in prepared), strict=True)
        return [[pixels for pixels, _ in prepared], *([[entry] for entry in column] for column in columns)]
