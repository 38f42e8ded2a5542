"""How fast is what we serve, beside a bare session and beside what one would write without a server? `make bench`

    python -m benchmarks.serving [--suite starter|published] [--quick] [--rounds 3] [--seconds 3] [--resume]

All contenders take turns, round after round, so that other work on the machine hits all alike; what counts are ratios
within one run. Results: build/bench/<suite>.json and .md; finished rounds are kept in <suite>.rounds.jsonl, and
--resume goes on after them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.maps import embedding_speed
from benchmarks.serving import machine, repositories
from benchmarks.serving.contenders import Contender
from benchmarks.serving.perf_analyzer import NoLoadGenerator
from benchmarks.serving.report import as_json, as_table
from benchmarks.serving.sample import Sample
from benchmarks.serving.suites import running

MAP_CELLS = 1920  # 11 square kilometres; of 640, the start was a twentieth of the time
Rounds = list[dict[str, Sample]]


def read_rounds(path: Path) -> Rounds:
    """Rounds that an interrupted run has finished."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [{name: Sample(**numbers) for name, numbers in json.loads(line).items()} for line in lines]


def in_all(rounds: Rounds, names: Sequence[str]) -> list[str]:
    """Names that took part in every round: only these count."""
    return [name for name in names if all(name in entry for entry in rounds)]


def fitting_rounds(rounds: Rounds, names: Sequence[str]) -> Rounds:
    """Finished rounds that contenders of these names can go on from, or none.

    Of a bare session each run tries settings and keeps the fastest; a kind of contender without one name that took part
    in all rounds would have no result in the end.
    """
    needed, left = ({tuple(name.split(" | ")[:3]) for name in some} for some in (names, in_all(rounds, names)))
    return rounds if needed == left else []


def one_round(contenders: Sequence[Contender], number: int, seconds: float, warm_up: float) -> dict[str, Sample]:
    """A turn of each. Every other round runs backwards, so that nobody always follows the same one."""
    taken: dict[str, Sample] = {}
    for contender in contenders if number % 2 == 0 else contenders[::-1]:
        taken[contender.name] = sample = contender.turn(seconds, warm_up)
        speed = f"{sample.images_per_second:6.1f} images/s  p99 {sample.p99:5.0f} ms"
        print(f"round {number + 1}  {contender.name:68} {speed}", file=sys.stderr, flush=True)
    return taken


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The whole run; JSON document and table."""
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / f"{options.suite}.rounds.jsonl"
    rounds = read_rounds(kept) if options.resume else []
    kept.write_text("".join(_line(entry) for entry in rounds), encoding="utf-8")
    precisions = ["float32"] if options.quick else ["float32", "int8"]
    if options.repository is not None:
        built, peer_model = {"float32": options.repository}, "starter"
    elif options.suite == "starter":
        built, peer_model = repositories.starter(precisions), "starter"
    else:
        built, checkpoint = repositories.published_size(precisions, options.parity)
        peer_model = str(checkpoint)
    circumstances = machine.describe()
    more: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.out) as scratch:
        folder = Path(scratch)
        with running(
            options.suite, built, peer_model, folder, quick=options.quick, trial_seconds=options.trial_seconds
        ) as run:
            names = [contender.name for contender in run.contenders]
            if rounds and not fitting_rounds(rounds, names):
                print("the finished rounds had other settings of the bare session: starting again", file=sys.stderr)
                rounds = []
                kept.write_text("", encoding="utf-8")
            for number in range(len(rounds), options.rounds):
                rounds.append(one_round(run.contenders, number, options.seconds, options.warm_up))
                with kept.open("a", encoding="utf-8") as file:
                    file.write(_line(rounds[-1]))
            if options.suite == "starter" and not options.quick:
                more["map_embed"] = embedding_speed(folder, MAP_CELLS, run.served["float32"].grpc_url)
    # A resumed run may have chosen other settings for the bare session.
    samples = {name: [entry[name] for entry in rounds] for name in in_all(rounds, names)}
    return (
        as_json(options.suite, circumstances, samples, more),
        as_table(options.suite, circumstances, samples, more),
    )


def _line(entry: dict[str, Sample]) -> str:
    return json.dumps({name: dataclasses.asdict(sample) for name, sample in entry.items()}) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=("starter", "published"), default="starter")
    parser.add_argument("--quick", action="store_true", help="one short turn of one contender of each kind")
    parser.add_argument("--repository", type=Path, help="of the starter in float32, with --quick; default: built here")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of one turn")
    parser.add_argument("--warm-up", type=float, default=0.5)
    parser.add_argument("--trial-seconds", type=float, default=0.3, help="of each setting of the bare session")
    parser.add_argument("--resume", action="store_true", help="keep the rounds that an interrupted run has finished")
    parser.add_argument("--out", type=Path, default=repositories.FOLDER)
    parser.add_argument("--parity", type=Path, default=repositories.ROOT.parent / "shared" / "parity")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (1.5 if options.quick else 3.0)
    try:
        document, table = measure(options)
    except NoLoadGenerator as problem:
        print(f"perf_analyzer cannot be used here: {problem}", file=sys.stderr)
        return 1
    (options.out / f"{options.suite}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (options.out / f"{options.suite}.md").write_text(table, encoding="utf-8")
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
