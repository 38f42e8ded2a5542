"""UNCHECKED_SCORES -> SCORES."""

from sat2sound.serving.python_models.answers import ContractModel
from sat2sound.serving.python_models.ranking import check_scores


class TritonPythonModel(ContractModel):
    """Refuses queries that have no direction; see sat2sound.serving.python_models.ranking."""

    name = "score_check"

    def load(self, folder):
        """Nothing to read."""

    def answer(self, inputs):
        """The same scores, if all of them are numbers."""
        return [check_scores(inputs["UNCHECKED_SCORES"], "QUERIES")]
