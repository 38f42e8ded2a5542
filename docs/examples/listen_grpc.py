"""Which sounds fit an image? With nothing of this project but the protocol: grpcio, and stubs made from a .proto file.

    pip install grpcio grpcio-tools
    python -m grpc_tools.protoc --proto_path=docs/examples --python_out=. --grpc_python_out=. open_inference.proto
    python docs/examples/listen_grpc.py localhost:8001 beach.jpg

Any language that has gRPC does the same.
"""

import struct
import sys
from pathlib import Path

import grpc

sys.path.insert(0, ".")  # where protoc has put the stubs
import open_inference_pb2 as messages
import open_inference_pb2_grpc as service


def text_items(raw: bytes) -> list[str]:
    """BYTES on the wire: for each item four bytes of length, then the item."""
    items, place = [], 0
    while place < len(raw):
        (length,) = struct.unpack_from("<I", raw, place)
        items.append(raw[place + 4 : place + 4 + length].decode())
        place += 4 + length
    return items


address, image = sys.argv[1], Path(sys.argv[2]).read_bytes()
request = messages.ModelInferRequest(model_name="retrieve_sounds")
request.inputs.add(name="IMAGE", datatype="BYTES", shape=[1, 1])
request.raw_input_contents.append(struct.pack("<I", len(image)) + image)
request.inputs.add(name="TOP_K", datatype="INT32", shape=[1, 1])
request.raw_input_contents.append(struct.pack("<i", 3))

sizes = [("grpc.max_send_message_length", 64 * 2**20), ("grpc.max_receive_message_length", 64 * 2**20)]
with grpc.insecure_channel(address, options=sizes) as channel:
    response = service.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)

outputs = dict(zip((tensor.name for tensor in response.outputs), response.raw_output_contents, strict=True))
scores = struct.unpack(f"<{len(outputs['SCORES']) // 4}f", outputs["SCORES"])
for score, caption in zip(scores, text_items(outputs["CAPTIONS"]), strict=True):
    print(f"{score:.3f}  {caption}")
