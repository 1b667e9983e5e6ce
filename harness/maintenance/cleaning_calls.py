"""Which containers a shell command cleans: `docker exec … /opt/whatsapp/bin/cleanup.sh` in it.

Not a shell: it follows assignments, `for` loops over words, `sh -c`, and scripts that are
called. What it cannot follow it says, so that nobody takes silence for a clean-up.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Final

Reader = Callable[[str, bool], str]
"""Returns the text of a script, or, if asked to, of a folder's; empty where there is none."""

_DEEPEST: Final = 3
_ENGINES: Final = frozenset({"docker", "podman", "nerdctl", "docker-compose", "podman-compose"})
_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh"})
_SAYING: Final = frozenset({"echo", "printf", "logger", ":", "test", "[", "which", "type"})
_RUNNING: Final = _SHELLS | {"env", "flock", "ionice", "nice", "nohup", "su", "sudo", "timeout"}
"""What runs, inside a container, the command that it is given."""
_ELSEWHERE: Final = frozenset({"ssh", "mosh", "ansible", "pdsh"})
_KEYWORDS: Final = frozenset({"do", "then", "else", "elif", "if", "while", "until", "!", "{", "("})
_SEPARATORS: Final = ";&|()\n"
_WITH_VALUE: Final = frozenset(
    {
        *("-e", "--env", "--env-file", "-u", "--user", "-w", "--workdir", "--detach-keys"),
        *("-H", "--host", "-c", "--context", "--config", "-l", "--log-level", "--index"),
        *("-f", "--file", "-p", "--project-name", "--project-directory", "--profile"),
        *("--connection", "--url", "--namespace", "-n"),
    }
)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_VARIABLE: Final = re.compile(r"\$\{?(\w+)\}?")
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_SUBSTITUTION: Final = re.compile(r"\$\(([^()]*)\)|`([^`]*)`")
_LOOKED_UP: Final = "$__looked_up"


@dataclass(frozen=True, slots=True)
class Cleaning:
    """One call of the script: in which container, or why we cannot tell.

    `terminal` says that it asks for a terminal, which no schedule has.
    """

    container: str = ""
    doubt: str = ""
    terminal: bool = False


@dataclass(slots=True)
class _Reading:
    """What has been read so far of one command."""

    script: str
    reader: Reader
    depth: int = 0
    variables: dict[str, list[str]] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)


def cleanings(
    command: str, script: Path, reader: Reader, variables: Mapping[str, str] | None = None
) -> tuple[Cleaning, ...]:
    """Return each call of the clean-up script in a shell command, in its order.

    Args:
        command: What cron or systemd runs.
        script: The script's path in its container.
        reader: Where to find scripts that are called.
        variables: What the schedule sets for it.
    """
    known = {name: value.split() for name, value in (variables or {}).items()}
    return tuple(_in_text(command, _Reading(str(script), reader, variables=known)))


def _in_text(text: str, state: _Reading) -> Iterator[Cleaning]:
    found = list(_in_commands(text, state))
    if not found and state.script in re.sub(r"(?m)(^|\s)#.*$", "", text):
        found = [Cleaning(doubt="the script is named in a form that is not read here")]
    yield from found


def _in_commands(text: str, state: _Reading) -> Iterator[Cleaning]:
    text = re.sub(r"(?m)(^|\s)#.*$", r"\1", text.replace("\\\n", " "))
    while match := _SUBSTITUTION.search(text):
        yield from _in_commands(match[1] or match[2] or "", state)
        text = f"{text[: match.start()]}{_LOOKED_UP}{text[match.end() :]}"
    try:
        commands = list(_split(text))
    except ValueError:
        if state.script in text:
            yield Cleaning(doubt="its quotes do not match")
        return
    for words in commands:
        yield from _in_words(words, state)


def _split(text: str) -> Iterator[list[str]]:
    """Yield the simple commands of a text, without redirections."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="<>" + _SEPARATORS)
    lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t\r", "", True
    words: list[str] = []
    redirects = False
    for token in lexer:
        if set(token) <= set("<>" + _SEPARATORS) and set(token) & set("<>"):
            redirects = True
            if words and words[-1].isdigit():
                words.pop()
        elif redirects and not set(token) <= set(_SEPARATORS):
            redirects = False
        elif set(token) <= set(_SEPARATORS):
            redirects = False
            yield words
            words = []
        else:
            words.append(token)
    yield words


def _in_words(words: list[str], state: _Reading) -> Iterator[Cleaning]:
    while words and words[0] in _KEYWORDS | {"export"}:
        words = words[1:]
    if words[:1] == ["for"] and words[2:3] == ["in"]:
        state.variables[words[1]] = _expanded(words[3:], state)
        return
    while words and (match := _ASSIGNMENT.fullmatch(words[0])):
        state.variables[match[1]] = _expanded(match[2].split(), state)
        words = words[1:]
    words = _expanded(words, state, whole=False)
    if not words or words[0] in _SAYING:
        return
    for place, word in enumerate(words):
        name = PurePosixPath(word).name
        if name in _ELSEWHERE:
            return  # on another host, whose containers these are not
        if name in _ENGINES:
            yield from _in_engine(words[place + 1 :], state)
            return
        if name in _SHELLS and place + 1 < len(words):
            yield from _in_shell(words[place + 1 :], state)
            return
    yield from _in_scripts(words, state)


def _in_engine(words: list[str], state: _Reading) -> Iterator[Cleaning]:
    """Read what follows `docker`: options, `exec`, options, the container, a command."""
    rest, _ = _without_options(words)
    while rest and rest[0] in {"container", "compose"}:
        rest, _ = _without_options(rest[1:])
    if not rest or rest[0] != "exec":
        return
    rest, flags = _without_options(rest[1:])
    if not any(state.script in word for word in rest):
        return
    if rest[1:] and rest[1] != state.script and PurePosixPath(rest[1]).name not in _RUNNING:
        return  # it names the script and runs something else, which is told as unread
    terminal = {"i", "t"} <= flags
    names = state.variables.get(rest[0].strip("${}"), [rest[0]]) if "$" in rest[0] else [rest[0]]
    for name in names or [rest[0]]:
        if state.script in name or not _NAME.fullmatch(name):
            yield Cleaning(doubt="it looks up its containers only when it runs", terminal=terminal)
        else:
            yield Cleaning(name, terminal=terminal)


def _without_options(words: list[str]) -> tuple[list[str], set[str]]:
    """Return what follows leading options, and the letters of the short ones."""
    rest, flags = list(words), set[str]()
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option in _WITH_VALUE:
            rest = rest[1:]
        elif option.startswith("--"):
            flags |= {"t"} if option == "--tty" else {"i"} if option == "--interactive" else set()
        elif option[:2] not in _WITH_VALUE:
            flags |= set(option[1:])
            if "-" + option[-1] in _WITH_VALUE:
                rest = rest[1:]
    return rest, flags


def _in_shell(words: list[str], state: _Reading) -> Iterator[Cleaning]:
    """Read what follows `sh`: a text after -c, or a script."""
    for place, word in enumerate(words):
        if word.startswith("-") and not word.startswith("--") and "c" in word:
            yield from _in_text(" ".join(words[place + 1 : place + 2]), state)
            return
        if not word.startswith(("-", "+")):
            yield from _in_scripts(words[place:], state)
            return


def _in_scripts(words: list[str], state: _Reading) -> Iterator[Cleaning]:
    """Read the scripts that a command calls, by their paths, each only once."""
    if state.depth >= _DEEPEST:
        return
    for word in words:
        if not word.startswith("/") or word in state.read:
            continue
        state.read.add(word)
        # Only run-parts runs a folder's files.
        folder = any(PurePosixPath(other).name == "run-parts" for other in words)
        if text := state.reader(word, folder):
            deeper = replace(state, depth=state.depth + 1, variables=dict(state.variables))
            yield from _in_text(text, deeper)


def _expanded(words: list[str], state: _Reading, *, whole: bool = True) -> list[str]:
    """Return words with known variables replaced; of several values, only if `whole`."""
    found: list[str] = []
    for word in words:
        match = _VARIABLE.fullmatch(word)
        values = state.variables.get(match[1]) if match else None
        if values is not None and (whole or len(values) == 1):
            found += values
        else:
            found.append(_VARIABLE.sub(lambda one: _only(one, state), word))
    return found


def _only(match: re.Match[str], state: _Reading) -> str:
    values = state.variables.get(match[1], [])
    return values[0] if len(values) == 1 else match[0]
