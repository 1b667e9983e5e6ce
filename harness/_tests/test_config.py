"""db.env becomes one frozen configuration, or one sentence."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import pytest

from harness.config import RunConfig, from_variables, read_db_env, webapp_from_variables
from harness.errors import ConfigError
from harness.model import EngineKind

GOOD = {
    "WA_DB_ENGINE": "MYSQL",
    "WA_DB_HOSTNAME": "db.example",
    "WA_DB_PORT": "3307",
    "WA_DB_USERNAME": "wa",
    "WA_DB_PASSWORD": "pa$$ #word",
}


def config(**changes: str | None) -> RunConfig:
    """Return the configuration of the good variables with some changed or taken away."""
    variables = {**GOOD, **changes}
    return from_variables({k: v for k, v in variables.items() if v is not None}, source="db.env")


def db_env(tmp_path: Path, content: bytes) -> Path:
    """Return a db.env file of that content."""
    path = tmp_path / "db.env"
    path.write_bytes(content)
    return path


def test_every_variable_arrives() -> None:
    """Engine, server, credentials, prefix and idle timeout are what the file says."""
    made = config(WA_DB_NAME_PREFIX="acme_", WA_DB_CONNECTION_IDLE_TIMEOUT="180000")
    assert (made.engine, made.hostname, made.port) == (EngineKind.MYSQL, "db.example", 3307)
    assert made.password.reveal() == GOOD["WA_DB_PASSWORD"]
    assert made.database("waweb") == "acme_waweb"
    assert made.idle_timeout_ms == 180_000


def test_the_password_never_shows() -> None:
    """Printing a configuration does not print the password."""
    assert "pa$$" not in repr(config())
    assert "pa$$" not in str(config().password)


def test_the_configuration_is_frozen() -> None:
    """Nobody can point a configuration at another server once it is read."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        config().hostname = "elsewhere"  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(("engine", "port"), [("MYSQL", 3306), ("PGSQL", 5432), ("pgsql", 5432)])
def test_the_port_has_the_engines_default(engine: str, port: int) -> None:
    """A missing port is the engine's own."""
    assert config(WA_DB_ENGINE=engine, WA_DB_PORT=None).port == port


def test_the_idle_timeout_is_ignored_on_postgresql_with_a_warning() -> None:
    """The idle timeout is MySQL's; on PostgreSQL it is ignored, and the operator is told."""
    with pytest.warns(UserWarning, match="WA_DB_CONNECTION_IDLE_TIMEOUT in db.env is ignored"):
        made = config(WA_DB_ENGINE="PGSQL", WA_DB_CONNECTION_IDLE_TIMEOUT="180000")
    assert made.idle_timeout_ms is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"WA_DB_ENGINE": "ORACLE"}, "must be MYSQL or PGSQL"),
        ({"WA_DB_ENGINE": None}, "it is missing"),
        ({"WA_DB_HOSTNAME": None}, "WA_DB_HOSTNAME is missing"),
        ({"WA_DB_USERNAME": ""}, "WA_DB_USERNAME is missing"),
        ({"WA_DB_PASSWORD": None}, "WA_DB_PASSWORD is missing"),
        ({"WA_DB_PORT": "http"}, "whole number from 1 to 65535"),
        ({"WA_DB_PORT": "0"}, "whole number from 1 to 65535"),
        ({"WA_DB_PORT": "65536"}, "whole number from 1 to 65535"),
        ({"WA_DB_NAME_PREFIX": "a`b"}, "at most 40 letters"),
        ({"WA_DB_CONNECTION_IDLE_TIMEOUT": "3 min"}, "whole number from 1"),
        ({"WA_DB_SSL_VERIFY": "maybe"}, "true or false"),
        ({"WA_DB_SSL_VERIFY": "true"}, "needs WA_DB_SSL_CA"),
        ({"WA_DB_SSL_CA": "/nowhere/ca.pem"}, "names no readable file"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_value_that_cannot_be_used_is_one_sentence(
    changes: dict[str, str | None], says: str
) -> None:
    """Each unusable value is refused in one sentence that names variable and file."""
    with pytest.raises(ConfigError, match=says) as refusal:
        config(**changes)
    assert "db.env" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_tls_files_go_together(tmp_path: Path) -> None:
    """A client certificate without its key is refused; with a CA, verification is on."""
    file = tmp_path / "file.pem"
    file.touch()
    with pytest.raises(ConfigError, match="go together"):
        config(WA_DB_SSL_CERT=str(file))
    made = config(WA_DB_SSL_CA=str(file)).tls
    assert made is not None
    assert made.verify
    unverified = config(WA_DB_SSL_CA=str(file), WA_DB_SSL_VERIFY="false").tls
    assert unverified is not None
    assert not unverified.verify


@pytest.mark.parametrize(
    "content",
    [
        b"WA_DB_HOSTNAME=db\nWA_DB_PASSWORD=secret word\n",
        b"WA_DB_HOSTNAME=db\r\nWA_DB_PASSWORD=secret word\r\n",
        b"\xef\xbb\xbfWA_DB_HOSTNAME=db\nWA_DB_PASSWORD=secret word",
        b"# the client's own\n\nexport WA_DB_HOSTNAME=db  # here\nWA_DB_PASSWORD='secret word'\n",
        b'WA_DB_HOSTNAME="db"\nWA_DB_PASSWORD="secret word"\nOTHER=x\n',
    ],
    ids=["plain", "CRLF", "byte order mark", "comments and export", "quotes"],
)
def test_db_env_is_read_as_people_write_it(tmp_path: Path, content: bytes) -> None:
    """Line ends, quotes, comments, `export` and foreign variables make no difference."""
    read = read_db_env(db_env(tmp_path, content))
    assert read == {"WA_DB_HOSTNAME": "db", "WA_DB_PASSWORD": "secret word"}


def test_a_dollar_sign_in_a_password_is_kept(tmp_path: Path) -> None:
    """Nothing is expanded: a password is what stands there."""
    path = db_env(tmp_path, b"WA_DB_PASSWORD=a$HOME${X}#b\n")
    assert read_db_env(path) == {"WA_DB_PASSWORD": "a$HOME${X}#b"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"WA_DB_ENGINE=MYSQL\nWA_DB_PASSWORD\n", "line 2"),
        (b"WA_DB_PASSWORD=\xff\xfe\n", "not a text file"),
    ],
    ids=["no value", "not UTF-8"],
)
def test_a_broken_db_env_is_one_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    """A line that is no assignment, or bytes that are no text, are refused with the place."""
    with pytest.raises(ConfigError, match=says):
        read_db_env(db_env(tmp_path, content))


def test_an_unreadable_db_env_is_one_sentence(tmp_path: Path) -> None:
    """A file that is not there, or is a folder, is refused with the reason."""
    for path in (tmp_path / "absent.env", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_db_env(path)


def test_no_warning_without_cause() -> None:
    """A good configuration warns of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config(WA_DB_CONNECTION_IDLE_TIMEOUT="180000")


WEB = {"WA_WEB_USERNAME": "admin", "WA_WEB_PASSWORD": "Secret-41"}


def test_the_webapp_is_reached_by_its_address_alone() -> None:
    """What stands behind the host is left out, and the password is never shown."""
    reached = webapp_from_variables("https://wa.example:9090/v1/", None, WEB)
    assert (reached.url, reached.username) == ("https://wa.example:9090", "admin")
    assert "Secret" not in repr(reached)
    assert webapp_from_variables("http://[::1]:80", None, WEB).url == "http://[::1]:80"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("wa.example", "is not a URL"),
        ("ftp://wa.example", "is not a URL"),
        ("https://wa.example:99999", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://", "is not a URL"),
        ("https://wa.example:0", "no host"),
        ("https://a b:1", "no host"),
        ("https://*x", "no host"),
        ("https://..", "no host"),
        ("https://%zz", "no host"),
        ("https://admin:Secret-41@wa.example", "credentials come from"),
        ("https://wa.example/?token=1", "nothing else"),
        ("https://wa.example/api", "has a path"),
        ("http://wa.example", "in the clear"),
        ("http://127.0.0.1.wa.example", "in the clear"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str, says: str) -> None:
    """Whatever is not the address of a Webapp is refused in a sentence without credentials."""
    with pytest.raises(ConfigError, match=says) as refused:
        webapp_from_variables(url, None, WEB)
    assert "Secret" not in str(refused.value)


@pytest.mark.parametrize("name", WEB)
@pytest.mark.parametrize("value", ["", "a\nb", "p\udcff"])
def test_credentials_that_cannot_be_used_are_refused(name: str, value: str) -> None:
    """A variable that is missing, or holds what is no character, is named and not shown."""
    with pytest.raises(ConfigError, match=r"WA_WEB_") as refused:
        webapp_from_variables("https://wa.example", None, {**WEB, name: value})
    assert "Secret" not in str(refused.value)


def test_a_ca_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The CA's file must be there."""
    with pytest.raises(ConfigError, match="--webapp-ca"):
        webapp_from_variables("https://wa.example", tmp_path / "ca.pem", WEB)
