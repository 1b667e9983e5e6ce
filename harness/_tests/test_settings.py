"""The settings audit: every combination of settings, version and traffic, typed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from harness.errors import RefusalError
from harness.maintenance.policy import Known
from harness.maintenance.settings import (
    API_DRIVEN_PER_S,
    DATABASE_GC,
    MEDIA_GC,
    MESSAGES_GC,
    PASS_THROUGH,
    RESTART,
    SettingFault,
    SettingRule,
    Weight,
    audit,
    parse_version,
)

# What each letter of the tables below stands for.
MEANINGS = {
    "D": (PASS_THROUGH, Weight.REMARK, SettingRule.DEFAULT),  # not shown, or off after upgrade
    "G": (PASS_THROUGH, Weight.FAULT, SettingRule.GROWS),
    "c": (PASS_THROUGH, Weight.REMARK, SettingRule.API_DRIVEN),  # collect through the API
    "N": (PASS_THROUGH, Weight.REMARK, SettingRule.NO_RETURN),
    "U": (DATABASE_GC, Weight.UNTOLD, SettingRule.EXISTS),
    "E": ("key", Weight.FAULT, SettingRule.EXISTS),  # shown by a version that lacks it
    "a": ("key", Weight.REMARK, SettingRule.AUTOMATIC),
    "B": ("key", Weight.FAULT, SettingRule.API_DRIVEN),
    "b": ("key", Weight.REMARK, SettingRule.API_DRIVEN),  # on, and the rate is not known
    "P": (DATABASE_GC, Weight.FAULT, SettingRule.UPGRADE),
    "p": (DATABASE_GC, Weight.REMARK, SettingRule.UPGRADE),
}
VERSIONS = {"before": ("2.21", "2.29.0"), "kept": ("2.29.1", "2.34.9"), "final": ("2.35", "2.53.4")}
RATES = {"quiet": (0.0, 120.0), "busy": (120.1, 900.0), "unknown": (None,)}
SHOWN = {"on": True, "off": False}

# bracket  pass_through  which key, and how it is set   quiet  busy  unknown
TABLE = """
before     on            none        -                   .      .     .
before     on            db          on                  E      EB    Eb
before     on            db          off                 Ea     E     Ea
before     on            messages    on                  E      EB    Eb
before     on            messages    off                 Ea     E     Ea
before     off           none        -                   G      c     G
before     off           db          on                  E      EB    Eb
before     off           db          off                 EG     Ec    EG
before     off           messages    on                  E      EB    Eb
before     off           messages    off                 EG     Ec    EG
before     absent        none        -                   D      D     D
before     absent        db          on                  DE     DEB   DEb
before     absent        db          off                 DEa    DE    DEa
before     absent        messages    on                  DE     DEB   DEb
before     absent        messages    off                 DEa    DE    DEa
kept       on            none        -                   U      U     U
kept       on            db          on                  .      B     b
kept       on            db          off                 a      .     a
kept       on            messages    on                  .      B     b
kept       on            messages    off                 a      .     a
kept       off           none        -                   U      U     U
kept       off           db          on                  .      B     b
kept       off           db          off                 G      c     G
kept       off           messages    on                  .      B     b
kept       off           messages    off                 G      c     G
kept       absent        none        -                   DU     DU    DU
kept       absent        db          on                  D      DB    Db
kept       absent        db          off                 DG     Dc    DG
kept       absent        messages    on                  D      DB    Db
kept       absent        messages    off                 DG     Dc    DG
final      on            none        -                   UN     UN    UN
final      on            db          on                  N      BN    bN
final      on            db          off                 aN     N     aN
final      on            messages    on                  N      BN    bN
final      on            messages    off                 aN     N     aN
final      off           none        -                   U      U     U
final      off           db          on                  .      B     b
final      off           db          off                 G      c     G
final      off           messages    on                  .      B     b
final      off           messages    off                 G      c     G
final      absent        none        -                   DU     DU    DU
final      absent        db          on                  D      DB    Db
final      absent        db          off                 DG     Dc    DG
final      absent        messages    on                  D      DB    Db
final      absent        messages    off                 DG     Dc    DG
"""
# from   to       pass_through   quiet  busy  unknown      besides what the version alone gives
UPGRADES = """
2.29.0   -        on             .      .     .
2.29.0   2.29.0   on             .      .     .
2.21     2.29.0   off            .      .     .
2.29.0   2.29.1   on             Dp     Dp    Dp
2.29.0   v2.29.1  off            P      p     P
2.29.0   2.29.1   absent         Dp     Dp    Dp
2.21     2.34     on             Dp     Dp    Dp
2.21     2.34     off            P      p     P
2.21     2.34     absent         Dp     Dp    Dp
2.21     2.35     on             DpN    DpN   DpN
2.21     2.35     off            PN     pN    PN
2.21     2.35     absent         DpN    DpN   DpN
2.29.1   2.34     on             .      .     .
2.29.1   2.34     off            .      .     .
2.34.9   2.35     on             N      N     N
2.34.9   2.35     off            N      N     N
2.34.9   2.35     absent         N      N     N
2.35     2.53     on             .      .     .
2.35     2.53     off            .      .     .
2.35     2.53     absent         .      .     .
"""


def settings(pass_through: str, key: str = "none", state: str = "-") -> dict[str, bool]:
    """Return what the client shows."""
    shown = {} if pass_through == "absent" else {PASS_THROUGH: SHOWN[pass_through]}
    names = {"db": DATABASE_GC, "messages": MESSAGES_GC}
    return shown if key == "none" else {**shown, names[key]: SHOWN[state]}


def cases() -> Iterator[tuple[str, dict[str, bool], str, float | None, str]]:
    """Yield each cell of the table, at both ends of each bracket."""
    for line in TABLE.strip().splitlines():
        bracket, pass_through, key, state, *cells = line.split()
        for version in VERSIONS[bracket]:
            for rates, cell in zip(RATES.values(), cells, strict=True):
                for rate in rates:
                    yield version, settings(pass_through, key, state), key, rate, cell


def letters(faults: Iterator[SettingFault], key: str = "none") -> list[str]:
    """Return the letters of what was found, sorted."""
    name = {"db": DATABASE_GC, "messages": MESSAGES_GC, "none": ""}[key]
    by_meaning = {
        (name if setting == "key" else setting, weight, rule): letter
        for letter, (setting, weight, rule) in MEANINGS.items()
    }
    return sorted(by_meaning[one.setting, one.weight, one.rule] for one in faults)


def test_each_combination_of_settings_version_and_traffic_has_its_faults() -> None:
    """Each of the combinations gives the faults that were typed from the facts, and no other."""
    asked = list(cases())
    assert len(asked) == 3 * 3 * 5 * 2 * 5
    for version, shown, key, rate, cell in asked:
        found = audit(
            shown, version=parse_version(version), sent_per_s=rate, changed_since_restart=False
        )
        assert letters(found, key) == sorted(cell.strip(".")), (version, shown, rate)


def test_each_upgrade_says_what_will_be_set() -> None:
    """An upgrade over v2.29.1 or v2.35 adds what it brings, and another adds nothing."""
    for line in UPGRADES.strip().splitlines():
        version, to_version, pass_through, *cells = line.split()
        shown = settings(pass_through)
        for rates, cell in zip(RATES.values(), cells, strict=True):
            for rate in rates:
                now, later = (
                    letters(
                        audit(
                            shown,
                            version=parse_version(version),
                            to_version=None if goal == "-" else parse_version(goal),
                            sent_per_s=rate,
                            changed_since_restart=False,
                        )
                    )
                    for goal in ("-", to_version)
                )
                assert later == sorted([*now, *cell.strip(".")]), line


def test_two_names_of_one_setting_must_agree() -> None:
    """Where the later name contradicts the earlier one that is a fault, and the later one counts."""
    for later, earlier in ((True, False), (False, True)):
        found = audit(
            {PASS_THROUGH: False, DATABASE_GC: earlier, MESSAGES_GC: later},
            version=parse_version("2.35"),
            sent_per_s=1,
            changed_since_restart=False,
        )
        rules = {one.rule for one in found}
        grows = set() if later else {SettingRule.GROWS}
        assert rules == {SettingRule.LATER_NAME} | grows
    same = {PASS_THROUGH: False, DATABASE_GC: True, MESSAGES_GC: True}
    version = parse_version("2.35")
    assert not list(audit(same, version=version, sent_per_s=1, changed_since_restart=False))


def test_media_that_nothing_collects_are_a_remark() -> None:
    """Media collection that is off is told, and is no fault; that is on, nothing is said."""
    version = parse_version("2.35")
    for on, expected in ((False, [(MEDIA_GC, Weight.REMARK)]), (True, [])):
        shown = {PASS_THROUGH: False, MESSAGES_GC: True, MEDIA_GC: on}
        found = audit(shown, version=version, sent_per_s=1, changed_since_restart=False)
        assert [(one.setting, one.weight) for one in found] == expected


def test_nobody_is_sent_to_collect_media_here() -> None:
    """What is said of media never leads to --run-gc, which collects messages only."""
    found = audit({MEDIA_GC: False}, version=parse_version("2.35"), sent_per_s=1)
    (why,) = (one.why for one in found if one.setting == MEDIA_GC)
    assert "--run-gc" not in why


@pytest.mark.parametrize("key", [DATABASE_GC, MESSAGES_GC])
def test_what_is_collected_through_the_api_need_not_be_collected_automatically(key: str) -> None:
    """Automatic collection that is off is no fault where a collection is known of lately."""
    shown = {PASS_THROUGH: False, key: False}
    for lately, weight, words in (
        (False, Weight.FAULT, f"set {key} on and restart the Coreapps, or have garbage collected"),
        (True, Weight.REMARK, "which was done lately: keep it up"),
    ):
        version = parse_version("2.30")
        found = audit(shown, version=version, sent_per_s=1, collected_lately=lately)
        (grows,) = (one for one in found if one.rule is SettingRule.GROWS)
        assert (grows.weight, grows.known) == (weight, Known.CONFIRMED)
        assert words in grows.why


def test_what_is_collected_through_the_api_goes_on_after_the_upgrade() -> None:
    """An upgrade that leaves automatic collection off is no fault where the API is used."""
    for lately, weight, words in (
        (False, Weight.FAULT, "set pass_through on before it"),
        (True, Weight.REMARK, "go on to drive collection through the API"),
    ):
        found = audit(
            {PASS_THROUGH: False},
            version=parse_version("2.29.0"),
            to_version=parse_version("2.30"),
            sent_per_s=1,
            collected_lately=lately,
        )
        (after,) = (one for one in found if one.rule is SettingRule.UPGRADE)
        assert after.weight is weight
        assert words in after.why


def test_media_alone_tell_nothing_about_messages() -> None:
    """A client that shows only the part for media leaves open whether messages are collected."""
    found = audit(
        {PASS_THROUGH: False, MEDIA_GC: True},
        version=parse_version("2.35"),
        sent_per_s=1,
        changed_since_restart=False,
    )
    assert [(one.setting, one.weight) for one in found] == [(DATABASE_GC, Weight.UNTOLD)]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [(True, [(RESTART, Weight.FAULT)]), (None, [(RESTART, Weight.REMARK)]), (False, [])],
)
def test_a_change_without_a_restart_is_a_fault(
    changed: bool | None,  # noqa: FBT001  # a case's value
    expected: list[tuple[str, Weight]],
) -> None:
    """A change that is not in force is a fault, and one that is not known is a remark."""
    shown = {PASS_THROUGH: False, DATABASE_GC: True}
    found = audit(shown, version=parse_version("2.30"), sent_per_s=1, changed_since_restart=changed)
    assert [(one.setting, one.weight) for one in found] == expected


def test_the_limit_is_the_sites_where_it_is_given() -> None:
    """The rate from which automatic collection is wrong is that of the policy; by default 120."""
    shown, version = {PASS_THROUGH: False, DATABASE_GC: True}, parse_version("2.30")
    assert API_DRIVEN_PER_S == 120
    for limit, expected in ((50.0, [Weight.FAULT]), (51.0, [])):
        found = audit(
            shown,
            version=version,
            sent_per_s=51,
            changed_since_restart=False,
            api_driven_per_s=limit,
        )
        assert [one.weight for one in found] == expected


def test_each_sentence_says_what_to_do_or_what_holds() -> None:
    """Every fault has a way out, and nothing that was inferred is said to be confirmed."""
    ways_out = ("set ", "switch ", "restart ", "give ", "collect")
    for version, shown, key, rate, _ in cases():
        for one in audit(
            shown,
            version=parse_version(version),
            to_version=parse_version("2.60"),
            sent_per_s=rate,
        ):
            assert one.known in {Known.CONFIRMED, Known.INFERRED}
            if one.weight is not Weight.REMARK:
                assert any(way in one.why for way in ways_out), (key, one)
            if one.rule is SettingRule.AUTOMATIC:
                assert one.known is Known.INFERRED


def test_where_pass_through_cannot_come_back_nobody_is_sent_there() -> None:
    """From v2.35 on no way out is to switch pass_through on, and before v2.29.1 it is."""
    for version, advised in (("2.35", False), ("2.29.0", True)):
        shown = settings("off", *(("none", "-") if advised else ("db", "off")))
        found = audit(shown, version=parse_version(version), sent_per_s=1)
        (grows,) = (one for one in found if one.rule is SettingRule.GROWS)
        assert ("set pass_through on" in grows.why) is advised


# settings, version, to version, rate, the only sentence that rests on this rule
OFF, ON = {PASS_THROUGH: False}, {PASS_THROUGH: True}
WHYS = [
    ({}, "2.29.0", None, 1, SettingRule.DEFAULT, "taken as on, the default of v2.29.0"),
    ({}, "2.29.1", None, 1, SettingRule.DEFAULT, "taken as off, the default of v2.29.1"),
    (ON, "2.29.0", "2.30", 1, SettingRule.DEFAULT, "off after the upgrade to v2.30, unless it was"),
    (OFF, "2.29.0", None, 1, SettingRule.GROWS, "set pass_through on and restart"),
    (
        {**OFF, DATABASE_GC: False},
        *("2.29.0", None, 1, SettingRule.GROWS),
        "set db_garbagecollector_enable on and restart",
    ),
    (
        {**OFF, MESSAGES_GC: False},
        *("2.30", None, 1, SettingRule.GROWS),
        "set garbagecollector_enable.messages on and restart",
    ),
    (
        {**ON, DATABASE_GC: False},
        *("2.30", None, None, SettingRule.AUTOMATIC),
        "restart the Coreapps, unless collection is driven through the API; the rate is not known",
    ),
    (
        {**ON, DATABASE_GC: False},
        *("2.30", None, 1, SettingRule.AUTOMATIC),
        "stay; set db_garbagecollector_enable on and restart the Coreapps",
    ),
    (ON, "2.29.0", "2.30", 1, SettingRule.UPGRADE, "collection is on: nothing is to be done"),
    (ON, "2.29.0", "2.30", 121, SettingRule.UPGRADE, "on: switch it off by hand for this traffic"),
    (OFF, "2.29.0", "2.30", 121, SettingRule.UPGRADE, "off, as is right for this traffic: nothing"),
    (OFF, "2.29.0", "2.30", 1, SettingRule.UPGRADE, "switch automatic collection on by hand after"),
    (ON, "2.34", "2.35", 1, SettingRule.NO_RETURN, "to v2.35 it stays off once it is off"),
    (
        OFF,
        "2.34",
        "2.35",
        1,
        SettingRule.NO_RETURN,
        "cannot be switched on again after the upgrade",
    ),
    (ON, "2.35", None, 1, SettingRule.NO_RETURN, "leave it as it is"),
]


@pytest.mark.parametrize("case", WHYS)
def test_each_case_of_a_rule_has_its_own_sentence(
    case: tuple[dict[str, bool], str, str | None, float | None, SettingRule, str],
) -> None:
    """What is said and advised is of the case: of the version, the settings and the traffic."""
    shown, version, to_version, rate, rule, words = case
    found = audit(
        shown,
        version=parse_version(version),
        to_version=parse_version(to_version) if to_version else None,
        sent_per_s=rate,
    )
    (why,) = (one.why for one in found if one.rule is rule)
    assert words in why
    last = words.endswith(("Coreapps", "known"))
    assert not last or why.endswith(words)


def test_what_is_inferred_is_marked() -> None:
    """Only what a fact states for just this case is confirmed; the rest is inferred from it."""
    off = {**OFF, DATABASE_GC: False}
    for shown, version, to_version, rate, rule, known in (
        (off, "2.29.1", None, 1, SettingRule.GROWS, Known.CONFIRMED),
        (OFF, "2.29.0", None, 1, SettingRule.GROWS, Known.INFERRED),
        (OFF, "2.29.0", "2.29.1", 1, SettingRule.UPGRADE, Known.CONFIRMED),
        (ON, "2.29.0", "2.29.1", 1, SettingRule.UPGRADE, Known.CONFIRMED),
        (ON, "2.29.0", "2.29.1", 121, SettingRule.UPGRADE, Known.CONFIRMED),
        (ON, "2.29.0", "2.30", 1, SettingRule.UPGRADE, Known.INFERRED),
        (OFF, "2.29.0", "2.30", 121, SettingRule.UPGRADE, Known.INFERRED),
        (off, "2.30", None, 121, SettingRule.API_DRIVEN, Known.INFERRED),
        ({DATABASE_GC: True}, "2.30", None, 121, SettingRule.API_DRIVEN, Known.INFERRED),
        ({DATABASE_GC: True}, "2.30", None, None, SettingRule.API_DRIVEN, Known.INFERRED),
        ({}, "2.30", None, 1, SettingRule.DEFAULT, Known.INFERRED),
        ({}, "2.30", None, 1, SettingRule.EXISTS, Known.INFERRED),
        (ON, "2.35", None, 1, SettingRule.NO_RETURN, Known.CONFIRMED),
        (ON, "2.35", None, 1, SettingRule.RESTART, Known.CONFIRMED),
    ):
        found = audit(
            shown,
            version=parse_version(version),
            to_version=parse_version(to_version) if to_version else None,
            sent_per_s=rate,
        )
        assert [one.known for one in found if one.rule is rule] == [known], (rule, version)


def test_no_setting_of_a_later_version_is_believed() -> None:
    """Each setting that the client's version does not have tells that the version is wrong."""
    for key in (DATABASE_GC, MESSAGES_GC, MEDIA_GC):
        found = audit({key: True}, version=parse_version("2.29.0"), sent_per_s=1)
        assert [one.setting for one in found if one.rule is SettingRule.EXISTS] == [key]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("2.29.1", "v2.29.1"), ("v2.29.1", "v2.29.1"), ("2.35", "v2.35"), ("2.53.1.4", "v2.53.1.4")],
)
def test_a_version_is_read(text: str, shown: str) -> None:
    """A version is read with or without its v, and shown with it."""
    assert str(parse_version(text)) == shown


def test_versions_are_ordered_by_their_numbers() -> None:
    """Versions compare by numbers, not by letters, and what is not written is 0."""
    texts = ["2.9", "2.29", "2.29.0.1", "2.29.1", "2.29.10", "2.35", "3.0"]
    versions = [parse_version(text) for text in texts]
    assert all(one < later for one, later in pairwise(versions))
    assert parse_version("2.35") == parse_version("v2.35.0.0")
    assert hash(parse_version("2.35")) == hash(parse_version("v2.35.0.0"))


@pytest.mark.parametrize(
    "garbage",
    [
        *("", "2", "v2", "2.", ".2", "2..1", "2.29.1.1.1", "V2.29.1", "vv2.29", "2.29.1 ", " 2.29"),
        *(
            "2.29.1\n",
            "2.029",
            "02.29",
            "2.-1",
            "2.29-beta",
            "2,29",
            "2.\uff12\uff19",
            "2.29.1000",
            "latest",
        ),
    ],
)
def test_what_is_no_version_is_refused(garbage: str) -> None:
    """What is not a version is refused with the way out, and is no part of the sentence."""
    with pytest.raises(RefusalError, match=r"such as 2\.29\.1") as refused:
        parse_version(garbage)
    assert str(refused.value) == _refused("nothing of it")


def _refused(text: str) -> str:
    with pytest.raises(RefusalError) as refused:
        parse_version(text)
    return str(refused.value)
