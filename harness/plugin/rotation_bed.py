"""A container's file system in a folder of its own, with logs whose every line is numbered."""

from __future__ import annotations

import gzip
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from harness.maintenance import coreapp_rotation, logrotate
from harness.maintenance import policy as policies
from harness.maintenance.log_writer import numbered
from harness.maintenance.policy import Role, RotationPolicy

LINE_BYTES: Final = 120
_REPOSITORY: Final = Path(__file__).resolve().parents[2]
_PATIENCE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class RotationBed:
    """One log of a container, its policy below some root, and what is in it and its archives.

    `control` is the folder for the tool's own files, which a full disk must not concern.
    """

    control: Path
    role: Role
    policy: RotationPolicy

    @property
    def log(self) -> Path:
        """The first of the policy's logs."""
        return self.policy.logs[0]

    @property
    def archives(self) -> list[Path]:
        """The log's archives, oldest first."""
        module = logrotate if self.role is Role.WEBAPP else coreapp_rotation
        return module.archives(self.policy, self.log) if self.policy.archive.is_dir() else []

    @property
    def lines(self) -> list[bytes]:
        """Every line that is there, the oldest first: those of the archives, then the log's."""
        paths = [*self.archives, self.log]
        there = (path for path in paths if path.exists())
        return [line for path in there for line in _content(path).splitlines(keepends=True)]

    def fill(self, size_bytes: int, name: str = "line") -> list[bytes]:
        """Write numbered lines of `size_bytes` in all into a new log, and return them."""
        count, rest = divmod(size_bytes, LINE_BYTES)
        made = [numbered(name, number, length=LINE_BYTES) for number in range(count)]
        if rest:
            made.append(b"." * (rest - 1) + b"\n")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"".join(made))
        return made

    def rotate(self) -> None:
        """Rotate once, by whatever rotates this container's logs.

        Raises:
            MaintenanceError: See `logrotate.rotate` and `coreapp_rotation.rotate`.
        """
        if self.role is not Role.WEBAPP:
            coreapp_rotation.rotate(self.policy)
            return
        conf = self.control / "logrotate.conf"
        logrotate.write(conf, logrotate.render(self.policy))
        logrotate.rotate(conf, self.control / "logrotate.state")

    def limited_to(self, larger_than_bytes: int, **others: object) -> RotationBed:
        """Return the same with another limit, or other values of the policy."""
        policy = replace(self.policy, larger_than_bytes=larger_than_bytes)
        return replace(self, policy=replace(policy, **others))  # type: ignore[arg-type]  # by name

    @contextmanager
    def writers(self, *names: str) -> Iterator[list[int]]:
        """Have processes write to the log at full speed; how many lines each wrote is told later.

        Yields:
            A list that is filled, in the order of the names, once they were ended.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.touch()
        patience_s = _PATIENCE_S if self.role is Role.WEBAPP else 0.0
        module = [sys.executable, "-m", "harness.maintenance.log_writer", str(self.log)]
        options = [f"--length={LINE_BYTES}", f"--patience-s={patience_s}"]
        counts: list[int] = []
        started = [
            subprocess.Popen(  # noqa: S603 - our own module
                [*module, *options, f"--name={name}"],
                stdout=subprocess.PIPE,
                text=True,
                cwd=_REPOSITORY,
            )
            for name in names
        ]
        try:
            yield counts
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
            counts += [int(process.communicate()[0] or 0) for process in started]

    def faults(self, **written: int) -> list[str]:
        """Return what is wrong with the lines that writers have written, so many each.

        A line that is lost, doubled, cut or out of order is a fault.
        """
        seen = dict.fromkeys(written, 0)
        faults = []
        for line in self.lines:
            name = line.split(b" ", 1)[0].decode("ascii", "replace")
            if line != numbered(name, seen.get(name, -1), length=LINE_BYTES):
                faults.append(f"expected {name} {seen.get(name)}, got {line!r}")
            seen[name] = seen.get(name, 0) + 1
        faults += [
            f"{name} wrote {count} lines, {seen[name]} are there"
            for name, count in written.items()
            if seen[name] != count
        ]
        return faults


def bed(root: Path, role: Role, control: Path | None = None) -> RotationBed:
    """Return a container's logs below a folder, under the policies of the fixture."""
    return RotationBed(control or root / "etc", role, policies.load().rotation(role).below(root))


def _content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
