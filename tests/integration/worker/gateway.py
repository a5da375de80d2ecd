"""A gateway to customers and auditors, on loopback."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Gateway:
    """What came in at a gateway, and how it answers. `held` answers nothing until it is set."""

    port: int = 0
    status: int = 200
    messages: list[dict[str, str]] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)
    held: threading.Event | None = None

    @property
    def url(self) -> str:
        """As a channel has it: the customer's e-mail is part of the message."""
        return f"json://made-up-user:made-up-token@127.0.0.1:{self.port}/?:to={{email}}"


@contextmanager
def running_gateway():
    """A gateway on a free port."""
    gateway = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            gateway.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            gateway.came.set()
            if gateway.held is not None:
                gateway.held.wait(30)
            self.send_response(gateway.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        gateway.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield gateway
        if gateway.held is not None:
            gateway.held.set()
        server.shutdown()
        thread.join()
