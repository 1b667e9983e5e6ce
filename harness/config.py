"""db.env and WA_DB_* -> one frozen RunConfig, WA_WEB_* -> one WebappConfig: how to reach them.

The client's own configuration file is the only one there is, so that what the client talks
to is what the harness talks to; disposable servers are reached through the same door.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from dotenv.parser import parse_stream

from harness.errors import ConfigError
from harness.model import EngineKind, Secret

ENGINE_NAMES: Final = {"MYSQL": EngineKind.MYSQL, "PGSQL": EngineKind.POSTGRES}
VARIABLES: Final = (
    "WA_DB_ENGINE",
    "WA_DB_HOSTNAME",
    "WA_DB_PORT",
    "WA_DB_USERNAME",
    "WA_DB_PASSWORD",
    "WA_DB_NAME_PREFIX",
    "WA_DB_CONNECTION_IDLE_TIMEOUT",
    "WA_DB_SSL_CA",
    "WA_DB_SSL_CERT",
    "WA_DB_SSL_KEY",
    "WA_DB_SSL_VERIFY",
)
WEBAPP_VARIABLES: Final = ("WA_WEB_USERNAME", "WA_WEB_PASSWORD")
"""Names of our own choosing: the credentials come from the environment, and from nowhere else."""
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LABEL: Final = re.compile(r"[0-9A-Za-z_]([0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?")
_LONGEST_PREFIX: Final = 40
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Files for an encrypted connection, and whether the server's certificate is checked."""

    ca: Path | None
    cert: Path | None
    key: Path | None
    verify: bool


@dataclass(frozen=True, slots=True)
class RunConfig:
    """How to reach one store set; `idle_timeout_ms` is the client's, for MySQL only."""

    engine: EngineKind
    hostname: str
    port: int
    username: str
    password: Secret
    prefix: str = ""
    idle_timeout_ms: int | None = None
    tls: TlsSettings | None = None

    def database(self, store: str) -> str:
        """Return the database's name on the server: the prefix and the name, no separator."""
        return self.prefix + store


@dataclass(frozen=True, slots=True)
class WebappConfig:
    """How to reach the client's API: `url` has neither a path nor credentials in it.

    `ca` is a file of certificates to trust beside the system's own.
    """

    url: str
    username: str
    password: Secret
    ca: Path | None = None


def webapp_from_variables(url: str, ca: Path | None, variables: Mapping[str, str]) -> WebappConfig:
    """Return how to reach the Webapp at a URL.

    Raises:
        ConfigError: The URL, the CA file or a variable cannot be used; one sentence.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigError("--webapp-url is not a URL: give https://HOST:PORT.") from None
    if parts.scheme not in {"https", "http"} or not host:
        raise ConfigError("--webapp-url is not a URL of the Webapp: give https://HOST:PORT.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            "--webapp-url takes https://HOST:PORT and nothing else: credentials come from "
            f"{' and '.join(WEBAPP_VARIABLES)} in the environment."
        )
    if port == 0 or not _is_host(host):
        raise ConfigError("--webapp-url has no host that can be reached: give https://HOST:PORT.")
    if parts.path.rstrip("/") not in {"", "/v1"}:
        raise ConfigError("--webapp-url has a path: give https://HOST:PORT alone.")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise ConfigError(
            "--webapp-url would send the password in the clear: give https://HOST:PORT, with "
            "--webapp-ca for a certificate of your own."
        )
    if ca is not None and not ca.is_file():
        raise ConfigError("--webapp-ca names no readable file: give the CA's certificate in PEM.")
    username, password = (
        _required(variables, name, "the environment") for name in WEBAPP_VARIABLES
    )
    if not (username + password).isprintable():
        raise ConfigError(
            f"{' or '.join(WEBAPP_VARIABLES)} holds what is no printable character: set it as "
            "the Webapp has it."
        )
    shown = f"[{host}]" if ":" in host else host
    origin = f"{parts.scheme}://{shown}" + (f":{port}" if port else "")
    return WebappConfig(origin, username, Secret(password), ca)


def _is_host(host: str) -> bool:
    """Tell whether a text can be a host's name or address."""
    try:
        ip_address(host)
    except ValueError:
        labels = host.rstrip(".").split(".")
        return all(_LABEL.fullmatch(label) for label in labels)
    return True


def read_db_env(path: Path) -> dict[str, str]:
    """Return the WA_DB_* variables of a db.env file.

    Comments, blank lines, `export`, quotes and CRLF line ends are understood; other
    variables are ignored, as the client ignores them.

    Raises:
        ConfigError: The file cannot be read, or a line is not `NAME=value`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path.name} is not a text file in UTF-8: give the client's own db.env."
        ) from error
    except OSError as error:
        reason = error.strerror or "unknown error"
        raise ConfigError(
            f"{path.name} cannot be read ({reason}): give a readable db.env."
        ) from error
    found: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n"))):
        if binding.error or (binding.key and binding.value is None):
            raise ConfigError(
                f"{path.name} line {binding.original.line} is not NAME=value: mend that line."
            )
        if binding.key in VARIABLES:
            found[binding.key] = binding.value or ""
    return found


def from_variables(variables: Mapping[str, str], *, source: str) -> RunConfig:
    """Return the configuration that WA_DB_* variables describe.

    Args:
        variables: WA_DB_* names and values; others are ignored.
        source: What to call the place they came from in an error, such as ``db.env``.

    Raises:
        ConfigError: A variable is missing, or its value cannot be used; one sentence.
    """
    engine = _engine(variables.get("WA_DB_ENGINE", ""), source)
    default_port = "3306" if engine is EngineKind.MYSQL else "5432"
    return RunConfig(
        engine=engine,
        hostname=_required(variables, "WA_DB_HOSTNAME", source),
        port=_number(variables, "WA_DB_PORT", default_port, source, largest=65535),
        username=_required(variables, "WA_DB_USERNAME", source),
        password=Secret(_required(variables, "WA_DB_PASSWORD", source)),
        prefix=_prefix(variables.get("WA_DB_NAME_PREFIX", ""), source),
        idle_timeout_ms=_idle_timeout(variables, engine, source),
        tls=_tls(variables, source),
    )


def _engine(value: str, source: str) -> EngineKind:
    try:
        return ENGINE_NAMES[value.strip().upper()]
    except KeyError:
        known = " or ".join(ENGINE_NAMES)
        given = "missing" if not value else "something else"
        raise ConfigError(
            f"WA_DB_ENGINE in {source} must be {known}; it is {given}: set it to the engine in use."
        ) from None


def _required(variables: Mapping[str, str], name: str, source: str) -> str:
    if value := variables.get(name, ""):
        return value
    raise ConfigError(f"{name} is missing or empty in {source}: set it as the client has it.")


def _number(
    variables: Mapping[str, str], name: str, default: str, source: str, *, largest: int
) -> int:
    text = variables.get(name, "").strip() or default
    if text.isascii() and text.isdigit() and 0 < int(text) <= largest:
        return int(text)
    raise ConfigError(f"{name} in {source} must be a whole number from 1 to {largest}.")


def _prefix(value: str, source: str) -> str:
    if len(value) <= _LONGEST_PREFIX and all(
        part.isascii() and (part.isalnum() or part in "_-$") for part in value
    ):
        return value
    raise ConfigError(
        f"WA_DB_NAME_PREFIX in {source} must be at most {_LONGEST_PREFIX} letters, digits, "
        "underscores, hyphens and dollar signs: set it as the client has it."
    )


def _idle_timeout(variables: Mapping[str, str], engine: EngineKind, source: str) -> int | None:
    name = "WA_DB_CONNECTION_IDLE_TIMEOUT"
    if not variables.get(name, "").strip():
        return None
    timeout_ms = _number(variables, name, "", source, largest=2**31 - 1)
    if engine is EngineKind.POSTGRES:
        warnings.warn(
            f"{name} in {source} is ignored: PostgreSQL has no such setting.", stacklevel=3
        )
        return None
    return timeout_ms


def _tls(variables: Mapping[str, str], source: str) -> TlsSettings | None:
    files: dict[str, Path | None] = {}
    for part in ("CA", "CERT", "KEY"):
        text = variables.get(f"WA_DB_SSL_{part}", "").strip()
        files[part] = Path(text) if text else None
        if text and not Path(text).is_file():
            raise ConfigError(
                f"WA_DB_SSL_{part} in {source} names no readable file: mend the path."
            )
    verify = variables.get("WA_DB_SSL_VERIFY", "").strip().lower()
    if verify and verify not in _YES | _NO:
        raise ConfigError(f"WA_DB_SSL_VERIFY in {source} must be true or false.")
    if bool(files["CERT"]) != bool(files["KEY"]):
        raise ConfigError(f"WA_DB_SSL_CERT and WA_DB_SSL_KEY in {source} go together: set both.")
    if verify in _YES and not files["CA"]:
        raise ConfigError(f"WA_DB_SSL_VERIFY in {source} needs WA_DB_SSL_CA to verify against.")
    if not any(files.values()):
        return None
    return TlsSettings(
        files["CA"], files["CERT"], files["KEY"], verify not in _NO and files["CA"] is not None
    )
