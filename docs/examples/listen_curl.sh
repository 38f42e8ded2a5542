#!/bin/sh
# Which sounds fit an image? With curl alone, over Triton's HTTP port: listen_curl.sh http://localhost:8000 beach.jpg
# The image goes as raw bytes behind the JSON ("binary tensor data"); a BYTES item starts with four bytes of its length.
set -eu
address=$1; image=$2
size=$(wc -c < "$image" | tr -d ' ')
header='{"inputs": [{"name": "TOP_K", "datatype": "INT32", "shape": [1, 1], "data": [3]},
  {"name": "IMAGE", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": '$((size + 4))'}}],
  "outputs": [{"name": "SCORES"}, {"name": "CAPTIONS"}]}'
byte() { printf "\\$(printf '%03o' $(($1 & 255)))"; }
{
  printf '%s' "$header"
  byte "$size"; byte $((size >> 8)); byte $((size >> 16)); byte $((size >> 24))
  cat "$image"
} | curl --silent --show-error --fail-with-body --max-time 60 --data-binary @- \
  --header "Inference-Header-Content-Length: ${#header}" "$address/v2/models/retrieve_sounds/infer"
