"""The `sat2sound` command. Commands import what they need when they run, so that `--help` is quick."""
