"""Encoder and pooling of one modality: their reference inputs and outputs, as torch computes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sat2sound.contract import MODELS
from sat2sound.export.cases import NamedBatch, audio_cases, query_cases, ranking_cases, satellite_cases, text_cases
from sat2sound.export.gates.runtime import in_pieces
from sat2sound.export.graphs import Graph, branch_modules, ranking_modules
from sat2sound.export.references import Arrays, Case, References
from sat2sound.gallery import Gallery, read_captions
from sat2sound.models import Sat2Sound
from sat2sound.models.text_encoder import text_tokenizer

BRANCHES = ("satellite", "audio", "text")
MASK = "ATTENTION_MASK"


@dataclass(frozen=True)
class Branch:
    """One modality of one model: batches for its encoder, and the batch that the retrieval gate ranks with."""

    name: str
    encoder: Graph
    pooling: Graph
    cases: Sequence[NamedBatch]
    queries: Arrays

    def references(self) -> References:
        """What torch computes for all of them. The pooling's inputs are the encoder's real tokens."""
        encoded, pooled = [], []
        for name, inputs in self.cases:
            outputs = self.encoder.compute(inputs)
            encoded.append(Case(name, inputs, outputs))
            tokens = pooling_inputs(inputs, outputs)
            pooled.append(Case(name, tokens, self.pooling.compute(tokens)))
        queries = Case("queries", self.queries, in_pieces(self._embed, self.queries))
        return References({self.encoder.name: tuple(encoded), self.pooling.name: tuple(pooled)}, {self.name: queries})

    def _embed(self, inputs: Arrays) -> dict[str, np.ndarray]:
        return self.pooling.compute(pooling_inputs(inputs, self.encoder.compute(inputs)))


def pooling_inputs(encoder_inputs: Arrays, tokens: Arrays) -> Arrays:
    """The encoder's output with the mask, where there is one."""
    return {**tokens, **({MASK: encoder_inputs[MASK]} if MASK in encoder_inputs else {})}


def branches(model: Sat2Sound) -> Iterator[Branch]:
    """The three, one after the other, so that only one's inputs are in memory."""
    modules = branch_modules(model)
    tokenizer = text_tokenizer(model.config.text)
    captions = [entry.caption for entry in read_captions()]
    makers: dict[str, Callable[[], Iterator[NamedBatch]]] = {
        "satellite": satellite_cases,
        "audio": audio_cases,
        "text": lambda: text_cases(model.config.text, tokenizer, captions),
    }
    queries = query_cases(tokenizer, captions)
    for name in BRANCHES:
        cases = list(makers[name]())
        example = next(inputs for _, inputs in cases if len(next(iter(inputs.values()))) > 1)
        encoder = f"{name}_encoder"
        tokens = _example_tokens(model, name, example)
        yield Branch(
            name,
            Graph(MODELS[encoder], modules[encoder], example),
            Graph(MODELS[f"{name}_pooling"], modules[f"{name}_pooling"], pooling_inputs(example, tokens)),
            cases,
            queries[name],
        )


def _example_tokens(model: Sat2Sound, branch: str, example: Arrays) -> Arrays:
    """Tokens of the right shape; the exporter looks at nothing else."""
    config = model.config
    count, width = {
        "satellite": (config.image_tokens, config.embedding),
        "audio": (config.audio.output_tokens, config.audio.output_width),
        "text": (next(iter(example.values())).shape[1], config.text.width),
    }[branch]
    batch = len(next(iter(example.values())))
    random = np.random.default_rng(0)
    return {"TOKENS": random.standard_normal((batch, count, width)).astype(np.float32)}


def ranking_graphs(gallery: Gallery, max_k: int) -> dict[str, Graph]:
    """similarity and query_scores."""
    modules = ranking_modules(gallery.embeddings, gallery.digest, max_k)
    cases = ranking_cases(gallery.embeddings)
    return {
        name: Graph(MODELS[name], module, next(inputs for title, inputs in cases[name] if not title.startswith("one")))
        for name, module in modules.items()
    }


def ranking_references(graphs: Mapping[str, Graph], gallery: Gallery) -> References:
    """What torch computes for the cases of similarity and query_scores."""
    cases = ranking_cases(gallery.embeddings)
    return References(
        {
            name: tuple(Case(title, inputs, graphs[name].compute(inputs)) for title, inputs in cases[name])
            for name in graphs
        },
        {},
    )
