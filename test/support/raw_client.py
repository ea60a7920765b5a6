"""A TCP client that sends exactly the bytes it is told, run in a namespace by `subnet-lab.ts`.

Arguments: address, port, seconds. Standard input: JSON, a list of steps: {"send": hex}, or {"until": hex} (read until these bytes
have come), or {"end": true} (leave). Standard output: JSON, {"received": hex, "end": "eof" | "reset" | "timeout" | "refused" | "open"}.
"""

import json
import socket
import sys

address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
steps = json.load(sys.stdin)
received = b""


def finish(end):
    json.dump({"received": received.hex(), "end": end}, sys.stdout)
    sys.exit(0)


try:
    connection = socket.create_connection((address, port), timeout=seconds)
except socket.timeout:
    finish("timeout")
except OSError:
    finish("refused")

try:
    for step in steps:
        if "send" in step:
            connection.sendall(bytes.fromhex(step["send"]))
            continue
        if "end" in step:
            finish("open")
        while bytes.fromhex(step["until"]) not in received:
            chunk = connection.recv(65536)
            if not chunk:
                finish("eof")
            received += chunk
    while True:
        chunk = connection.recv(65536)
        if not chunk:
            finish("eof")
        received += chunk
except socket.timeout:
    finish("timeout")
except OSError:
    finish("reset")
