#!/bin/sh
# mypy cannot follow setuptools' package-dir mapping of an editable install; links under build/ give it the installed
# layout (sat2sound.export, sat2sound.serving, sat2sound.clients) to read.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
tree="$root/build/typecheck/sat2sound"
rm -rf "$root/build/typecheck"
mkdir -p "$tree"
for entry in "$root"/sat2sound/*; do
    case "$entry" in *__pycache__*) continue ;; esac
    ln -s "$entry" "$tree/$(basename "$entry")"
done
for package in export serving clients; do
    ln -s "$root/$package" "$tree/$package"
done
