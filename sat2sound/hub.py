"""Files of the Hugging Face hub: from the cache, else downloaded once."""

from __future__ import annotations

from pathlib import Path

from sat2sound.errors import Sat2SoundError


class NotOnHub(Sat2SoundError):
    """The hub was asked and has no such repository or file."""


class HubUnreachable(Sat2SoundError):
    """The file is not in the cache and cannot be downloaded now (offline, a proxy, a full disk)."""


def hub_file(repository: str, file: str) -> Path:
    """Where a file of a hub repository lies on this machine. Raises NotOnHub or HubUnreachable.

    Callers add what a person should do instead: that depends on what the file is for.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return Path(hf_hub_download(repository, file))
    except LocalEntryNotFoundError as error:  # also an EntryNotFoundError, though the hub was not reached
        raise HubUnreachable("the hub cannot be reached, and the file is not in the cache") from error
    except (EntryNotFoundError, RepositoryNotFoundError, HFValidationError) as error:
        raise NotOnHub(f"the hub has no {file} in {repository}") from error
    except Exception as error:  # whatever the HTTP library of the day, the disk or a proxy came up with
        raise HubUnreachable(f"the download failed ({type(error).__name__}: {str(error)[:160]})") from error
