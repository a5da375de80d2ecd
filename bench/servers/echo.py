"""No RADIUS server at all: answers every packet with 20 octets, to show how fast the generator itself can go."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import bench
from bench.load import ExpectedRate
from bench.servers import process
from bench.servers.contract import SECRET, Endpoint

PATIENCE_S: Final = 300.0  # ends by itself, should nobody ask any more
START_PATIENCE_S: Final = 10.0


class Echo:
    """An Access-Accept without a valid authenticator, so its answers are counted and not verified."""

    name: Final = "generator alone"
    rate: ExpectedRate = "none"

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, users: int, threads: int) -> Endpoint:
        del users, threads
        port = process.free_port()
        command = [sys.executable, "-m", "bench.servers.echo", str(port)]
        self._process = process.spawn(
            ["setpriv", "--pdeathsig=KILL", *command], Path("/dev/null"), Path(bench.__file__).parent.parent
        )
        for _ in process.wait_until_alive(self._process, Path("/dev/null"), START_PATIENCE_S):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.settimeout(0.2)
                one.connect(("127.0.0.1", port))
                try:
                    one.send(b"are you there")
                    one.recv(64)
                except (TimeoutError, ConnectionRefusedError):
                    continue
                break
        return Endpoint("127.0.0.1", port, SECRET, self._process.pid)

    def stop(self) -> None:
        process.end(self._process)
        self._process = None


def answer(port: int) -> None:
    request, reply = bytearray(4096), bytearray(20)
    reply[0], reply[3] = 2, len(reply)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", port))
        one.settimeout(PATIENCE_S)
        while True:
            _, asker = one.recvfrom_into(request)
            reply[1] = request[1]
            one.sendto(reply, asker)


if __name__ == "__main__":
    answer(int(sys.argv[1]))
