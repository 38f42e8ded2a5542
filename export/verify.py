"""Does a model repository still compute what it should? All gates again, on files as they lie there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sat2sound.configs import ModelConfig
from sat2sound.contract import MODELS
from sat2sound.errors import ConfigurationError
from sat2sound.export.build_events import GraphEvent
from sat2sound.export.gates import GateResult, check_graph
from sat2sound.export.gates.configuration import check_configuration
from sat2sound.export.gates.engines import check_engines
from sat2sound.export.gates.whole import check_whole
from sat2sound.export.manifest import MANIFEST, file_digests, read_manifest, repository_digest
from sat2sound.export.passed import GALLERY, TOKENIZER, digests, subject_files
from sat2sound.export.profiles import MAX_K, Profile, find_profile
from sat2sound.export.references import FILE as REFERENCES
from sat2sound.export.references import References, read_digests, read_references
from sat2sound.export.repository import VERSION
from sat2sound.export.tensorrt.supported import check_supported
from sat2sound.gallery import Gallery, read_gallery

_CONFIG = Path("satellite_preprocess", VERSION, "sat2sound.json")


def verify_repository(
    folder: Path,
    against: str | None = None,
    text_encoder: Path | None = None,
    *,
    progress: Callable[[str], None] = lambda message: None,
    watch: Callable[[GraphEvent], None] = lambda event: None,
) -> list[GateResult]:
    """Every gate's result. Nothing in the folder is trusted: what cannot be read is a problem among the results.

    against: a checkpoint to compare with in torch; default: the stored references, which needs no torch. Raises
    ConfigurationError if the folder is no model repository, and CheckpointError.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise ConfigurationError(f"{folder} has no {MANIFEST}; build a repository with `sat2sound export`")
    results = [_check_files(folder, manifest)]
    try:
        config = ModelConfig.from_json((folder / _CONFIG).read_text(encoding="utf-8"))
        gallery = read_gallery(folder / GALLERY)
        profile = find_profile(str(manifest.get("profile")))
        progress("computing reference outputs in torch" if against else "reading reference inputs and outputs")
        max_k = min(MAX_K, len(gallery.entries))
        references = (
            _computed(against, text_encoder, gallery, max_k) if against else read_references(folder / REFERENCES)
        )
    except (ConfigurationError, OSError, UnicodeDecodeError, ValueError) as error:
        return [*results, GateResult("contents", "repository", problems=(str(error),))]
    dimensions = config.dimensions(max_k)
    results += _check_passed(folder)
    files = {name: folder / name / VERSION / "model.onnx" for name, model in MODELS.items() if model.kind == "onnx"}
    for name, model in MODELS.items():
        watch(GraphEvent(name, "checking"))
        place = folder / name / "config.pbtxt"
        results.append(check_configuration(model, dimensions, profile, place, files.get(name)))
        if model.kind == "onnx":
            cases = references.graphs.get(name, ())
            results += check_graph(model, dimensions, files[name], profile.precision(name), cases)
        watch(GraphEvent(name, "done"))
    results += check_supported(profile, files)
    results += _check_engines(folder, profile, files, manifest.get("engines"))
    progress("checking rankings and the gallery")
    results += check_whole(files, profile, config, references, gallery, folder / TOKENIZER)
    return results


def _check_files(folder: Path, manifest: dict[str, Any]) -> GateResult:
    listed = manifest.get("files")
    listed = listed if isinstance(listed, dict) else {}
    found = file_digests(folder)
    problems = [f"{name} is missing" for name in listed if name not in found]
    problems += [f"{name} is not in the manifest" for name in found if name not in listed]
    problems += [
        f"{name} was changed since the build" for name in found if listed.get(name, found[name]) != found[name]
    ]
    if manifest.get("digest") != repository_digest(found):
        problems.append("the digest of the whole repository is not the manifest's")
    return GateResult("files", "repository", problems=tuple(problems))


def _check_engines(folder: Path, profile: Profile, files: Mapping[str, Path], known: Any) -> list[GateResult]:
    """Of every graph that the profile runs as an engine, whether or not one was built yet."""
    engines = known if isinstance(known, dict) else {}
    parts = {name: entry for name, entry in engines.items() if isinstance(entry, dict)}
    return [
        check_engines(name, folder / name / "config.pbtxt", files[name], parts.get(name, {}))
        for name in profile.engines
    ]


def _check_passed(folder: Path) -> list[GateResult]:
    """Whether graphs, gallery and tokenizer are those that passed the gates, bit for bit."""
    stored = read_digests(folder / REFERENCES)
    results = []
    for subject, files in subject_files(folder).items():
        same = bool(files) and stored.get(subject) == digests(files)
        what = {"gallery": GALLERY.name, "tokenizer": TOKENIZER.name}.get(subject, "model.onnx or its external data")
        problem = f"{what} is not the file that passed the gates ({REFERENCES})"
        results.append(GateResult("weights", subject, problems=() if same else (problem,)))
    return results


def _computed(checkpoint: str, text_encoder: Path | None, gallery: Gallery, max_k: int) -> References:
    from sat2sound.export.branches import branches, ranking_graphs, ranking_references
    from sat2sound.models import Sat2Sound

    model = Sat2Sound.from_checkpoint(checkpoint, text_encoder)
    references = ranking_references(ranking_graphs(gallery, max_k), gallery)
    for branch in branches(model):
        references = references.joined(branch.references())
    return references
