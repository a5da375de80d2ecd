"""Settings, from the environment (ISPAGENTS_...) or a file `ispagents.env` in the state folder."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ispagents.errors import Problem

DATABASE = "ispagents"
SETTINGS_FILE = "ispagents.env"


def _address(value: str) -> str:
    return str(ipaddress.ip_address(value))


def _ipv4(value: str) -> str:
    """FreeRADIUS listens on IPv4 for now: RouterOS asks its RADIUS servers there in nearly every network."""
    return str(ipaddress.IPv4Address(value))


def _whole_path(value: Path) -> Path:
    """Every process has a folder of its own to start from, so a path that begins there names another file for each."""
    if not value.is_absolute():
        raise ValueError("it should be a whole path that begins with /")
    return value


Address = Annotated[str, AfterValidator(_address)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """What may be set. Port 0 takes any free one. Without database URLs an embedded server runs in the state folder.

    `freeradius`: "own" runs a server of ours; "existing" feeds one that `ispagents freeradius install` has joined.
    `node_address` is where this node's CoA leaves: routers accept it only from a RADIUS server that they know.
    `web_behind_tls`: a proxy in front of the pages speaks HTTPS and sets X-Forwarded-For, -Proto and -Host.
    `audit_anchor_file` gets a line for the end of each operator's audit when it has moved, at most once a minute.
    `audit_anchor_url`, an address of Apprise's such as mailtos://..., is told them at most once an hour.
    `web_sign_ins_a_minute`: how many tries one address has.
    `accounting_months`: how long every single accounting record is kept; sessions and usage stay.
    """

    model_config = SettingsConfigDict(env_prefix="ISPAGENTS_", extra="forbid")

    freeradius: Literal["own", "existing"] = "own"
    radius_address: Annotated[str, AfterValidator(_ipv4)] = "127.0.0.1"
    radius_auth_port: Port = 1812
    radius_acct_port: Port = 1813
    web_address: Address = "127.0.0.1"
    web_port: Port = 8080
    web_behind_tls: bool = False
    web_idle_minutes: Annotated[int, Field(ge=1, le=720)] = 30
    web_sign_ins_a_minute: Annotated[int, Field(ge=1, le=10_000)] = 20
    node_name: Annotated[str, Field(min_length=1, max_length=253)] = Field(default_factory=socket.gethostname)
    node_address: Address = "127.0.0.1"
    accounting_months: Annotated[int, Field(ge=1, le=120)] = 12
    audit_anchor_file: Annotated[Path, AfterValidator(_whole_path)] | None = None
    audit_anchor_url: SecretStr | None = None
    database_owner_url: SecretStr | None = None
    database_web_url: SecretStr | None = None
    database_worker_url: SecretStr | None = None
    database_edge_url: SecretStr | None = None

    @property
    def has_database(self) -> bool:
        """Whether a database was configured; else the embedded one is used."""
        return self.database_owner_url is not None


def load(state: Path, **overrides: object) -> Settings:
    """The settings for a state folder. Raises Problem with the name of the setting that is wrong."""
    file = state / SETTINGS_FILE
    try:
        there = file.is_file()
    except OSError as error:
        raise Problem(
            f"The state folder {str(state)[:200]} cannot be used: {error.strerror}; choose another."
        ) from error
    try:
        values: Any = {"_env_file": file if there else None, **overrides}
        settings = Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = "ISPAGENTS_" + "_".join(str(part) for part in first["loc"]).upper().removeprefix("ISPAGENTS_")
        raise Problem(
            f"The setting {name} is wrong: {first['msg'][:1].lower()}{first['msg'][1:]}; "
            f"correct it in the environment or in {file}."
        ) from error
    urls = (
        settings.database_owner_url,
        settings.database_web_url,
        settings.database_worker_url,
        settings.database_edge_url,
    )
    if any(urls) and not all(urls):
        raise Problem(
            "A configured database needs ISPAGENTS_DATABASE_OWNER_URL, _WEB_URL, _WORKER_URL and _EDGE_URL, all four."
        )
    return settings
