"""Whether the host's schedule cleans every container: each fault planted, seen, and told."""

from __future__ import annotations

import subprocess
import sys
from datetime import time
from pathlib import Path

import pytest

from harness.maintenance import starts
from harness.maintenance.policy import Role
from harness.maintenance.schedule import Fault, ScheduleFinding, check, find
from harness.maintenance.starts import ALL_DAYS, UnreadableTimeError

SCRIPT = "/opt/whatsapp/bin/cleanup.sh"
CONTAINERS = {"waweb": Role.WEBAPP, "wacore1": Role.COREAPP, "master1": Role.MASTER}
ID = "4f1c2b9d8e7a"
EACH = f"for c in waweb wacore1 master1; do docker exec $c {SCRIPT}; done"
UNITS = "etc/systemd/system"


def host(root: Path, **files: str) -> Path:
    """Write files below a root, of which `/` and `.` in the names are `__` and `_dot_`."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def found(root: Path) -> tuple[ScheduleFinding, ...]:
    """Return what is wrong with a host."""
    return check(find(root), CONTAINERS)


def faults(root: Path) -> set[Fault]:
    """Return the kinds of what is wrong with a host."""
    return {one.fault for one in found(root)}


def cron(root: Path, *lines: str) -> Path:
    """Write a crontab of /etc/cron.d, and a plain job for every container below it."""
    return host(root, etc__cron_dot_d__whatsapp="".join(f"{line}\n" for line in lines))


def units(root: Path, timer: str, service: str, *, enabled: bool = True) -> Path:
    """Write a timer and its service, enabled or not."""
    folder = root / UNITS
    (folder / "timers.target.wants").mkdir(parents=True, exist_ok=True)
    (folder / "clean.timer").write_text(f"[Timer]\n{timer}\n", encoding="utf-8")
    (folder / "clean.service").write_text(f"[Service]\n{service}\n", encoding="utf-8")
    if enabled:
        link = folder / "timers.target.wants" / "clean.timer"
        link.symlink_to(f"/{UNITS}/clean.timer")
    return root


@pytest.mark.parametrize(
    "command",
    [
        EACH,
        f'for c in waweb "wacore1" master1\ndo /usr/bin/docker exec -i $c {SCRIPT}\ndone',
        "; ".join(f"docker exec {name} {SCRIPT}" for name in CONTAINERS),
        " && ".join(f"sudo -n podman exec -u root {name} sh -c '{SCRIPT}'" for name in CONTAINERS),
        f'sh -c "{EACH.replace("$c", chr(92) + "$c")}"',
        f"bash -lc '{EACH}' >/var/log/clean.log 2>&1",
        f"flock -n /run/clean.lock sh -c '{EACH}'",
        f"ALL='waweb wacore1 master1'; for c in $ALL; do timeout 600 docker exec ${{c}} {SCRIPT}; done",
        "; ".join(f"docker compose -f /srv/wa.yml exec -T {name} {SCRIPT}" for name in CONTAINERS),
        "; ".join(f"docker container exec --user=0 -e A=b {n} {SCRIPT}" for n in CONTAINERS),
    ],
)
def test_a_job_is_understood(tmp_path: Path, command: str) -> None:
    """However a daily job at night names each container, nothing is found to be wrong."""
    joined = command.replace("\n", "; ").replace("do; ", "do ")
    assert found(cron(tmp_path, f"30 3 * * * root {joined}")) == ()


def test_a_users_crontab_is_read(tmp_path: Path) -> None:
    """In a user's crontab no user stands before the command."""
    host(tmp_path, var__spool__cron__crontabs__root=f"SHELL=/bin/sh\n@daily {EACH}\n")
    assert found(tmp_path) == ()


def test_a_script_that_is_called_is_read(tmp_path: Path) -> None:
    """A job that calls a script, also by run-parts, does what the script does."""
    host(tmp_path, usr__local__sbin__nightly=f"#!/bin/sh\n# {SCRIPT}\n{EACH}\n")
    host(tmp_path, etc__cron_dot_daily__wa="#!/bin/sh\nexec /usr/local/sbin/nightly\n")
    host(tmp_path, etc__crontab="25 4 * * * root cd / && run-parts --report /etc/cron.daily\n")
    assert found(tmp_path) == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"30 3 * * 1-6 root {EACH}", Fault.NOT_DAILY),
        (f"@weekly root {EACH}", Fault.NOT_DAILY),
        (f"@reboot root {EACH}", Fault.NOT_DAILY),
        (f"30 3 1-30 * * root {EACH}", Fault.NOT_DAILY),
        (f"30 3 1-28 2 * root {EACH}", Fault.NOT_DAILY),
        (f"30 12 * * * root {EACH}", Fault.AT_PEAK),
        (f"0 6 * * * root {EACH}", Fault.AT_PEAK),
        (f"59 21 * * * root {EACH}", Fault.AT_PEAK),
        (f"0 */4 * * * root {EACH}", Fault.AT_PEAK),
        (f"30 3 * * * root docker exec {ID} {SCRIPT}; {EACH}", Fault.BY_ID),
        (f"30 3 * * * root docker exec {ID * 5}{ID[:4]} {SCRIPT}; {EACH}", Fault.BY_ID),
        (f"30 3 * * * root docker exec wacore9 {SCRIPT}; {EACH}", Fault.NO_SUCH_CONTAINER),
        (f"30 3 * * * root {EACH.replace('exec', 'exec -it')}", Fault.NEEDS_TERMINAL),
        (f"30 3 * * * root docker exec waweb {SCRIPT}", Fault.NOT_CLEANED),
        (
            f"30 3 * * * root for c in $(docker ps -q); do docker exec $c {SCRIPT}; done",
            Fault.UNCLEAR,
        ),
        (f"30 3 * * * root docker ps -q | xargs -I@ docker exec @ {SCRIPT}", Fault.UNCLEAR),
        (f"30 3 * * * root docker exec `docker ps -qf name=waweb` {SCRIPT}", Fault.UNCLEAR),
        (f"30 3 * * * root python3 -c 'run(\"docker exec waweb {SCRIPT}\")'", Fault.UNCLEAR),
        (f"30 3 * * * root docker exec 'waweb {SCRIPT}", Fault.UNCLEAR),
        (f"30 25 * * * root {EACH}", Fault.UNCLEAR),
        (f"30 3 L * * root {EACH}", Fault.UNCLEAR),
        (f"CRON_TZ=UTC\n30 3 * * * root {EACH}", Fault.UNCLEAR),
        (f"30 3 * * root {EACH}", Fault.UNCLEAR),
        (f"30 3 * * * docker exec waweb {SCRIPT}", Fault.UNCLEAR),
        (f"@daily /usr/bin/docker exec waweb {SCRIPT}", Fault.UNCLEAR),
        ("half past three, please", Fault.UNCLEAR),
        (f"#30 3 * * * root {EACH}", Fault.DISABLED),
        (f"# 30 3 * * * root {EACH}", Fault.DISABLED),
        ("30 3 * * * root true", Fault.NO_JOB),
        (f"# {SCRIPT} should run daily", Fault.NO_JOB),
        (f"30 3 * * * root echo docker exec waweb {SCRIPT}", Fault.UNCLEAR),
        (f"30 3 * * * root docker exec waweb cat {SCRIPT}", Fault.UNCLEAR),
        (f"30 3 * * * root ssh other docker exec waweb {SCRIPT}", Fault.UNCLEAR),
        (f"30 3 * * * root docker run --rm waweb {SCRIPT}", Fault.UNCLEAR),
    ],
)
def test_a_fault_is_seen(tmp_path: Path, line: str, expected: Fault) -> None:
    """Each way to get a crontab wrong is a finding of its kind, with the way out."""
    seen = [one for one in found(cron(tmp_path, line)) if one.fault is expected]
    assert seen
    assert all(one.why and "\n" not in one.why for one in seen)


def test_jobs_that_are_daily_together_are_daily(tmp_path: Path) -> None:
    """A job for weekdays and one for the weekend clean every day."""
    assert found(cron(tmp_path, f"0 2 * * 1-5 root {EACH}", f"0 3 * * 6,0 root {EACH}")) == ()


def test_one_container_may_be_rare(tmp_path: Path) -> None:
    """Only the container that is not cleaned daily is named."""
    plain = [f"0 2 * * * root docker exec {name} {SCRIPT}" for name in ("waweb", "wacore1")]
    (one,) = found(cron(tmp_path, *plain, f"0 2 * * 0 root docker exec master1 {SCRIPT}"))
    assert (one.fault, one.container) == (Fault.NOT_DAILY, "master1")


@pytest.mark.parametrize("name", ["whatsapp.disabled", "whatsapp~", "whatsapp.dpkg-old"])
def test_a_file_that_cron_passes_over(tmp_path: Path, name: str) -> None:
    """A job in a file that cron does not read is one that never runs."""
    host(tmp_path, **{f"etc__cron_dot_d__{name.replace('.', '_dot_')}": f"0 3 * * * root {EACH}\n"})
    assert faults(tmp_path) == {Fault.DISABLED, Fault.NO_JOB, Fault.NOT_CLEANED}


def test_a_file_that_cron_refuses(tmp_path: Path) -> None:
    """Without a line end, or where others may write to it, cron reads nothing of a file."""
    file = cron(tmp_path, f"0 3 * * * root {EACH}") / "etc/cron.d/whatsapp"
    assert found(tmp_path) == ()
    file.chmod(0o666)
    assert Fault.DISABLED in faults(tmp_path)
    file.chmod(0o644)
    file.write_text(f"0 3 * * * root {EACH}", encoding="utf-8")
    assert Fault.DISABLED in faults(tmp_path)


def test_a_host_without_any_job(tmp_path: Path) -> None:
    """Where nothing is scheduled, that is said, and each container is named."""
    assert [(one.fault, one.container) for one in found(tmp_path)] == [
        (Fault.NO_JOB, ""),
        *((Fault.NOT_CLEANED, name) for name in CONTAINERS),
    ]


def test_containers_that_are_not_given(tmp_path: Path) -> None:
    """Without a list of containers we cannot tell whether all are cleaned, and say so."""
    jobs = find(cron(tmp_path, f"0 3 * * * root {EACH}"))
    assert [one.fault for one in check(jobs, {})] == [Fault.UNCLEAR]


def test_a_name_may_look_like_an_id(tmp_path: Path) -> None:
    """A container that is named like an id is one that has that name."""
    jobs = find(cron(tmp_path, f"0 3 * * * root docker exec {ID} {SCRIPT}"))
    assert check(jobs, {ID: Role.COREAPP}) == ()


@pytest.mark.parametrize(
    ("timer", "service"),
    [
        ("OnCalendar=*-*-* 03:00:00", f"ExecStart=/bin/sh -c '{EACH}'"),
        ("OnCalendar=daily\nPersistent=true", f"ExecStart=-/bin/sh -c '{EACH.replace('$', '$$')}'"),
        (
            "OnCalendar=Mon..Fri 02:00\nOnCalendar=Sat,Sun 05:30\nRandomizedDelaySec=15min",
            "\n".join(f"ExecStart=/usr/bin/docker exec {n} \\\n  {SCRIPT}" for n in CONTAINERS),
        ),
        (
            "# OnCalendar=12:00\nOnCalendar=12:00\nOnCalendar=\nOnCalendar=04:00",
            f"ExecStart=/bin/sh -c '{EACH}'",
        ),
    ],
)
def test_a_timer_is_understood(tmp_path: Path, timer: str, service: str) -> None:
    """A daily timer at night whose service cleans each container is well."""
    assert found(units(tmp_path, timer, service)) == ()


@pytest.mark.parametrize(
    ("timer", "expected"),
    [
        ("OnCalendar=Sun 03:00", Fault.NOT_DAILY),
        ("OnCalendar=*-*-01 03:00", Fault.NOT_DAILY),
        ("OnCalendar=2026-*-* 03:00", Fault.NOT_DAILY),
        ("OnCalendar=hourly", Fault.AT_PEAK),
        ("OnCalendar=*-*-* 05:45\nRandomizedDelaySec=30m", Fault.AT_PEAK),
        ("OnCalendar=*-*-* 03:00 UTC", Fault.UNCLEAR),
        ("OnCalendar=*-*~01 03:00", Fault.UNCLEAR),
        ("OnCalendar=now and then", Fault.UNCLEAR),
        ("OnUnitActiveSec=1d", Fault.UNCLEAR),
        ("OnCalendar=03:00\nRandomizedDelaySec=a while", Fault.UNCLEAR),
        ("OnCalendar=03:00\nUnit=other.service", Fault.NO_SERVICE),
    ],
)
def test_a_timers_fault_is_seen(tmp_path: Path, timer: str, expected: Fault) -> None:
    """Each way to get a timer wrong is a finding of its kind."""
    assert expected in faults(units(tmp_path, timer, f"ExecStart=/bin/sh -c '{EACH}'"))


def test_a_timer_that_is_not_enabled(tmp_path: Path) -> None:
    """A timer that nothing wants, or that is masked, never runs."""
    service = f"ExecStart=/bin/sh -c '{EACH}'"
    units(tmp_path, "OnCalendar=03:00", service, enabled=False)
    assert faults(tmp_path) == {Fault.DISABLED, Fault.NO_JOB, Fault.NOT_CLEANED}
    (tmp_path / UNITS / "clean.timer").unlink()
    (tmp_path / UNITS / "clean.timer").symlink_to("/dev/null")
    (tmp_path / UNITS / "timers.target.wants/clean.timer").symlink_to("../clean.timer")
    assert Fault.DISABLED in faults(tmp_path)


def test_instances_of_a_template(tmp_path: Path) -> None:
    """One timer for each container, of a template, cleans those that are enabled."""
    folder = tmp_path / UNITS
    wants = folder / "timers.target.wants"
    wants.mkdir(parents=True)
    (folder / "clean@.timer").write_text("[Timer]\nOnCalendar=03:00\n", encoding="utf-8")
    text = f"[Service]\nExecStart=/usr/bin/docker exec %i {SCRIPT}\n"
    (folder / "clean@.service").write_text(text, encoding="utf-8")
    for name in list(CONTAINERS)[:2]:
        (wants / f"clean@{name}.timer").symlink_to(f"/{UNITS}/clean@.timer")
    assert [(one.fault, one.container) for one in found(tmp_path)] == [
        (Fault.NOT_CLEANED, "master1")
    ]


def test_a_drop_in_is_read(tmp_path: Path) -> None:
    """What a drop-in sets counts, as if it stood in the unit."""
    units(tmp_path, "OnCalendar=03:00", f"ExecStart=/bin/sh -c '{EACH}'")
    folder = tmp_path / UNITS / "clean.timer.d"
    folder.mkdir()
    (folder / "peak.conf").write_text("[Timer]\nOnCalendar=\nOnCalendar=12:00\n", encoding="utf-8")
    assert faults(tmp_path) == {Fault.AT_PEAK}


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        ("*/20 3 * * *", [(3, 0), (3, 20), (3, 40)]),
        ("5 22-23,1 * * *", [(1, 5), (22, 5), (23, 5)]),
        ("0 0 * jan-dec sun-sat", [(0, 0)]),
    ],
)
def test_times_of_cron(expression: str, times: list[tuple[int, int]]) -> None:
    """Cron's five fields are read as cron reads them."""
    read = starts.of_cron(expression)
    assert sorted(read.times) == [time(*one) for one in times]
    assert read.days == ALL_DAYS


@pytest.mark.parametrize(
    ("expression", "times", "days"),
    [
        ("*-*-* 0/12:30", [(0, 30), (12, 30)], 731),
        ("Sat,Sun,Mon 2..3:15:00", [(2, 15), (3, 15)], 314),
        ("*-02-29 03:00", [(3, 0)], 1),
        ("Mon,Thursday *-*-* 04,05:00", [(4, 0), (5, 0)], 208),
        ("12-24 23:59:30", [(23, 59)], 2),
        ("quarterly", [(0, 0)], 8),
    ],
)
def test_times_of_systemd(expression: str, times: list[tuple[int, int]], days: int) -> None:
    """The common forms of OnCalendar are read as `systemd-analyze calendar` reads them."""
    read = starts.of_calendar(expression)
    assert sorted(read.times) == [time(*one) for one in times]
    assert len(read.days) == days


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "25:00",
        "Mon..Blue 03:00",
        "*-13-* 03:00",
        "03:00:00:00",
        "1-2-3-4 03:00",
        "*-*-* 3/0:00",
        "*-*-* */2:00",
        "18/6:00",
        "Sat..Mon 03:00",
    ],
)
def test_times_that_nobody_reads(expression: str) -> None:
    """What is no time in systemd's forms is refused, and not taken for another."""
    with pytest.raises(UnreadableTimeError):
        starts.of_calendar(expression)


def test_the_command_looks_at_a_host(tmp_path: Path) -> None:
    """`python -m harness.maintenance.schedule` says what is wrong, or that nothing is."""
    cron(tmp_path, f"0 3 * * * root {EACH}")
    pairs = [f"{name}={role}" for name, role in CONTAINERS.items()]
    command = [sys.executable, "-m", "harness.maintenance.schedule", f"--root={tmp_path}"]
    well = subprocess.run([*command, *pairs], capture_output=True, text=True, check=False)
    assert (well.returncode, well.stdout.startswith("every container")) == (0, True)
    more = [*pairs, "wacore2=coreapp"]
    wrong = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout[:19]) == (1, "not cleaned wacore2")
