"""The floor: rlm_files and pap, everything in the server's memory, the answer fixed."""

from typing import Final

from bench import subscribers
from bench.load import ExpectedRate
from bench.servers.contract import Endpoint
from bench.servers.freeradius import RADDB, FreeRadius

_MODULES: Final = f"    $INCLUDE {RADDB}/mods-available/files"
_AUTHORIZE: Final = "files\npap"
# RouterOS 7.15 and later drops unsigned answers unless told otherwise, and 3.2.1 signs none by itself.
_SIGN: Final = "update reply {\n&Message-Authenticator := 0x00\n}"


class Files:
    """One entry a subscriber, as the distribution's `users` file describes it: password known, static reply."""

    rate: ExpectedRate = "plan"

    def __init__(self, *, signing: bool = False) -> None:
        self.name = "files_signing" if signing else "files"
        self._post_auth = _SIGN if signing else ""
        self._server = FreeRadius(self.name)

    def start(self, users: int, threads: int) -> Endpoint:
        folder = self._server.prepare() / "mods-config" / "files"
        folder.mkdir()
        with (folder / "authorize").open("w") as entries:
            for number in range(users):
                entries.write(
                    f'{subscribers.user_name(number)} Cleartext-Password := "{subscribers.password(number)}"\n'
                    f'\tMikrotik-Rate-Limit = "{subscribers.rate_limit(number)}"\n'
                )
        for unused in ("accounting", "pre-proxy"):
            (folder / unused).touch()
        return self._server.start(threads=threads, modules=_MODULES, authorize=_AUTHORIZE, post_auth=self._post_auth)

    def stop(self) -> None:
        self._server.stop()
