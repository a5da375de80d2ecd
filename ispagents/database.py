"""Where the truth is: the configured database, or the embedded one of the state folder; and making it ready."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from ispagents.errors import Problem
from ispagents.postgres import EmbeddedPostgres, Server
from ispagents.settings import DATABASE, Settings
from ispagents.state_folder import StateFolder
from sql.roles import Role, create_database, create_roles, grant_connections
from sql.secrets import SecretBox, SecretsError, load_or_create
from sql.sessions import make_engine

KEY_FILE = "secrets.key"
PROVIDER_KEY_FILE = "providers.key"


@dataclass(frozen=True, slots=True)
class Databases:
    """The URL of each role."""

    urls: dict[Role, URL]

    def engine(self, role: Role, *, pool: int = 8) -> Engine:
        """An engine for a role; nothing is opened yet."""
        return make_engine(self.urls[role], pool=pool)

    def conninfo(self, role: Role) -> str:
        """What psycopg itself connects with."""
        return self.urls[role].set(drivername="postgresql").render_as_string(hide_password=False)


def embedded(state: StateFolder) -> EmbeddedPostgres:
    """The embedded server of a state folder, which lets this user in as any of our roles."""
    return EmbeddedPostgres(state, roles=[role.value for role in Role])


def of_server(server: Server) -> Databases:
    """The databases of a running embedded server."""
    return Databases({role: make_url(server.url(DATABASE, role.value)) for role in Role})


def find(state: StateFolder, settings: Settings) -> Databases:
    """The databases that are in use now. Raises Problem when the embedded server does not run."""
    if settings.has_database:
        return configured(settings)
    server = embedded(state).running_server()
    if server is None:
        raise Problem(
            f"ISPAgents is not running with the state folder {state.path}; start it with `ispagents up` "
            "(or `ispagents demo`), or name another folder with --state."
        )
    return of_server(server)


def configured(settings: Settings) -> Databases:
    """The databases that the settings name. Raises Problem when a URL cannot be read."""
    texts = {
        Role.OWNER: settings.database_owner_url,
        Role.WEB: settings.database_web_url,
        Role.WORKER: settings.database_worker_url,
        Role.EDGE: settings.database_edge_url,
    }
    urls = {}
    for role, text in texts.items():
        try:
            url = make_url(text.get_secret_value() if text is not None else "")
        except ArgumentError as error:
            raise Problem(
                f"The database URL for {role.value} cannot be read; write postgresql://user:password@host/name."
            ) from error
        urls[role] = url.set(drivername="postgresql+psycopg")
    return Databases(urls)


def prepare_embedded(server: Server) -> Databases:
    """Make roles and database of the embedded server where they are missing."""
    with psycopg.connect(server.conninfo("postgres", "postgres"), autocommit=True) as superuser:
        create_roles(superuser)
        create_database(superuser, DATABASE)
    with psycopg.connect(server.conninfo(DATABASE, "postgres"), autocommit=True) as superuser:
        grant_connections(superuser, DATABASE)
    return of_server(server)


def migrate_now(databases: Databases) -> tuple[str | None, str | None]:
    """Bring the schema to the newest revision; returns the revision before and after. Raises Problem."""
    from sql.migrate import migrate  # noqa: PLC0415 - Alembic costs every command a third of its start; only this needs it

    engine = databases.engine(Role.OWNER, pool=1)
    try:
        return migrate(engine)
    except OperationalError as error:
        raise Problem(f"The database cannot be reached: {str(error.orig).splitlines()[0]}.") from error
    finally:
        engine.dispose()


def expected_revision() -> str | None:
    """The schema revision that this version of the code needs."""
    from sql.migrate import newest_revision  # noqa: PLC0415 - as above

    return newest_revision()


def secret_box(state: StateFolder) -> SecretBox:
    """The box that opens this installation's secrets. Raises Problem."""
    return _box(state, KEY_FILE)


def provider_box(state: StateFolder) -> SecretBox:
    """The box of the payment providers' secrets, all that the web process can open. Raises Problem."""
    return _box(state, PROVIDER_KEY_FILE)


def _box(state: StateFolder, name: str) -> SecretBox:
    try:
        return load_or_create(state.secrets / name)
    except SecretsError as error:
        raise Problem(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
