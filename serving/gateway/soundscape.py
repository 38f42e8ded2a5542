"""Answers questions about places: images from wherever they come, then Triton's ensembles."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from sat2sound.clients.inputs import bytes_array, option_arrays
from sat2sound.clients.ranking import rankings
from sat2sound.preprocessing.metadata import check_location, check_zoom_level
from sat2sound.serving.gateway.context import current
from sat2sound.serving.gateway.errors import answer_for, message_for
from sat2sound.serving.gateway.images import ImageStores
from sat2sound.serving.gateway.instances import Instance
from sat2sound.serving.gateway.logs import LOGGER
from sat2sound.serving.gateway.metrics import GatewayMetrics
from sat2sound.serving.gateway.places import Places
from sat2sound.serving.gateway.triton import Arrays, Triton


class Soundscape:
    """What the endpoints have in common. satellite: the type that `places` cuts images for."""

    def __init__(
        self, triton: Triton, stores: ImageStores, places: Places, metrics: GatewayMetrics, *, satellite: str
    ) -> None:
        self._triton, self._stores, self._places, self._metrics = triton, stores, places, metrics
        self._satellite = satellite

    async def answer_all(self, entries: list[Any]) -> list[dict[str, Any]]:
        """One answer per instance, in order; a bad one is answered {"error": ...} and does not touch the others.

        entries: instances as the protocol's JSON puts them; an exception in the place of one that could not be read.
        """
        return list(await asyncio.gather(*(self._answer_or_error(entry) for entry in entries)))

    async def _answer_or_error(self, entry: Any) -> dict[str, Any]:
        try:
            if isinstance(entry, Exception):
                raise entry
            with self._metrics.stage("preprocess"):
                instance = Instance.from_json(entry)
            return await self.answer(instance)
        except Exception as error:
            row = answer_for(error)
            current().note(row.outcome)
            if row.outcome == "failed":
                LOGGER.error("an instance failed: %s", error, exc_info=error if row.http == 500 else None)
            return {"error": {"status": row.http, "message": message_for(error)}}

    async def answer(self, instance: Instance) -> dict[str, Any]:
        """sounds, scores and embedding, as far as asked for. Raises what answer_for knows."""
        inputs = await self.image_inputs(instance)
        with self._metrics.stage("inference"):
            wanted = {
                "sounds": self._sounds(inputs, instance.top_k) if instance.top_k else None,
                "scores": self._scores(inputs, instance.queries) if instance.queries else None,
                "embedding": self._embedding(inputs) if instance.embedding else None,
            }
            asked = {name: call for name, call in wanted.items() if call is not None}
            return dict(zip(asked, await asyncio.gather(*asked.values()), strict=True))

    async def image_inputs(self, instance: Instance) -> Arrays:
        """The inputs of an image ensemble."""
        options = dict(instance.options)
        image = instance.image
        if image is None:
            with self._metrics.stage("fetch"):
                if instance.image_uri is not None:
                    image = await self._stores.read(instance.image_uri)
                else:
                    latitude, longitude = check_location(options["latitude"], options["longitude"])
                    zoom_level = check_zoom_level(options.get("zoom_level", 1))
                    image = await self._places.image(latitude, longitude, zoom_level)
                    options["satellite"] = self._satellite
        with self._metrics.stage("preprocess"):
            return {"IMAGE": bytes_array([image]), **option_arrays(options, 1)}

    async def _sounds(self, inputs: Arrays, top_k: int) -> list[dict[str, Any]]:
        outputs = await self._triton.infer("retrieve_sounds", {**inputs, "TOP_K": np.array([[top_k]], np.int32)})
        return rankings(outputs)[0].to_json()

    async def _scores(self, inputs: Arrays, queries: tuple[str, ...]) -> list[dict[str, Any]]:
        texts = await self._triton.infer("embed_text", {"TEXT": bytes_array([text.encode() for text in queries])})
        asked = {**inputs, "QUERIES": texts["EMBEDDING"][np.newaxis]}
        scores = (await self._triton.infer("score_queries", asked))["SCORES"][0]
        return [{"query": query, "score": float(score)} for query, score in zip(queries, scores, strict=True)]

    async def _embedding(self, inputs: Arrays) -> list[float]:
        values = (await self._triton.infer("embed_satellite", inputs))["EMBEDDING"][0]
        return [float(value) for value in values]
