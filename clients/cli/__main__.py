"""`python -m sat2sound.clients.cli`: the same as `sat2sound`."""

from sat2sound.clients.cli.main import main

main()
