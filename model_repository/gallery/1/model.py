"""ROWS of the gallery -> ids, captions and sounds, cut to TOP_K."""

from sat2sound.gallery import read_gallery
from sat2sound.serving.python_models.answers import GALLERY_FILE, ContractModel
from sat2sound.serving.python_models.ranking import check_digest, check_scores, top_k


class TritonPythonModel(ContractModel):
    """Turns row numbers into captions; see sat2sound.serving.python_models.ranking."""

    name = "gallery"

    def load(self, folder):
        """Read the gallery that the rows index."""
        gallery = read_gallery(folder / GALLERY_FILE)
        self.digest = gallery.digest
        self.columns = gallery.columns()

    def answer(self, inputs):
        """Scores, ids, captions and sounds of the best rows."""
        check_digest(inputs["GALLERY_DIGEST"], self.digest)
        count = top_k(inputs["TOP_K"], inputs["ROWS"].shape[1])
        scores = check_scores(inputs["ROW_SCORES"][:, :count], "EMBEDDING")
        rows = inputs["ROWS"][:, :count]
        return [scores, *(column[rows] for column in self.columns)]
