"""The site's pseudonym key: who names subjects in evidence, and who seals an interrupted run.

A plain hash of a phone number falls to enumeration in a second, so a subject is named by
HMAC-SHA-256 under a key that only the site has. The key lives in one file of mode 0600, is
made once, and must outlive every certificate: without it nobody can tell whose they are.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from platformdirs import user_config_path

from harness.errors import ConfigError, EvidenceError
from harness.model import Secret

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_HEADER: Final = "waba-erasure pseudonym key 1"
_FILE: Final = re.compile(rf"{_HEADER}\n([0-9a-f]{{64}})\n?")
_LARGEST_SIZE_BYTES: Final = 1024


class SiteKey:
    """The key of one site; shows as its name only, wherever it is printed."""

    def __init__(self, key: bytes) -> None:
        """Take 32 bytes; purposes get keys of their own, derived from them.

        Source: RFC 5869, HKDF-Expand with one label for each purpose.
        """
        self._key = key
        self._naming = _derived(key, b"pseudonym")
        self._sealing = ChaCha20Poly1305(_derived(key, b"journal"))

    def __repr__(self) -> str:
        return "SiteKey(***)"

    @property
    def secret(self) -> Secret:
        """The key as it stands in its file, for redaction only."""
        return Secret(self._key.hex())

    def pseudonym(self, number: str) -> str:
        """Return what names a number in evidence: 64 hexadecimal digits."""
        return hmac.digest(self._naming, number.encode("ascii"), "sha256").hex()

    def seal(self, plain: bytes, *, run: str) -> bytes:
        """Encrypt what an interrupted run needs; only the same run's `unseal` opens it."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._sealing.encrypt(nonce, plain, run.encode("ascii"))

    def unseal(self, sealed: bytes, *, run: str) -> bytes:
        """Decrypt what `seal` made.

        Raises:
            EvidenceError: It was sealed with another key, for another run, or was changed.
        """
        try:
            nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return self._sealing.decrypt(nonce, body, run.encode("ascii"))
        except (InvalidTag, ValueError):
            raise EvidenceError(
                "What the interrupted run sealed cannot be opened with this key: give the "
                "--pseudonym-key that the run was started with."
            ) from None


def default_path() -> Path:
    """Return where a user's key is kept unless --pseudonym-key names another place."""
    return user_config_path("waba-erasure-harness") / "pseudonym.key"


def read(path: Path) -> SiteKey:
    """Return the key in a file.

    Raises:
        ConfigError: The file cannot be read, others may read it, or it holds no key.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            content = stream.read(_LARGEST_SIZE_BYTES)
    except OSError as error:
        raise ConfigError(
            f"The pseudonym key {path.name} cannot be read ({error.strerror}): mend the path, or "
            "make a key with `python -m harness keygen`."
        ) from None
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"The pseudonym key {path.name} can be read by others, so that pseudonyms hide nobody "
            f"from them: chmod 600 {path.name}, and consider whether they have read it."
        )
    match = _FILE.fullmatch(content.decode("ascii", "replace"))
    if not match:
        raise ConfigError(
            f"{path.name} holds no pseudonym key: give the file that `python -m harness keygen` "
            "made."
        )
    return SiteKey(bytes.fromhex(match[1]))


def make(path: Path) -> SiteKey:
    """Make a new key in a new file of mode 0600; never in place of another.

    Raises:
        ConfigError: There is a file already, or none can be written.
    """
    key = secrets.token_bytes(_KEY_BYTES)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                os.fchmod(descriptor, 0o600)
                stream.write(f"{_HEADER}\n{key.hex()}\n")
                stream.flush()
                os.fsync(descriptor)
            # Unlike a rename, a link never takes the place of a key that is there.
            os.link(aside, path)
        finally:
            aside.unlink(missing_ok=True)
        _sync(path.parent)
    except FileExistsError:
        raise ConfigError(
            f"{path.name} is there already and is left as it is: pseudonyms made with another key "
            "could never be compared; name another file to have a second key."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"The pseudonym key {path.name} cannot be written ({error.strerror}): name a file in a "
            "folder of your own."
        ) from None
    return SiteKey(key)


def read_or_make(path: Path | None) -> tuple[SiteKey, bool]:
    """Return the key in `path`, or in the usual place, where it is made once if need be.

    Returns:
        The key, and whether it was made now. A file that was named must be there.

    Raises:
        ConfigError: See `read` and `make`.
    """
    if path is not None or default_path().exists():
        return read(path or default_path()), False
    try:
        return make(default_path()), True
    except ConfigError:
        # Another session may have made it meanwhile.
        return read(default_path()), False


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDFExpand(SHA256(), _KEY_BYTES, b"waba-erasure " + purpose).derive(key)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
