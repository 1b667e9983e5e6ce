"""The live part of the command line as one frozen request, checked before anything is touched."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path
from typing import Any, Final

import pytest

from harness import config as run_config
from harness import keys, manifest, routines
from harness.config import RunConfig
from harness.errors import ConfigError, RefusalError
from harness.evidence.session import SESSION_NAME
from harness.identity import Matcher, Representation, WaId, parse_wa_id, spelled
from harness.journal import header_of
from harness.keys import SiteKey
from harness.manifest import Manifest
from harness.model import Garbage, Mode
from harness.plugin import webapp_request
from harness.plugin.webapp_request import WebappRequest, read_webapp_request
from harness.routines import RoutineFile
from harness.run import DOCUMENTED, HARDENED
from harness.surfaces import FileSet

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LONGEST_DEADLINE_S: Final = 7 * 24 * 3600
_LONGEST_NOTE: Final = 200
_MODES: Final = {"preflight": Mode.PREFLIGHT, "rehearse": Mode.REHEARSE, "audit": Mode.AUDIT}
# What makes a part of a run look like the whole of it, or shows what nobody may see.
_PARTIAL: Final = {
    "keyword": "-k",
    "markexpr": "-m",
    "lf": "--lf",
    "failedfirst": "--ff",
    "newfirst": "--nf",
    "deselect": "--deselect",
    "maxfail": "--maxfail or -x",
    "numprocesses": "-n",
    "collectonly": "--collect-only",
    "stepwise": "--stepwise",
    "ignore": "--ignore",
    "ignore_glob": "--ignore-glob",
    "setuponly": "--setup-only",
    "setupplan": "--setup-plan",
    "setupshow": "--setup-show",
    "showfixtures": "--fixtures",
    "show_fixtures_per_test": "--fixtures-per-test",
    "markers": "--markers",
    "cacheshow": "--cache-show",
    "inifilename": "-c",
    "showlocals": "--showlocals",
    "fulltrace": "--full-trace",
    "usepdb": "--pdb",
    "trace": "--trace",
    "debug": "--debug",
    "pastebin": "--pastebin",
}
# What is given again when one run follows another; whom it concerns and the mode are not.
_LASTING: Final = {
    "db_env": "--db-env",
    "treatment": "--treatment",
    "hold_file": "--hold-file",
    "routine": "--routine",
    "pseudonym_key": "--pseudonym-key",
    "reports": "--reports",
    "operator": "--operator",
    "ticket": "--ticket",
    "deadline": "--deadline",
    "log_dir": "--log-dir",
    "media_dir": "--media-dir",
    "log_treatment": "--log-treatment",
    **webapp_request.VALUES,
}
# What a session's journal knows, by the option that it stands for.
_KEPT: Final = {
    "log_dir": "log_dirs",
    "media_dir": "media_dirs",
    "webapp_url": "webapp_url",
    "webapp_ca": "webapp_ca",
}
_LOG_TREATMENTS: Final = ("mask", "report")
_LASTING_FLAGS: Final = {
    "accept_drift": "--accept-drift",
    "accept_non_atomic": "--accept-non-atomic",
    **webapp_request.FLAGS,
}


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """What was asked of real stores.

    `configs` are several for an audit of replicas only; `resume` is the folder of an
    interrupted session; `deadline_s` is counted from the session's beginning. `files` are the log
    folders and media volumes, whose logs are scrubbed if `masking`; `webapp` is what is asked of
    the client's API. `named` are the options that name the subjects, `lasting` those that a run
    which follows is given too.
    """

    mode: Mode
    subjects: tuple[WaId, ...]
    configs: tuple[RunConfig, ...]
    manifest: Manifest
    key: SiteKey
    key_made: bool
    reports: Path
    candidate: str = HARDENED
    file: RoutineFile | None = None
    plans: frozenset[str] = frozenset()
    holds: frozenset[str] = frozenset()
    resume: Path | None = None
    accept_drift: bool = False
    accept_non_atomic: bool = False
    deadline_s: float | None = None
    files: FileSet = field(default_factory=FileSet)
    masking: bool = True
    webapp: WebappRequest | None = None
    operator: str = ""
    ticket: str = ""
    named: tuple[str, ...] = ()
    lasting: tuple[str, ...] = ()
    baseline: None = None
    controls: bool = False

    @property
    def engines(self) -> tuple[str, ...]:
        """The engine, which names the scenarios."""
        return tuple(dict.fromkeys(one.engine.value for one in self.configs))


def add_options(group: pytest.OptionGroup) -> None:
    """Register the options for real stores."""

    def flag(name: str, text: str) -> None:
        group.addoption(name, action="store_true", help=text)

    def value(name: str, metavar: str, text: str) -> None:
        group.addoption(name, default=None, metavar=metavar, help=text)

    def repeated(name: str, metavar: str, text: str) -> None:
        group.addoption(name, action="append", default=[], metavar=metavar, help=text)

    flag("--live", "erase the subjects from the real store set that --db-env names")
    repeated("--wa-id-file", "FILE", "one wa_id a line; - reads standard input; repeatable")
    repeated("--wa-id", "ID", "shows in ps and in the shell's history: prefer --wa-id-file")
    repeated(
        "--db-env",
        "FILE",
        "the client's own db.env, over WA_DB_* in the environment; repeatable for an audit",
    )
    flag("--preflight", "with --live: look whether it may begin, and stop there")
    flag("--rehearse", "with --live: do everything, roll back, and print the plan's digest")
    flag("--audit", "with --live: only search, read-only")
    repeated("--plan", "DIGEST", "erase only if it is exactly this rehearsed plan; repeatable")
    value("--resume", "SESSION", "with --live: finish or undo an interrupted session")
    repeated("--log-dir", "DIR", "a folder of logs and archives to search and mask; repeatable")
    repeated("--media-dir", "DIR", "a media volume to search and remove from; repeatable")
    value("--log-treatment", "mask|report", "what becomes of the subject in logs; default mask")
    webapp_request.add_options(group)
    value("--treatment", "FILE", "TOML: treatments for columns that the manifest lacks")
    flag("--accept-drift", "go on with the default treatment of what the manifest lacks")
    flag("--accept-non-atomic", "go on where stores can only be committed one after the other")
    repeated("--hold-file", "FILE", "numbers under a legal hold, one a line: refuse these")
    value("--pseudonym-key", "FILE", "the site's key; default: made once in your configuration")
    value("--operator", "NAME", "who runs this, for the evidence")
    value("--ticket", "REF", "why, for the evidence")
    value("--deadline", "SECONDS", "give up and roll back after this time, before the commit")


def read_live_request(config: pytest.Config, *, narrowed: bool) -> LiveRequest:
    """Return the request that the live options make; `narrowed` if only some scenarios are.

    Raises:
        RefusalError: An option's value cannot be used, or the request is not safe.
    """
    refuse_partial(config, "--live", narrowed=narrowed)
    resume = _resumed(config)
    mode = _mode(config) if resume is None else _mode_of(resume)
    subjects = tuple(dict.fromkeys(subjects_of(config)))
    configs = read_configs(config) if config.getoption("db_env") else ()
    _require_subjects(mode, subjects, resume)
    if len(subjects) > 1 and config.getoption("plan"):
        # The first one's erasure changes what is there to be masked for the next.
        raise RefusalError(
            "--plan goes with one subject: give each a run of their own, or leave --plan away; "
            "nothing was touched."
        )
    configs = configs or read_configs(config)
    if len(configs) > 1 and mode is not Mode.AUDIT:
        raise RefusalError(
            "Several --db-env go with --audit only: give one store set; nothing was touched."
        )
    file = _file(config.getoption("routine"))
    if file and file.engine is not configs[0].engine:
        raise RefusalError(
            f"{file.label} is written for {file.engine.proper_name}, and db.env names "
            f"{configs[0].engine.proper_name}: give the routine for that engine."
        )
    described = _described(config.getoption("treatment"))
    holds = frozenset(one.number for one in _numbers(config, "hold_file", "--hold-file"))
    file_set = _file_set(config, resume, subjects, configs)
    webapp = _webapp(config, mode, resume)
    if webapp:
        _refuse_naming(subjects, webapp)
    named = config.getoption("pseudonym_key")
    key, made = keys.read_or_make(Path(named) if named else None)
    return LiveRequest(
        mode=mode,
        subjects=subjects,
        configs=configs,
        manifest=described,
        key=key,
        key_made=made,
        reports=Path(config.getoption("reports") or config.rootpath / "reports"),
        candidate=file.label if file else config.getoption("routine") or HARDENED,
        file=file,
        plans=frozenset(_plans(config)),
        holds=holds,
        resume=resume,
        accept_drift=config.getoption("accept_drift"),
        accept_non_atomic=config.getoption("accept_non_atomic"),
        deadline_s=_deadline(config.getoption("deadline")),
        files=file_set,
        masking=_masks_logs(config, resume),
        webapp=webapp,
        operator=note(config, "operator"),
        ticket=note(config, "ticket"),
        named=tuple(_named(config)),
        lasting=tuple(_lasting(config, resume)),
    )


def refuse_strays(config: pytest.Config) -> None:
    """Refuse live options without --live, having checked what they were given as live would.

    Raises:
        RefusalError: There is one.
    """
    subjects = subjects_of(config)
    configs = read_configs(config) if config.getoption("db_env") else ()
    strays = ["preflight", "rehearse", "audit", "accept_drift", "accept_non_atomic"]
    strays += ["plan", "resume", "treatment", "hold_file", "pseudonym_key", "deadline"]
    strays += ["log_dir", "media_dir", "log_treatment"]
    strays += [*webapp_request.VALUES, *webapp_request.FLAGS]
    if subjects or configs or any(config.getoption(name) for name in strays):
        raise RefusalError(
            "Without --live this verifies on disposable servers of its own, and no option for real "
            "stores has a meaning: add --live, or leave them away; nothing was touched."
        )


def subjects_of(config: pytest.Config) -> list[WaId]:
    """Return the subjects of --wa-id and --wa-id-file.

    Raises:
        RefusalError: A file cannot be read, or a line is not a wa_id; the text is not shown.
    """
    given = [parse_wa_id(text) for text in config.getoption("wa_id")]
    return [*given, *_numbers(config, "wa_id_file", "--wa-id-file")]


def refuse_partial(config: pytest.Config, option: str, *, narrowed: bool) -> None:
    """Refuse what makes a part of a session look like the whole, or shows what nobody may see.

    Raises:
        RefusalError: It was given.
    """
    given = ["the name of a file or scenario"] * narrowed
    # pytest files its own --strict-… options of tox.ini here too.
    overridden = config.option.override_ini or ()
    given += ["-o"] * any(not one.startswith("strict") for one in overridden)
    given += [
        shown for name, shown in _PARTIAL.items() if _is_given(getattr(config.option, name, None))
    ]
    if config.option.debug:
        # It holds the whole command line already.
        Path(config.option.debug).unlink(missing_ok=True)
    if given:
        raise RefusalError(
            f"{option} is all or nothing, and {', '.join(given)} would make it partial, or show "
            "what nobody may see: leave it away; nothing was touched."
        )
    if config.getoption("engine") or config.getoption("population") or config.getoption("baseline"):
        raise RefusalError(
            "--engine, --population and --baseline are for disposable servers: leave them away "
            f"with {option}; nothing was touched."
        )


def _is_given(value: Any) -> bool:  # noqa: ANN401  # whatever pytest and its plugins keep there
    return value not in (None, False, "", 0, [], ())


def _mode(config: pytest.Config) -> Mode:
    asked = [name for name in _MODES if config.getoption(name)]
    if len(asked) > 1:
        raise RefusalError("--preflight, --rehearse, --audit and --resume exclude one another.")
    if config.getoption("plan") and (asked or config.getoption("resume")):
        raise RefusalError("--plan goes with the erasure itself: leave the other mode away.")
    return _MODES[asked[0]] if asked else Mode.LIVE


def _mode_of(folder: Path) -> Mode:
    mode = Mode(folder.name.split("-")[1])
    if mode not in {Mode.LIVE, Mode.REHEARSE}:
        raise RefusalError(
            "--resume finishes a live session or undoes a rehearsal: this one changed nothing and "
            "has nothing to be finished."
        )
    return mode


def _require_subjects(mode: Mode, subjects: tuple[WaId, ...], resume: Path | None) -> None:
    if resume and subjects:
        raise RefusalError("--resume knows its subjects: leave --wa-id and --wa-id-file away.")
    if not subjects and not resume and mode is not Mode.PREFLIGHT:
        raise RefusalError(
            "--live needs a subject: give --wa-id-file=FILE (or - for standard input); nothing was "
            "touched."
        )


def _resumed(config: pytest.Config) -> Path | None:
    text = config.getoption("resume")
    if text is None:
        return None
    if any(config.getoption(name) for name in (*_MODES, "plan")):
        raise RefusalError("--resume goes on with what was begun: leave the other mode away.")
    reports = Path(config.getoption("reports") or config.rootpath / "reports")
    for folder in (Path(text), reports / text):
        if folder.is_dir() and SESSION_NAME.fullmatch(folder.resolve().name):
            return folder.resolve()
    raise RefusalError("--resume names no session's folder: give the one that was interrupted.")


def read_configs(config: pytest.Config) -> tuple[RunConfig, ...]:
    """Return how to reach each store set of --db-env, or of the environment.

    Raises:
        ConfigError: A file or a variable cannot be used, or everybody may read the file.
        RefusalError: None is given.
    """
    return tuple(_configs(config))


def _configs(config: pytest.Config) -> Iterator[RunConfig]:
    around = {name: os.environ[name] for name in run_config.VARIABLES if name in os.environ}
    names = config.getoption("db_env")
    if not names:
        if not around:
            raise RefusalError(
                "Which store set it is about is not known: give --db-env=FILE, the client's own "
                "db.env, or WA_DB_* in the environment; nothing was touched."
            )
        yield run_config.from_variables(around, source="the environment")
    for name in names:
        path = Path(name)
        variables = around | run_config.read_db_env(path)
        refuse_readable(path)
        yield run_config.from_variables(variables, source=path.name)


def refuse_readable(path: Path) -> None:
    """Refuse a file with a password that everybody on the machine may read.

    Raises:
        ConfigError: Everybody may.
    """
    if path.stat().st_mode & stat.S_IRWXO:
        raise ConfigError(
            f"{path.name} holds a password and everybody on this machine may read it: "
            f"chmod o= {path.name}, and consider another password; nothing was touched."
        )


def _file(text: str | None) -> RoutineFile | None:
    if text in {None, HARDENED, DOCUMENTED}:
        return None
    return routines.read(Path(text or ""), [store.name for store in manifest.load().stores])


def _described(text: str | None) -> Manifest:
    if text is None:
        return manifest.load()
    from harness import treatments  # noqa: PLC0415

    return treatments.apply(manifest.load(), treatments.read(Path(text)))


def _plans(config: pytest.Config) -> Iterator[str]:
    for text in config.getoption("plan"):
        if not _DIGEST.fullmatch(text):
            raise RefusalError(
                "--plan takes the 64 hexadecimal digits that --rehearse printed: copy them whole."
            )
        yield text


def _deadline(text: str | None) -> float | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", text) or not 0 < float(text) < (
        _LONGEST_DEADLINE_S
    ):
        raise RefusalError("--deadline takes a number of seconds, more than 0: give one.")
    return float(text)


def _file_set(
    config: pytest.Config,
    resume: Path | None,
    subjects: Sequence[WaId],
    configs: Sequence[RunConfig],
) -> FileSet:
    """Return the folders that were given, or those of the session that is to be resumed.

    Raises:
        RefusalError: They are other ones, or the name of one would tell who the subject is.
    """
    logs, media = (
        [Path(name).resolve() for name in config.getoption(option)]
        for option in ("log_dir", "media_dir")
    )
    if resume:
        begun = header_of(resume)
        then = [Path(name) for name in (*begun.log_dirs, *begun.media_dirs)]
        if (logs or media) and [*logs, *media] != then:
            raise RefusalError(
                "--resume scrubs the folders that the session was begun with: leave --log-dir and "
                "--media-dir away."
            )
        logs, media = (list(map(Path, one)) for one in (begun.log_dirs, begun.media_dirs))
    if len(configs) > 1 and (logs or media):
        raise RefusalError(
            "--log-dir and --media-dir go with one store set: audit the replicas by themselves."
        )
    for inner, outer in permutations([*logs, *media], 2):
        if inner != outer and inner.is_relative_to(outer):
            raise RefusalError(
                "One of the folders given with --log-dir and --media-dir lies in another one, so "
                "nobody knows what its files are: give folders apart from each other; nothing was "
                "touched."
            )
    matcher = Matcher([spelled(subject.number) for subject in subjects])
    if any(matcher.hits(os.fsencode(path), Representation.TEXT) for path in (*logs, *media)):
        raise RefusalError(
            "The path of a folder given with --log-dir or --media-dir names a subject, and would "
            "stand in the evidence: give the folder above it, or rename it; nothing was touched."
        )
    return FileSet.of(logs, media)


def _masks_logs(config: pytest.Config, resume: Path | None) -> bool:
    given = config.getoption("log_treatment")
    if given not in {None, *_LOG_TREATMENTS}:
        raise RefusalError("--log-treatment takes mask or report: give one of them.")
    begun = header_of(resume).log_treatment if resume else None
    if given and begun and given != begun:
        raise RefusalError("--resume goes on as the session was begun: leave --log-treatment away.")
    return (given or begun or _LOG_TREATMENTS[0]) == _LOG_TREATMENTS[0]


def _webapp(config: pytest.Config, mode: Mode, resume: Path | None) -> WebappRequest | None:
    """Return what is asked of the client's API, by options or by the session to be resumed.

    Raises:
        RefusalError: An option cannot be used, or the mode only reads.
    """
    begun = header_of(resume) if resume else None
    given = (begun.webapp_url, begun.webapp_ca) if begun else ("", "")
    asked = read_webapp_request(config, given, resumed=begun is not None)
    if config.getoption("gc_policy") and not asked:
        raise RefusalError(
            "--gc-policy has the limits of the client's garbage collection: give --webapp-url too, "
            "or leave it away; nothing was touched."
        )
    if asked and begun:
        if asked.garbage and not begun.garbage:
            raise RefusalError(
                "--resume goes on as the session was begun, without a garbage collection: leave "
                "--run-gc away; nothing was touched."
            )
        garbage = tuple(map(Garbage, begun.garbage))
        return replace(asked, garbage=garbage, marks_read=begun.marks_read, any_time=True)
    if asked and asked.garbage and mode is Mode.AUDIT:
        raise RefusalError(
            "--audit only reads, and --run-gc has the client delete: leave one of them away; "
            "nothing was touched."
        )
    return asked


def _refuse_naming(subjects: Sequence[WaId], webapp: WebappRequest) -> None:
    """Refuse a URL or a file's path that names a subject: both stand in the journal.

    Raises:
        RefusalError: One does.
    """
    matcher = Matcher([spelled(subject.number) for subject in subjects])
    for text in (webapp.config.url, str(webapp.config.ca or "")):
        if matcher.hits(os.fsencode(text), Representation.TEXT):
            raise RefusalError(
                "What was given with --webapp-url or --webapp-ca names a subject, and would stand "
                "in the evidence: use another address, or rename the file; nothing was touched."
            )


def _named(config: pytest.Config) -> Iterator[str]:
    """Yield how the subjects are named to a run that follows; never by their numbers."""
    files = [name for name in config.getoption("wa_id_file") if name != "-"]
    yield from (f"--wa-id-file={name}" for name in files)
    if config.getoption("wa_id") or len(files) < len(config.getoption("wa_id_file")):
        yield "--wa-id-file=-"


def _lasting(config: pytest.Config, resume: Path | None) -> Iterator[str]:
    """Yield the options that a run which follows is given too; a resumed one had them before."""
    begun = header_of(resume) if resume else None
    for name, option in _LASTING.items():
        value = config.getoption(name) or (begun and getattr(begun, _KEPT.get(name, ""), None))
        for one in value if isinstance(value, list | tuple) else [value] * bool(value):
            yield f"{option}={one}"
    kept = {"run_gc": begun and begun.garbage, "mark_read": begun and begun.marks_read}
    for name, option in _LASTING_FLAGS.items():
        if config.getoption(name) or kept.get(name):
            yield option


def note(config: pytest.Config, name: str) -> str:
    """Return a note for the evidence, on one line.

    Raises:
        RefusalError: It is too long.
    """
    text = " ".join((config.getoption(name) or "").split())
    if len(text) > _LONGEST_NOTE:
        raise RefusalError(f"--{name} takes at most {_LONGEST_NOTE} characters: shorten it.")
    return text


def _numbers(config: pytest.Config, option: str, shown: str) -> Iterator[WaId]:
    for name in config.getoption(option):
        for line in map(str.strip, _lines(config, name, shown)):
            if line and not line.startswith("#"):
                yield parse_wa_id(line)


def _lines(config: pytest.Config, name: str, shown: str) -> list[str]:
    try:
        text = _standard_input(config) if name == "-" else Path(name).read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(
            f"The file given with {shown} is not text in UTF-8: give one wa_id a line."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"The file given with {shown} cannot be read ({error.strerror}): mend the path."
        ) from None
    return text.splitlines()


def _standard_input(config: pytest.Config) -> str:
    """Read what pytest's capturing otherwise hides from tests."""
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.suspend_global_capture(in_=True)
    try:
        return sys.stdin.read()
    finally:
        capture.resume_global_capture()
