"""For reference: rlm_python3 that decides nothing, which is what Python itself costs inside FreeRADIUS."""

from typing import Final

from bench.load import ExpectedRate
from bench.servers.contract import Endpoint
from bench.servers.freeradius import FreeRadius

# The answer is fixed; only the password is the subscriber's own (`bench.subscribers.password`), so that pap can refuse.
_MODULE: Final = """
REPLY = (("Mikrotik-Rate-Limit", ":=", "10M/50M"),)


def authorize(request):
    for name, value in request:
        if name == "User-Name":
            return 2, REPLY, (("Cleartext-Password", ":=", "pw-%08d" % (int(value[3:]) * 7919 % 10000019)),)
    return 7
"""

_MODULES: Final = """
    python3 constant {{
        python_path = "{folder}"
        module = constant_reply
        mod_authorize = constant_reply
        func_authorize = authorize
    }}
"""
_AUTHORIZE: Final = "constant\npap"


class Constant:
    """One Python call a login, the same rate for everybody."""

    name: Final = "python constant"
    rate: ExpectedRate = "any"

    def __init__(self) -> None:
        self._server = FreeRadius("constant")

    def start(self, users: int, threads: int) -> Endpoint:
        del users  # the answer does not depend on them
        folder = self._server.prepare()
        (folder / "constant_reply.py").write_text(_MODULE)
        return self._server.start(
            threads=threads, modules=_MODULES.format(folder=folder), authorize=_AUTHORIZE, post_auth=""
        )

    def stop(self) -> None:
        self._server.stop()
