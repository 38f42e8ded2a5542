"""TEXT -> INPUT_IDS and ATTENTION_MASK."""

from sat2sound.preprocessing import Limits, TextTokenizer, check_text, decode_text
from sat2sound.serving.python_models.answers import TOKENIZER_FILE, ContractModel, read_config
from sat2sound.serving.python_models.items import each_item


class TritonPythonModel(ContractModel):
    """Tokenises, padded to one of a few lengths; see sat2sound.preprocessing.TextTokenizer."""

    name = "text_preprocess"

    def load(self, folder):
        """Read the tokenizer that belongs to the model's text encoder."""
        text = read_config(folder).text
        self.tokenizer = TextTokenizer(folder / TOKENIZER_FILE, text.max_tokens, text.buckets)
        self.limits = Limits.from_environment()

    def answer(self, inputs):
        """Ids and mask of all texts of the request, padded to the same length."""
        texts = inputs["TEXT"].reshape(-1)
        return self.tokenizer.encode(
            each_item(len(texts), lambda index: check_text(decode_text(texts[index]), self.limits)), self.limits
        )
