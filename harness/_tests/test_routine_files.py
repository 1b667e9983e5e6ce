"""Routine FILEs as they lie on disk: read to the letter, or refused with the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RefusalError
from harness.manifest import Manifest
from harness.model import EngineKind
from harness.routines import RoutineFile, read

FOLDER = Path(__file__).resolve().parent / "routines"
MYSQL = "CREATE PROCEDURE p(IN wa_id BIGINT)\nBEGIN\n  DELETE FROM messageStore.chats;\nEND"
ALIASED = MYSQL.replace("END", " SELECT 1 AS 'rows'; END")
POSTGRES = (
    'CREATE FUNCTION public."f"(wa_id bigint) RETURNS void LANGUAGE plpgsql AS $$\n'
    "BEGIN\n  DELETE FROM chats;\nEND $$"
)


def reading(text: str, described: Manifest, folder: Path) -> RoutineFile:
    """Write a FILE and read it."""
    path = folder / "routine.sql"
    path.write_text(text, encoding="utf-8")
    return read(path, [store.name for store in described.stores])


SPELLINGS = {
    "bare": f"{MYSQL}\n",
    "semicolons and another delimiter": f"DELIMITER //\n{MYSQL} //\nDELIMITER ;\n",
    "a delimiter that a word runs into": f"DELIMITER $$\n{MYSQL}$$\n",
    "lower case and no blank": f"delimiter ;;\n{MYSQL.lower()};;",
    "dumped": (
        "/*!50003 SET sql_mode = 'ANSI' */ ;\nDELIMITER ;;\n"
        f"/*!50003 {MYSQL.replace('CREATE', 'CREATE*/ /*!50020 DEFINER=`a`@`%`*/ /*!50003', 1)} */;;"
    ),
    "a definer": f"DELIMITER |\n{MYSQL.replace('CREATE', 'CREATE DEFINER = CURRENT_USER')}|",
    "or replace": f"DELIMITER |\n{MYSQL.replace('CREATE', 'CREATE OR REPLACE')}|",
    "a quoted, qualified name": f"DELIMITER |\n{MYSQL.replace(' p(', ' `contactStore` . `p`  (')}|",
    "comments with traps": (
        "-- it's; DELIMITER\n# don't\n/* CREATE PROCEDURE x(a INT); ' */\n"
        f"DELIMITER //\n{MYSQL} //\n"
    ),
    "what goes with it": (
        f"USE contactStore;\nDROP PROCEDURE IF EXISTS p;\nDELIMITER //\n{MYSQL} //\nDELIMITER ;\n"
        "GRANT EXECUTE ON PROCEDURE p TO wa;\nSHOW PROCEDURE STATUS;\n"
    ),
    "a mode that was kept": (
        f"SET @was = @@sql_mode;\nDELIMITER //\n{MYSQL} //\nDELIMITER ;\nSET sql_mode = @was;\n"
    ),
    "an alias in quotes": f"DELIMITER //\n{ALIASED} //\n",
    "use without a semicolon": f"use contactStore\nDELIMITER //\n{MYSQL} //\n",
    "another database afterwards": f"DELIMITER //\n{MYSQL} //\nUSE waweb //\n",
    "Windows": f"\ufeffDELIMITER //\r\n{MYSQL} //\r\nDELIMITER ;\r\n".replace("\n", "\r\n"),
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_procedure_is_found_in_every_spelling(
    text: str, described: Manifest, tmp_path: Path
) -> None:
    """Whatever surrounds a MySQL procedure, its parameters and body are kept to the letter."""
    found = reading(text, described, tmp_path)
    assert (found.engine, found.is_function, found.home) == (
        EngineKind.MYSQL,
        False,
        "contactStore",
    )
    made = found.named("`run`")
    assert made.startswith("CREATE PROCEDURE `run`(")
    body = made.partition(")")[2].replace("\r", "").lower().replace("select 1 as 'rows';", "")
    assert body.split() == ["begin", "delete", "from", "messagestore.chats;", "end"]


def test_a_function_is_found_with_what_it_needs(described: Manifest, tmp_path: Path) -> None:
    """A PostgreSQL script is sorted: set-up, the function, clean-up, and what is left out."""
    text = (
        "\\set ON_ERROR_STOP on\n\\connect x_contactStore\n/* a /* nested ' */ comment */\n"
        "DROP SERVER IF EXISTS s CASCADE;\nBEGIN;\n"
        "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'h', dbname 'x_waweb');\n"
        "CREATE USER MAPPING FOR wa SERVER s OPTIONS (user 'wa', password 'pass;''word');\n"
        f"{POSTGRES};\nCOMMIT;\nALTER FUNCTION f(bigint) OWNER TO wa;\nDROP SERVER s CASCADE;\n"
    )
    found = reading(text, described, tmp_path)
    assert (found.engine, found.is_function, found.prefix) == (EngineKind.POSTGRES, True, "x_")
    assert [one.line for one in found.set_up] == [6, 7]
    assert [one.line for one in found.clean_up] == [14]
    assert found.left_out == ("line 5: BEGIN", "line 12: COMMIT", "line 13: ALTER FUNCTION")
    assert [one.reveal() for one in found.passwords] == ["pass;'word"]
    assert found.named('"run"') == POSTGRES.replace('public."f"', '"run"')


def test_a_parameter_qualified_by_the_functions_name_stays_it(
    described: Manifest, tmp_path: Path
) -> None:
    """Where PL/pgSQL tells a parameter from a column by the function's name, both are renamed."""
    text = POSTGRES.replace(
        "DELETE FROM chats", "DELETE FROM chats f WHERE F.WA_ID = 'f.wa_id' AND f.jid = ''"
    )
    made = reading(text, described, tmp_path).named('public."run"')
    assert """FROM chats f WHERE "run".WA_ID = 'f.wa_id' AND f.jid = ''""" in made


@pytest.mark.parametrize(
    ("database", "prefix"), [("contactStore", ""), ("acme_contactStore", "acme_")]
)
def test_the_prefix_is_the_files(
    database: str, prefix: str, described: Manifest, tmp_path: Path
) -> None:
    """What a FILE's databases begin with is the prefix of the set that it is verified on."""
    text = f"USE {database};\nDELIMITER //\n{MYSQL} //"
    assert reading(text, described, tmp_path).prefix == prefix


REFUSED = {
    "nothing": ("", "no CREATE PROCEDURE or CREATE FUNCTION"),
    "another statement": (f"DELIMITER //\n{MYSQL}//\nCALL p(1)//", "Line 6: CALL"),
    "a statement on data": ("DELETE FROM waweb.contacts;\n" + POSTGRES, "Line 1: DELETE FROM"),
    "two routines": (f"DELIMITER //\n{MYSQL}//\n{MYSQL}//", "creates 2 routines"),
    "no parameter": (MYSQL.replace("IN wa_id BIGINT", ""), "Line 1: the routine must take one"),
    "two parameters": (MYSQL.replace("BIGINT", "BIGINT, x INT"), "one parameter and no more"),
    "a text": (MYSQL.replace("BIGINT", "VARCHAR(20)"), "a BIGINT that it reads"),
    "too narrow": (MYSQL.replace("BIGINT", "INT"), "up to 15 digits"),
    "an OUT parameter": (MYSQL.replace("IN wa_id", "OUT wa_id"), "a BIGINT that it reads"),
    "an open quote": (
        "SELECT 1;\n-- fine\nCREATE PROCEDURE p(a BIGINT) SELECT 'x",
        "Line 3: a quote",
    ),
    "an open comment": (f"{POSTGRES};\n/* and so on", "a quote or a comment begins here"),
    "a file of the client's": (f"\\i other.sql\n{POSTGRES}", "Line 1: the client's command i"),
    "a database with a password": (
        f"\\c postgresql://wa:hushhush@h/contactStore\n{POSTGRES}",
        "Line 1: give the name of a database alone",
    ),
    "a foreign server altered": (
        f"ALTER SERVER s OPTIONS (SET host 'h');\n{POSTGRES}",
        "ALTER SERVER",
    ),
    "a source": (f"source other.sql\n{MYSQL}", "the client's command source"),
    "an array": (POSTGRES.replace("bigint", "bigint[]"), "a BIGINT that it reads"),
    "a text called bigint": (POSTGRES.replace("wa_id bigint", "bigint text"), "a BIGINT"),
    "a foreign database": (f"USE billing;\nDELIMITER //\n{MYSQL}//", "none of the stores"),
    "no delimiter": (f"DELIMITER\n{MYSQL}", "Line 1: DELIMITER without a delimiter"),
}


@pytest.mark.parametrize(("text", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_routine_is_refused(
    text: str, sentence: str, described: Manifest, tmp_path: Path
) -> None:
    """A FILE that is not one routine with one number is refused, with the line and what to do."""
    with pytest.raises(RefusalError) as refusal:
        reading(text, described, tmp_path)
    assert sentence in str(refusal.value)
    assert str(refusal.value).startswith("routine.sql")


def test_what_cannot_be_read_is_refused(described: Manifest, tmp_path: Path) -> None:
    """A missing file, a folder, a text of another encoding and a huge one are refused."""
    stores = [store.name for store in described.stores]
    (tmp_path / "latin.sql").write_bytes(b"-- caf\xe9\n")
    (tmp_path / "huge.sql").write_bytes(b" " * (5 << 20))
    for name, sentence in {
        "missing.sql": "cannot be read",
        ".": "cannot be read",
        "latin.sql": "not text in UTF-8",
        "huge.sql": "larger than 4 MB",
    }.items():
        with pytest.raises(RefusalError, match=sentence):
            read(tmp_path / name, stores)


def test_a_number_in_the_files_name_is_not_shown(described: Manifest, tmp_path: Path) -> None:
    """A FILE named after somebody is called by another name everywhere."""
    path = tmp_path / "erase_12025550100.sql"
    path.write_text(MYSQL, encoding="utf-8")
    assert read(path, [store.name for store in described.stores]).label == "the routine's file"


@pytest.mark.parametrize("name", ["vendor", "reference"])
@pytest.mark.parametrize("engine", list(EngineKind), ids=str)
def test_the_tests_own_files_are_read(name: str, engine: EngineKind, described: Manifest) -> None:
    """The routines that a DBA might keep on disk are read as they lie there."""
    stores = [store.name for store in described.stores]
    found = read(FOLDER / f"{name}_{engine.value}.sql", stores)
    assert (found.engine, found.home, found.prefix) == (engine, "contactStore", "")


def test_only_a_literal_mode_is_set_up(described: Manifest, tmp_path: Path) -> None:
    """Of all settings a FILE may ask for, only sql_mode as a literal, for its session, is set."""
    text = f"{{}};\nDELIMITER //\n{MYSQL} //\n"
    for kept in ("SET sql_mode = 'ANSI'", "SET SESSION sql_mode='ANSI'", "SET @@sql_mode = 'ANSI'"):
        assert [one.text for one in reading(text.format(kept), described, tmp_path).set_up] == [
            kept
        ]
    for left in ("SET GLOBAL sql_mode = ''", "SET sql_mode = '', GLOBAL x = 1", "SET x = 'y'"):
        found = reading(text.format(left), described, tmp_path)
        assert (found.set_up, found.left_out) == ((), ("line 1: SET",))
