"""The command that trains a model."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sat2sound.clients.cli import options
from sat2sound.clients.cli.exit_codes import readable_errors
from sat2sound.errors import ConfigurationError

_DATA = "Data"
_MACHINE = "Machine"


@readable_errors
def train(
    config: Annotated[
        str,
        typer.Option(
            "--config",
            "-c",
            help='A recipe: "published", "starter" or another one of the package, or a .json, .toml or .yaml file.',
            show_default=False,
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            help="Folder or file of the dataset, or OWNER/NAME of one on the hub.",
            rich_help_panel=_DATA,
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and metrics.", show_default=False)],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training in --out; begins if there is none.")
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change the recipe, e.g. pairs.batch=64. May be repeated."),
    ] = None,
    start_from: Annotated[
        list[Path] | None,
        typer.Option(help="Safetensors with some or all of the weights to begin with. May be repeated."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="End at this optimizer step; --resume goes on.", show_default=False)
    ] = None,
    save_every: Annotated[int, typer.Option(min=1, help="Optimizer steps between two checkpoints.")] = 500,
    split: Annotated[str, typer.Option(help="To train on.", rich_help_panel=_DATA)] = "train",
    validation_split: Annotated[
        str, typer.Option(help='To choose the best weights by; "none": the last ones.', rich_help_panel=_DATA)
    ] = "val",
    satellite: Annotated[
        str | None,
        typer.Option(help="Whose images, where the dataset has several.", rich_help_panel=_DATA, show_default=False),
    ] = None,
    log_mels: Annotated[
        bool, typer.Option("--log-mels", help="Take the dataset's spectrograms, not its audio.", rich_help_panel=_DATA)
    ] = False,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream", help="Read Parquet shards as they are needed, with no copy on disk.", rich_help_panel=_DATA
        ),
    ] = False,
    shuffle_buffer: Annotated[
        int, typer.Option(min=1, help="With --stream: samples among which the order is random.", rich_help_panel=_DATA)
    ] = 512,
    captions: Annotated[
        Path | None,
        typer.Option(
            help="Image captions that `sat2sound caption` wrote, instead of the dataset's.",
            rich_help_panel=_DATA,
            show_default=False,
        ),
    ] = None,
    text_encoder: Annotated[
        Path | None,
        typer.Option(help="Folder of the frozen text encoder. Default: the configuration's.", show_default=False),
    ] = None,
    accelerator: Annotated[str, typer.Option(help="auto, cpu or gpu.", rich_help_panel=_MACHINE)] = "auto",
    devices: Annotated[str, typer.Option(help='How many per node, or "auto" for all.', rich_help_panel=_MACHINE)] = "1",
    nodes: Annotated[int, typer.Option(min=1, help="Run the same command on each.", rich_help_panel=_MACHINE)] = 1,
    precision: Annotated[
        str, typer.Option(help="32-true, bf16-mixed or 16-mixed.", rich_help_panel=_MACHINE)
    ] = "32-true",
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that read data, per device.", rich_help_panel=_MACHINE)
    ] = 0,
    threads: Annotated[int, typer.Option(min=0, help="Of torch; 0: its own choice.", rich_help_panel=_MACHINE)] = 0,
    bar: Annotated[bool, typer.Option(help="A progress bar.")] = True,
    as_json: options.Json = False,
) -> None:
    """Train a model.

    Writes last.safetensors (to go on from, with --resume), best.safetensors (the best on the validation split, for
    export and evaluate), and metrics for spreadsheets and TensorBoard. What was killed goes on as if it never had been.

    Exit codes: 2 recipe or data that cannot be used; 10 the loss is not finite; 11 a batch does not fit into memory, or
    a checkpoint onto the disk; 130 asked to end.

    Examples:

    [cyan]sat2sound train --config published --data my-places --out build/mine --set pairs.batch=64[/]

    [cyan]sat2sound train -c my-recipe.toml --data hub-shards --satellite sentinel --devices 8 --precision bf16-mixed
    --workers 8 --out build/sentinel --resume[/]

    [cyan]sat2sound train -c published --data MVRL/GeoSound --satellite sentinel --log-mels --stream --workers 8
    --out build/sentinel[/]
    """
    if importlib.util.find_spec("lightning") is None or importlib.util.find_spec("pydantic") is None:
        raise ConfigurationError("training needs more packages; pip install 'sat2sound[train]'")
    import sys

    from sat2sound.clients.cli.terminal import Steps, print_json
    from sat2sound.training.fitting import Machine, Run
    from sat2sound.training.processes import is_first_process
    from sat2sound.training.recipe_file import load_recipe
    from sat2sound.training.run_recipe import Sources
    from sat2sound.training.run_recipe import train as train_recipe

    recipe = load_recipe(config, dict(_change(text) for text in changes or ()))
    sources = Sources(
        data,
        split,
        None if validation_split == "none" else validation_split,
        tuple(start_from or ()),
        text_encoder,
        satellite,
        log_mels,
        shuffle_buffer if stream else None,
        captions,
    )
    run = Run(out, resume=resume, save_every=save_every, stop_at=steps, bar=bar and sys.stderr.isatty())
    machine = Machine(accelerator, devices, nodes, precision, workers, threads)
    say = Steps()
    done = train_recipe(recipe, sources, run, machine, say)
    if not is_first_process():
        return
    say(f"{done.steps} steps; best weights: {done.best or 'none yet'}")
    if as_json:
        print_json(
            {
                "steps": done.steps,
                "score": done.score,
                "best": str(done.best) if done.best else None,
                "last": str(done.last),
            }
        )


def _change(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value in JSON or a bare word."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE, e.g. pairs.batch=64", param_hint="--set")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
