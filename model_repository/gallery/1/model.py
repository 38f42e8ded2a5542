"""ROWS of the gallery -> ids, captions and sounds, cut to TOP_K."""

from sat2sound.serving.python_models.answers import ContractModel
from sat2sound.serving.python_models.galleries import Galleries
from sat2sound.serving.python_models.ranking import check_scores, top_k


class TritonPythonModel(ContractModel):
    """Turns row numbers into captions; see sat2sound.serving.python_models, galleries and ranking."""

    name = "gallery"

    def load(self, folder):
        """Read the gallery that the rows index."""
        self.galleries = Galleries(folder)

    def answer(self, inputs):
        """Scores, ids, captions and sounds of the best rows."""
        columns = self.galleries.columns(inputs["GALLERY_DIGEST"])
        count = top_k(inputs["TOP_K"], inputs["ROWS"].shape[1])
        scores = check_scores(inputs["ROW_SCORES"][:, :count], "EMBEDDING")
        rows = inputs["ROWS"][:, :count]
        return [scores, *(column[rows] for column in columns)]
