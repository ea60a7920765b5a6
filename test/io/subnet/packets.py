"""Sends packets of kinds that curl does not: `packets.py KIND ADDRESS [PORT]`, prints what came of it as one word."""
import errno
import socket
import sys

KIND, ADDRESS = sys.argv[1], sys.argv[2]
PORT = int(sys.argv[3]) if len(sys.argv) > 3 else 0
FAMILY = socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET
SECONDS = 1.0


def udp():
    with socket.socket(FAMILY, socket.SOCK_DGRAM) as one:
        one.settimeout(SECONDS)
        one.connect((ADDRESS, PORT))
        one.send(b"hello")
        return one.recv(100).decode()


def connecting(protocol=0):
    with socket.socket(FAMILY, socket.SOCK_STREAM, protocol) as one:
        one.settimeout(SECONDS)
        one.connect((ADDRESS, PORT))
        return "connected"


def raw(protocol, payload):
    with socket.socket(FAMILY, socket.SOCK_RAW, protocol) as one:
        one.sendto(payload, (ADDRESS, 0))
        return "sent"


KINDS = {
    "udp": udp,
    "tcp": connecting,
    # COOKIE-less INIT chunk of SCTP with port numbers, checksum left out: what matters is that it is not forwarded.
    "sctp": lambda: raw(132, PORT.to_bytes(2, "big") * 2 + bytes(8) + bytes([1, 0, 0, 20]) + bytes(16)),
    # Echo request; the kernel fills in the checksum of ICMPv6 alone.
    "icmp": lambda: raw(58, bytes([128]) + bytes(7)) if FAMILY == socket.AF_INET6 else raw(1, bytes([8, 0, 0xF7, 0xFF]) + bytes(4)),
    "gre": lambda: raw(47, bytes(8)),
}

try:
    print(KINDS[KIND]())
except TimeoutError:
    print("timeout")
except OSError as error:
    print(errno.errorcode.get(error.errno, str(error)))
