"""The `sat2sound` command and its subcommands."""

from __future__ import annotations

from typing import Annotated

import typer

from sat2sound.clients.cli import ask, cluster, engines, gateway, local, maps, repositories
from sat2sound.clients.cli.caption import caption
from sat2sound.clients.cli.embed import embed
from sat2sound.clients.cli.evaluate import evaluate
from sat2sound.clients.cli.exit_codes import MEANINGS
from sat2sound.clients.cli.train import train

_EXIT_CODES = "Exit codes: " + "; ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items()) + "."

app = typer.Typer(
    name="sat2sound",
    help="What does this place sound like? Satellite images, sounds and texts in one embedding space.",
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        local.version()
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and end.")
    ] = False,
) -> None: ...


app.command()(local.demo)
app.command()(ask.listen)
app.command()(ask.score)
app.command()(embed)
app.command()(local.serve)
app.command()(repositories.export)
app.command()(repositories.verify)
app.command()(train)
app.command()(evaluate)
app.command()(caption)
app.command()(local.convert)
app.command(name="gateway")(gateway.gateway)
app.add_typer(cluster.repository, name="repository")
app.command()(cluster.drain)
app.command()(cluster.alive)
app.add_typer(engines.engines, name="engines")
app.command()(local.version)
app.add_typer(maps.app)


def main() -> None:
    """Entry point."""
    app()
