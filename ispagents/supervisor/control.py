"""The control socket: one JSON line in, one JSON line out, for the user that runs the supervisor alone.

{"command": "status"}                          {"ok": true, "status": {...}}
{"command": "restart", "child": "freeradius"}  {"ok": false, "error": "a sentence"}
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from ispagents.errors import Problem
from ispagents.state_folder import StateFolder

COMMANDS: Final = ("status", "stop", "start", "restart")
SOCKET_NAME: Final = "control.sock"
REQUEST_LIMIT_BYTES: Final = 4096
REQUEST_TIMEOUT_S: Final = 10.0  # between connecting and the end of the line
ANSWER_LIMIT_BYTES: Final = 1_000_000
ANSWER_TIMEOUT_S: Final = 120.0  # a restart may take a stop's and a start's limit

Act = Callable[[str, str], Awaitable[dict[str, Any]]]
"""Carries a command out for a child (an empty name for "status") and returns the status. Raises Problem."""


async def serve(path: Path, act: Act) -> asyncio.Server:
    """Listen on `path`, mode 0600 from the first moment on. Raises Problem when that cannot be done."""
    try:
        listener = _listener(path)
    except OSError as error:
        raise Problem(f"The control socket {path} cannot be made ({error}): choose another --state.") from error

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _converse(reader, writer, act)

    return await asyncio.start_unix_server(on_connection, sock=listener, limit=REQUEST_LIMIT_BYTES)


def _listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)  # a killed supervisor's; the state folder's lock says that none lives
        listener.bind(str(path))
        path.chmod(0o600)  # before it listens, so nobody can have connected
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, act: Act) -> None:
    try:
        try:
            line = await asyncio.wait_for(reader.readline(), REQUEST_TIMEOUT_S)
            command, child = _parse(line)
            answer = {"ok": True, "status": await act(command, child)}
        except Problem as problem:
            answer = {"ok": False, "error": str(problem)}
        except (TimeoutError, ValueError):
            answer = {"ok": False, "error": f"Send one line of at most {REQUEST_LIMIT_BYTES} bytes of JSON."}
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
    except ConnectionError:
        return  # the asker is gone; what it asked for is done all the same
    finally:
        writer.close()


def _parse(line: bytes) -> tuple[str, str]:
    request = json.loads(line)
    if not isinstance(request, dict) or request.get("command") not in COMMANDS:
        raise Problem(f"The control socket knows the commands {', '.join(COMMANDS)}; send one of them.")
    child = request.get("child", "")
    if not isinstance(child, str) or (not child and request["command"] != "status"):
        raise Problem(f"'{request['command']}' needs the name of a child; 'status' lists them.")
    return request["command"], child


def ask(state: StateFolder, command: str, child: str = "", *, timeout_s: float = ANSWER_TIMEOUT_S) -> dict[str, Any]:
    """Ask the supervisor of this state folder from another process; returns the status afterwards.

    Raises Problem with the supervisor's own sentence, or one that says that none runs.
    """
    path = state.sockets / SOCKET_NAME
    request = {"command": command, "child": child} if child else {"command": command}
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = _read_line(connection)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise Problem(f"ISPAgents is not running with {state.path}: start it with 'ispagents up'.") from error
    except TimeoutError as error:
        raise Problem(f"The supervisor did not answer within {timeout_s:g} s: see {state.log}.") from error
    except OSError as error:
        raise Problem(f"The supervisor at {path} cannot be asked ({error}): be the user that runs it.") from error
    if not answer.get("ok"):
        raise Problem(str(answer.get("error", "The supervisor gave no answer: ask again.")))
    status = answer.get("status")
    return status if isinstance(status, dict) else {}


def _read_line(connection: socket.socket) -> dict[str, Any]:
    data = b""
    while not data.endswith(b"\n") and len(data) < ANSWER_LIMIT_BYTES:
        piece = connection.recv(65_536)
        if not piece:
            break
        data += piece
    try:
        answer = json.loads(data)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
