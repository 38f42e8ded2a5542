"""A vision-language model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import base64
import io
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import httpx
from PIL import Image

from sat2sound.captioning.captioner import MAX_NEW_TOKENS, PROMPT, Answer, answer_of
from sat2sound.captioning.errors import CaptioningError, EndpointRefused, EndpointUnavailable

ATTEMPTS = 5  # per image
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
FREE_RETRIES = 20  # of a run; beyond these, one for every RETRY_EVERY requests that were answered
RETRY_EVERY = 5
_RETRIED = {408, 409, 425, 429, 500, 502, 503, 504}
_NOT_FOR_US = {401, 402, 403, 404, 405}


class EndpointCaptioner:
    """Asks for one image per request, `batch` at a time.

    endpoint: address up to, and without, /chat/completions. model: as the endpoint names it. token: sent as bearer,
    never logged. timeout: seconds for one request. wait: sleeps so many seconds (for tests). Requests that may
    succeed later are repeated with growing, random waits, or as Retry-After says. Retries have a budget, so that an
    endpoint in trouble is left alone: beyond it the run ends. Raises CaptioningError for an address that is none.
    """

    def __init__(
        self,
        endpoint: str,
        model: str,
        *,
        token: str | None = None,
        prompt: str = PROMPT,
        batch: int = 4,
        timeout: float = 120.0,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        if not endpoint.startswith(("http://", "https://")):
            raise CaptioningError(f"{endpoint!r} is not an http(s) address", fix="give e.g. http://localhost:8000/v1")
        self._url = endpoint.rstrip("/") + "/chat/completions"
        self._model, self._batch, self._prompt, self._wait = model, batch, prompt, wait
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(headers=headers, timeout=timeout)
        self._lock, self._retries, self._answered = threading.Lock(), 0, 0

    @property
    def name(self) -> str:
        """The model, and where it answers."""
        return f"{self._model} at {self._url}"

    @property
    def batch(self) -> int:
        """Requests at a time."""
        return self._batch

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def caption(self, images: Sequence[Image.Image]) -> Iterator[tuple[int, Answer]]:
        """See `Captioner`. Answers that were under way when one request ended the run are given before it is raised."""
        fatal: CaptioningError | None = None
        with ThreadPoolExecutor(self._batch) as pool:
            places = {pool.submit(self._ask, image): index for index, image in enumerate(images)}
            for future in as_completed(places):
                if future.cancelled():
                    continue
                try:
                    answer = future.result()
                except CaptioningError as error:
                    fatal = error
                    for waiting in places:
                        waiting.cancel()
                    continue
                yield places[future], answer
        if fatal:
            raise fatal

    def _ask(self, image: Image.Image) -> Answer:
        request = self._request(image)
        for attempt in range(ATTEMPTS):
            wait = random.uniform(0.5, 1.0) * min(FIRST_WAIT_SECONDS * 2**attempt, LONGEST_WAIT_SECONDS)  # noqa: S311
            try:
                response = self._client.post(self._url, json=request)
            except httpx.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            else:
                if response.status_code in _NOT_FOR_US:
                    raise EndpointRefused(
                        f"{self._url} answered {_problem(response)}", fix="check the address, the model and the token"
                    )
                if response.status_code not in _RETRIED:
                    with self._lock:
                        self._answered += 1
                    return _answer(response)
                problem = _problem(response)
                wait = max(wait, _retry_after(response))
            if attempt + 1 < ATTEMPTS:
                self._spend_retry(problem)
                self._wait(wait)
        return Answer(failure=f"{problem} (after {ATTEMPTS} attempts)")

    def _spend_retry(self, problem: str) -> None:
        with self._lock:
            if self._retries >= FREE_RETRIES + self._answered // RETRY_EVERY:
                raise EndpointUnavailable(
                    f"{self._url} failed too often, last with {problem}",
                    fix="run the same command again later: it goes on where it stopped",
                )
            self._retries += 1

    def _request(self, image: Image.Image) -> dict[str, object]:
        encoded = io.BytesIO()
        image.save(encoded, format="PNG")
        address = "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode()
        content = [{"type": "image_url", "image_url": {"url": address}}, {"type": "text", "text": self._prompt}]
        message = {"role": "user", "content": content}
        return {"model": self._model, "messages": [message], "max_tokens": MAX_NEW_TOKENS, "temperature": 0}


def _answer(response: httpx.Response) -> Answer:
    if response.status_code != 200:
        return Answer(failure=_problem(response))
    try:
        return answer_of(response.json()["choices"][0]["message"]["content"])
    except (ValueError, KeyError, IndexError, TypeError):
        return Answer(failure="the endpoint's answer is not a chat completion")


def _problem(response: httpx.Response) -> str:
    return f"HTTP {response.status_code}: {' '.join(response.text.split())[:200]}"


def _retry_after(response: httpx.Response) -> float:
    """Seconds that the endpoint asks to wait, bounded; 0 if it does not say so in seconds."""
    try:
        return min(max(float(response.headers.get("Retry-After", "0")), 0.0), LONGEST_WAIT_SECONDS)
    except ValueError:
        return 0.0
