"""Routine FILEs on real servers: what they erase, whom they hurt, and how they behave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from harness._tests.mutants.body import Body
from harness._tests.mutants.edits import arm_dropped, delete_dropped
from harness._tests.mutants.routines import body_of
from harness._tests.mutants.trials import EXAMINATION, Bench, StillbornError, benches
from harness.judge import judge_run, runs_of
from harness.manifest import Manifest, StoreDescription, Table
from harness.model import EngineChoice, EngineKind, Part, Record
from harness.routines.prediction import DocumentedPrediction
from harness.run import DOCUMENTED, Rehearsal, rehearse
from harness.servers import parse_choice

HEAD = {
    EngineKind.MYSQL: "DELIMITER //\nCREATE PROCEDURE contactStore.p(IN wa_id BIGINT)\nBEGIN\n",
    EngineKind.POSTGRES: (
        "CREATE FUNCTION p(wa_id bigint) RETURNS {returns} LANGUAGE plpgsql AS $routine$\nBEGIN\n"
    ),
}
FOOT = {EngineKind.MYSQL: "\nEND //\n", EngineKind.POSTGRES: "\nEND $routine$;\n"}
CHECKED = {
    EngineKind.MYSQL: (
        "IF wa_id IS NULL OR wa_id < 1000000 THEN SIGNAL SQLSTATE '45000'; END IF;\n"
    ),
    EngineKind.POSTGRES: (
        "IF wa_id IS NULL OR wa_id < 1000000 THEN RAISE EXCEPTION 'no'; END IF;\n"
    ),
}
DELETES = "DELETE FROM {phones} WHERE phone_number = {plus};\nDELETE FROM {contacts} WHERE number = {plus};"


@pytest.fixture(scope="module")
def every_bench() -> Iterator[Mapping[EngineChoice, Bench]]:
    """Both engines, each with a store set without a prefix and one beside it."""
    with benches([parse_choice(kind.value) for kind in EngineKind]) as started:
        yield started


@pytest.fixture
def bench(every_bench: Mapping[EngineChoice, Bench], choice: EngineChoice) -> Bench:
    """The engine in turn."""
    return every_bench[choice]


def routine(kind: EngineKind, body: str, *, returns: str = "void", checked: bool = True) -> str:
    """Return a FILE whose body erases a little, and does something else."""
    mysql = kind is EngineKind.MYSQL
    words = {
        "phones": "contactStore.wa_phones" if mysql else "wa_phones",
        "contacts": "contactStore.wa_contacts" if mysql else "wa_contacts",
        "plus": "CONCAT('+', wa_id)" if mysql else "'+' || wa_id",
        "deletes": "",
    }
    words["deletes"] = DELETES.format(**words)
    check = CHECKED[kind] if checked else ""
    head = HEAD[kind].replace("{returns}", returns)
    return head + check + body.format(**words) + FOOT[kind]


def conduct(bench: Bench, text: str) -> dict[str, int]:
    """Return the faults that an examination finds, by surface, with their counts."""
    facts = bench.facts(text, EXAMINATION)
    return {str(surface): int(str(count)) for _, _, _, _, _, surface, count in facts}


# --- the vendor's map as a FILE -----------------------------------------------------------------


def documented_facts(bench: Bench, population: str) -> dict[tuple[object, ...], int]:
    """Return what the judge finds of the documented routine where a FILE is put to the same."""
    found: dict[tuple[object, ...], int] = {}
    for number, case in enumerate(bench.populations[population]):
        sets = dict(bench.sets) if case.other else {Part.JUDGED: bench.sets[Part.JUDGED]}
        records: list[Record] = []
        rehearse(
            Rehearsal(
                run="documented",
                case=case,
                engine=bench.choice,
                sets=sets,
                manifest=bench.described,
                routine=DOCUMENTED,
                control=False,
                pseudonym="p",
            ),
            records.append,
        )
        (run,) = runs_of(tuple(records))
        for finding in judge_run(run).findings:
            kind, _, *place = finding.fact
            found[number, kind, *place] = 1
    return found


@pytest.mark.parametrize(
    "population",
    [
        "everywhere",
        "mapped",
        "neighbours",
        "variant",
        "unlisted",
        "nobody",
        "two sets",
        "encodings",
    ],
)
def test_the_vendors_map_as_a_file_gives_the_same_findings(bench: Bench, population: str) -> None:
    """The published map, typed and formatted by hand, is found to do what the documented one does."""
    text = body_of("vendor", bench.choice.kind, stores(bench)).text
    assert dict(bench.facts(text, population)) == documented_facts(bench, population)


def test_the_vendors_map_as_a_file_behaves_the_same(bench: Bench) -> None:
    """A FILE with the published map has the documented routine's faults of conduct, no others."""
    text = body_of("vendor", bench.choice.kind, stores(bench)).text
    credulous = {"called with NULL": 1, "called with -1": 1, "own identity": 1}
    if bench.choice.kind is EngineKind.MYSQL:
        credulous |= {"called with text behind the number": 1, "failure half way": 1}
    assert conduct(bench, text) == credulous


def stores(bench: Bench) -> list[str]:
    """Return the logical names of all stores."""
    return [store.name for store in bench.described.stores]


def vendor_edits(kind: EngineKind, described: Manifest) -> Iterator[tuple[str, str, Manifest]]:
    """Yield each single edit of the vendor's map: its name, the FILE, and the manifest to match."""
    body = body_of("vendor", kind, [store.name for store in described.stores])
    changes = {change.table: change for change in body.changes("DELETE")}
    for edit in delete_dropped(body):
        yield edit.where, edit.text, without(described, edit.where, "")
    for edit in arm_dropped(body):
        table, _, comparison = edit.where.partition(": ")
        assert table in changes
        column = comparison.partition(" = ")[0].rpartition(".")[2].strip('`"')
        yield edit.where, edit.text, without(described, table, column)


def without(described: Manifest, name: str, column: str) -> Manifest:
    """Return the manifest with one statement, or one comparison of it, taken out."""

    def thinned(table: Table) -> Table:
        if table.name != name or table.vendor is None or table.store == "waweb":
            return table
        where = tuple(pair for pair in table.vendor.where if column and pair[0] != column)
        vendor = replace(table.vendor, where=where) if where else None
        return replace(table, vendor=vendor)

    return Manifest(
        tuple(
            StoreDescription(store.name, store.confirmed, tuple(map(thinned, store.tables)))
            for store in described.stores
        )
    )


def test_each_single_edit_changes_the_findings_as_it_should(bench: Bench) -> None:
    """Without one statement or comparison of the map, just what it would have deleted remains."""
    kind = bench.choice.kind
    (case,) = bench.populations["everywhere"]
    original = bench.facts(body_of("vendor", kind, stores(bench)).text, "everywhere")
    edited = list(vendor_edits(kind, bench.described))
    assert len(edited) == {EngineKind.MYSQL: 19, EngineKind.POSTGRES: 18}[kind]
    told_apart = 0
    for name, text, described in edited:
        prediction = DocumentedPrediction(described, kind, case.wa_id)
        predicted = prediction.traces(str(bench.choice), case.rows(Part.JUDGED), called=True)
        expected = {(0, one.kind, *one.fact[2:]): 1 for one in predicted}
        found = dict(bench.facts(text, "everywhere"))
        assert found == expected, name
        told_apart += found != dict(original)
    assert told_apart == len(edited)


# --- the tests' own complete routine -------------------------------------------------------------


@pytest.mark.parametrize(
    "population",
    [
        *("everywhere", "mapped", "neighbours", "mapped-neighbours", "neighbour", "variant"),
        *("half-known", "mapped-half-known", "unlisted", "twice", "two sets", "nobody"),
    ],
)
def test_a_complete_routine_is_clear(bench: Bench, population: str) -> None:
    """A routine of somebody else's that deletes and masks all there is leaves nothing to find."""
    text = body_of("reference", bench.choice.kind, stores(bench)).text
    assert not bench.facts(text, population)


def test_a_careful_routine_behaves(bench: Bench) -> None:
    """A routine that refuses, fails whole and leaves commits to its caller has no fault."""
    text = body_of("reference", bench.choice.kind, stores(bench)).text
    assert conduct(bench, text) == {}


# --- faults of conduct, each alone ---------------------------------------------------------------

NUMBER_TOLD = {
    EngineKind.MYSQL: "{deletes}\nSELECT CONCAT('erased ', wa_id);",
    EngineKind.POSTGRES: "{deletes}\nRAISE NOTICE 'erased %', wa_id;",
}


def faultless(bench: Bench) -> dict[str, int]:
    """Return the faults of the FILE that the others are made from."""
    half = {"called with text behind the number": 1, "failure half way": 1}
    return half if bench.choice.kind is EngineKind.MYSQL else {}


def test_a_plain_routine_has_only_its_engines_faults(bench: Bench) -> None:
    """The FILE that the faults are put into has none but those that MySQL itself brings along."""
    assert conduct(bench, routine(bench.choice.kind, "{deletes}")) == faultless(bench)


def test_naming_the_subject_in_an_answer_is_found(bench: Bench) -> None:
    """A routine that says whom it erased, in rows, warnings or notices, is found out."""
    text = routine(bench.choice.kind, NUMBER_TOLD[bench.choice.kind])
    assert conduct(bench, text) == faultless(bench) | {"what it answers": 1}


def test_naming_the_subject_in_a_log_is_found(bench: Bench) -> None:
    """A routine that writes the number where the server keeps it is found out."""
    if bench.choice.kind is EngineKind.MYSQL:
        body = "{deletes}\nSELECT CONCAT('erased ', wa_id) INTO OUTFILE 'erased.txt';"
        where = "files on the server"
    else:
        body = "{deletes}\nRAISE LOG 'erased %', wa_id;"
        where = "the server's log"
    try:
        assert conduct(bench, routine(bench.choice.kind, body))[where] == 1
    finally:
        for path in bench.server.data.rglob("erased.txt"):
            path.unlink()


def test_naming_the_subject_in_an_error_is_found(bench: Bench) -> None:
    """A routine whose own error names the person is found out."""
    if bench.choice.kind is EngineKind.MYSQL:
        handler = (
            "DECLARE said TEXT DEFAULT CONCAT('could not erase ', wa_id);\n"
            "DECLARE EXIT HANDLER FOR SQLEXCEPTION SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = said;\n"
        )
        text = routine(bench.choice.kind, handler + "{deletes}", checked=False)
    else:
        body = "BEGIN {deletes} EXCEPTION WHEN OTHERS THEN RAISE EXCEPTION 'not %', wa_id; END;"
        text = routine(bench.choice.kind, body)
    assert conduct(bench, text)["what it answers"] == 1


on_mysql = pytest.mark.parametrize(
    "kind", [EngineKind.MYSQL], indirect=True, ids=str, scope="session"
)


@on_mysql
def test_a_transaction_of_its_own_is_found_and_nothing_hangs(bench: Bench) -> None:
    """A routine that opens a transaction and fails in it keeps nobody waiting, and is found out."""
    for body in (
        "START TRANSACTION;\n{deletes}\nCOMMIT;",
        "SET autocommit = 0;\n{deletes}",
        "START TRANSACTION;\n{deletes}",
    ):
        found = conduct(bench, routine(bench.choice.kind, body))
        assert "failure half way" not in found, body
        assert ("transaction" in found) == ("START" in body), body


@on_mysql
def test_a_second_statement_in_the_text_is_never_run(bench: Bench) -> None:
    """What a FILE hides behind its routine's end is refused by the server, not carried out."""
    text = routine(bench.choice.kind, "{deletes}").replace(
        "\nEND //", "\nEND; SET GLOBAL max_connect_errors = 4242; //"
    )
    with pytest.raises(StillbornError):
        bench.facts(text, EXAMINATION)
    asked = "SELECT @@global.max_connect_errors"
    assert bench.sets[Part.JUDGED].query("contactStore", asked) != [(4242,)]


def test_taking_what_is_no_number_is_found(bench: Bench) -> None:
    """A routine that checks nothing takes NULL and -1 for persons."""
    found = conduct(bench, routine(bench.choice.kind, "{deletes}", checked=False))
    assert found == faultless(bench) | {"called with NULL": 1, "called with -1": 1}


def test_touching_the_own_identity_is_found(bench: Bench) -> None:
    """A routine that deletes the installation's own key, whoever is to go, is found out."""
    identities = (
        "axolotlStore.identities" if bench.choice.kind is EngineKind.MYSQL else "identities"
    )
    body = f"{{deletes}}\nDELETE FROM {identities} WHERE recipient_id = -1;"
    assert conduct(bench, routine(bench.choice.kind, body))["own identity"] == 1


def test_committing_by_itself_is_found(bench: Bench) -> None:
    """A routine that commits, or begins anew, ends its caller's transaction: that is found."""
    for verb in ("COMMIT", "ROLLBACK"):
        text = routine(bench.choice.kind, f"{{deletes}}\n{verb};")
        assert conduct(bench, text)["transaction"] == 1, verb


def test_swallowing_an_error_is_found(bench: Bench) -> None:
    """A routine that goes on after an error and returns as if all were done is found out."""
    if bench.choice.kind is EngineKind.MYSQL:
        check = CHECKED[EngineKind.MYSQL]
        body = (
            f"{check}BEGIN DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;\n{{deletes}}\nEND;"
        )
        text = routine(bench.choice.kind, body, checked=False)
    else:
        text = routine(bench.choice.kind, "BEGIN {deletes} EXCEPTION WHEN OTHERS THEN NULL; END;")
    assert conduct(bench, text)["failure swallowed"] == 1


def test_objects_left_behind_are_found(bench: Bench) -> None:
    """A routine that makes a table, or a file that leaves a password, is found out."""
    if bench.choice.kind is EngineKind.MYSQL:
        text = routine(
            bench.choice.kind, "{deletes}\nCREATE TABLE IF NOT EXISTS test_kept.t (a INT);"
        )
        store_set = bench.sets[Part.JUDGED]
        store_set.execute("contactStore", "CREATE DATABASE test_kept")
        try:
            assert conduct(bench, text)["table left behind"] == 1
        finally:
            store_set.execute("contactStore", "DROP DATABASE test_kept")
        return
    text = routine(bench.choice.kind, "{deletes}")
    server = (
        "CREATE SERVER kept FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname 'messageStore');\n"
        "CREATE USER MAPPING FOR wa SERVER kept OPTIONS (user 'wa', password 'hidden-from-all');\n"
    )
    left = {"foreign server left behind": 1, "user mapping with a password left behind": 1}
    assert conduct(bench, server + text) == left
    clean = "DROP USER MAPPING FOR wa SERVER kept;\nDROP SERVER kept;\n"
    assert conduct(bench, server + text + clean) == {}
    wrong = "DROP USER MAPPING FOR wa SERVER never_made;\nDROP SERVER kept;\n"
    assert conduct(bench, server + text + wrong) == left | {"routine, clean up": 1}
    cascade = "DROP EXTENSION postgres_fdw CASCADE;\n"
    found = conduct(bench, server + text + cascade)
    assert found["foreign server taken away"] == 1
    assert found["extension taken away"] == 1


def test_changes_of_the_server_are_found(bench: Bench) -> None:
    """A routine that changes a setting or a table's definition is found out, and put right again."""
    store_set = bench.sets[Part.JUDGED]
    if bench.choice.kind is EngineKind.MYSQL:
        text = routine(bench.choice.kind, "{deletes}\nSET GLOBAL max_connect_errors = 4243;")
        assert conduct(bench, text)["server setting left behind"] == 1
        store_set.execute("contactStore", "SET GLOBAL max_connect_errors = 100")
        body = "{deletes}\nALTER TABLE contactStore.wa_phones ENGINE = MyISAM;"
        back = "ALTER TABLE wa_phones ENGINE = InnoDB"
        kind = "storage engine left behind"
    else:
        body = "{deletes}\nALTER TABLE wa_phones ALTER COLUMN jid DROP NOT NULL;"
        back = "ALTER TABLE wa_phones ALTER COLUMN jid SET NOT NULL"
        kind = "column left behind"
    try:
        assert conduct(bench, routine(bench.choice.kind, body))[kind] == 1
    finally:
        store_set.execute("contactStore", back)


def test_a_missing_object_is_named(bench: Bench) -> None:
    """Where a routine needs a table that is not there, the finding says which."""
    body = f"{{deletes}}\nDELETE FROM {'messageStore.' * (bench.choice.kind is EngineKind.MYSQL)}inbox;"
    findings = bench.findings(routine(bench.choice.kind, body), "everywhere")
    why = next(one.why for one in findings if one.surface == "routine, call")
    assert "it needs " in why
    assert "inbox, which is missing" in why


def test_a_routine_that_never_ends_is_stopped(bench: Bench) -> None:
    """A call that does not end is stopped when its time is over, and the finding says so."""
    loop = {
        EngineKind.MYSQL: "WHILE TRUE DO DO SLEEP(0.01); END WHILE;",
        EngineKind.POSTGRES: "LOOP PERFORM pg_sleep(0.01); END LOOP;",
    }
    text = routine(bench.choice.kind, loop[bench.choice.kind])
    findings = bench.findings(text, "everywhere", limit_s=0.5)
    why = next(one.why for one in findings if one.surface == "routine, call")
    assert "no end: its time was over and it was stopped" in why


def test_every_edit_is_of_the_files_text(described: Manifest, kind: EngineKind) -> None:
    """Taking a FILE apart and putting it together without an edit gives the same text."""
    names = [store.name for store in described.stores]
    for original in ("vendor", "reference"):
        body: Body = body_of(original, kind, names)
        assert body.replaced() == body.text
        assert len(list(body.changes("DELETE"))) >= 12
