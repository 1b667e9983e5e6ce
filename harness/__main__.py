"""`python -m harness`: what is done without a session; sessions are pytest's.

Exit status: 0 done, 4 refused in one sentence with the way out, nothing touched.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from harness import keys
from harness.errors import RefusalError

_DONE: Final = 0
_REFUSED: Final = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command, and return the exit status.

    Args:
        arguments: The command line without the program's name; None takes the process's.
    """
    asked = _parser().parse_args(arguments)
    try:
        said: str = asked.act(asked)
    except RefusalError as error:
        sys.stderr.write(f"REFUSED: {error}\n")
        return _REFUSED
    sys.stdout.write(f"{said}\n")
    return _DONE


def _parser() -> argparse.ArgumentParser:
    """Return the parser; a command is a parser of its own, and a function in `act`."""
    parser = _Parser(prog="python -m harness", description="Keys and evidence of pytest sessions.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    keygen = commands.add_parser("keygen", help="make the site's pseudonym key, once")
    keygen.add_argument(
        "--pseudonym-key",
        type=Path,
        metavar="FILE",
        help=f"where to make it; default: {keys.default_path()}",
    )
    keygen.set_defaults(act=_keygen)
    return parser


class _Parser(argparse.ArgumentParser):
    """Exits 4 on what it does not know, like every other refusal."""

    def error(self, message: str) -> None:  # type: ignore[override]  # it does not return either
        del message  # it quotes what was given, which may be a number
        self.print_usage(sys.stderr)
        sys.stderr.write(f"REFUSED: that is no command of this program: see {self.prog} --help.\n")
        self.exit(_REFUSED)


def _keygen(asked: argparse.Namespace) -> str:
    """Make the site's key, and say where.

    Raises:
        ConfigError: There is one already, or none can be written.
    """
    path: Path = asked.pseudonym_key or keys.default_path()
    keys.make(path)
    return (
        f"{path.absolute()} is made, readable by you only. Keep a copy in a safe: without it "
        "nobody can tell whose evidence is whose, and whoever has it can try out numbers."
    )


if __name__ == "__main__":
    sys.exit(main())
