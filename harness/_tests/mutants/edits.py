"""Edits of a routine FILE, one fault each: what a DBA's change could get wrong.

Every operator is a function from the routine's body to edits. An edit is the whole text of
another FILE, or the same text and something done to the stores around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from harness._tests.mutants.body import Arm, Body, Change, Span
from harness.model import EngineKind

_ARCHIVE: Final = "erasure_archive"
_MYSQL: Final = EngineKind.MYSQL
_NOTHING: Final = {EngineKind.MYSQL: "DO 0;", EngineKind.POSTGRES: "NULL;"}
"""The statement that does nothing: some blocks may not be empty."""


@dataclass(frozen=True, slots=True, repr=False)
class Edit:
    """One mutant of a routine: what was done, where, and the FILE that came of it.

    `around` are statements, by store, that change the stores before the routine is called;
    `undone` take them back.
    """

    operator: str
    where: str
    text: str
    around: tuple[tuple[str, str], ...] = ()
    undone: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Edit({self.operator}, {self.where})"


Operator = Callable[[Body], Iterator[Edit]]


def edits(body: Body) -> Iterator[Edit]:
    """Yield every mutant of a routine."""
    for operator in OPERATORS:
        yield from operator(body)


def _deletes(body: Body) -> tuple[Change, ...]:
    return tuple(body.changes("DELETE"))


def _arms(body: Body) -> Iterator[tuple[Change, Arm]]:
    for change in _deletes(body):
        for arm in change.arms:
            yield change, arm


def _place(change: Change, arm: Arm | None = None) -> str:
    return f"{change.table}: {arm.column} = {arm.operand}" if arm else change.table


def _is_number(arm: Arm) -> bool:
    return arm.column.rpartition(".")[2].strip('`"') in {"recipient_id", "sender_id"}


def _is_jid(arm: Arm) -> bool:
    return arm.operand.endswith("jid")


def _join(body: Body, *parts: str) -> str:
    """Return an expression that joins texts."""
    return f"CONCAT({', '.join(parts)})" if body.engine is _MYSQL else " || ".join(parts)


def _as_text(body: Body, expression: str) -> str:
    return f"CAST({expression} AS CHAR)" if body.engine is _MYSQL else f"({expression})::text"


def _add(body: Body, statement: str) -> str:
    """Return the FILE with one more statement behind the last deletion."""
    last = _deletes(body)[-1].whole.end
    return body.replaced((Span(last, last), f"\n{statement}"))


# --- what is left out -----------------------------------------------------------------------


def delete_dropped(body: Body) -> Iterator[Edit]:
    """Leave a DELETE out."""
    for change in _deletes(body):
        yield Edit(
            "DELETE dropped", _place(change), body.replaced((change.whole, _NOTHING[body.engine]))
        )


def mask_dropped(body: Body) -> Iterator[Edit]:
    """Leave an UPDATE out."""
    for change in body.changes("UPDATE"):
        if change.assigned:
            where = f"{change.table}.{change.assigned[0]}"
            yield Edit("mask dropped", where, body.replaced((change.whole, _NOTHING[body.engine])))


def arm_dropped(body: Body) -> Iterator[Edit]:
    """Leave one comparison of a condition out."""
    for change, arm in _arms(body):
        if len(change.arms) == 1:
            continue
        first = change.arms[0] is arm
        joint = change.arms[1].joint if first else arm.joint
        if joint:
            edit = body.replaced((arm.span, ""), (joint, ""))
            yield Edit("OR arm dropped", _place(change, arm), edit)


def where_dropped(body: Body) -> Iterator[Edit]:
    """Leave a condition out."""
    for change in _deletes(body):
        if change.where:
            yield Edit("WHERE dropped", _place(change), body.replaced((change.where, "")))


def lookup_dropped(body: Body) -> Iterator[Edit]:
    """Leave the search for other numbers out."""
    for number, span in enumerate(body.lookups(), start=1):
        yield Edit(
            "lookup omitted", f"lookup {number}", body.replaced((span, _NOTHING[body.engine]))
        )


# --- comparisons ----------------------------------------------------------------------------


def like(body: Body) -> Iterator[Edit]:
    """Compare a part of the value where all of it was meant."""
    number = body.parameter
    for change, arm in _arms(body):
        column = _as_text(body, arm.column) if _is_number(arm) else arm.column
        patterns = {
            "LIKE prefix": _join(body, number, "'%'"),
            "LIKE suffix": _join(body, "'%'", arm.operand),
            "LIKE contains": _join(body, "'%'", number, "'%'"),
        }
        for operator, pattern in patterns.items():
            edit = body.replaced((arm.span, f"{column} LIKE {pattern}"))
            yield Edit(operator, _place(change, arm), edit)


def wrong_suffix(body: Body) -> Iterator[Edit]:
    """Build another kind of JID."""
    for number, span in enumerate(body.literals("@s.whatsapp.net"), start=1):
        for domain in ("@c.us", "@g.us"):
            where = f"JID {number} ends in {domain}"
            yield Edit("wrong JID suffix", where, body.replaced((span, f"'{domain}'")))


def number_as_text(body: Body) -> Iterator[Edit]:
    """Compare a number with a text, or the other way round."""
    for change, arm in _arms(body):
        if _is_number(arm):
            new = f"{_as_text(body, arm.column)} = {_as_text(body, arm.operand)}"
        elif _is_jid(arm):
            bare = body.parameter
            new = f"{arm.column} = {bare if body.engine is _MYSQL else _as_text(body, bare)}"
        else:
            continue
        edit = body.replaced((arm.span, new))
        yield Edit("number compared as text", _place(change, arm), edit)


def off_by_one(body: Body) -> Iterator[Edit]:
    """Compare with the next number, or with all up to it."""
    for change, arm in _arms(body):
        if _is_number(arm):
            for new in (f"= {arm.operand} + 1", f"= {arm.operand} - 1", f"<= {arm.operand}"):
                edit = body.replaced((arm.span, f"{arm.column} {new}"))
                yield Edit("off by one", f"{change.table}: {arm.column} {new}", edit)


# --- what hurts others ----------------------------------------------------------------------


def _somebody_else(body: Body, change: Change) -> tuple[str, str]:
    """Return a column of a table, and the condition of a row in it that is nobody's concern."""
    arm = change.arms[0]
    column = arm.column.rpartition(".")[2]
    if _is_number(arm):
        return column, f"{column} > 0 AND {column} <> {body.parameter}"
    pattern = _join(body, "'%'", body.parameter, "'%'")
    return column, f"{column} NOT LIKE {pattern}"


def bystander_deleted(body: Body) -> Iterator[Edit]:
    """Delete one row of somebody else."""
    for change in _deletes(body):
        _, condition = _somebody_else(body, change)
        statement = f"DELETE FROM {change.target} WHERE {_limited(body, change.target, condition)};"
        yield Edit("bystander's row deleted", change.table, _add(body, statement))


def bystander_changed(body: Body) -> Iterator[Edit]:
    """Change one row of somebody else by a character, or by one."""
    for change in _deletes(body):
        column, condition = _somebody_else(body, change)
        new = f"{column} + 1" if _is_number(change.arms[0]) else _join(body, column, "' '")
        one = _limited(body, change.target, condition)
        statement = f"UPDATE {change.target} SET {column} = {new} WHERE {one};"
        yield Edit("bystander's row changed", change.table, _add(body, statement))


def _limited(body: Body, target: str, condition: str) -> str:
    """Return a condition for one row of those that fulfil another."""
    if body.engine is _MYSQL:
        return f"{condition} LIMIT 1"
    return f"ctid IN (SELECT ctid FROM {target} WHERE {condition} LIMIT 1)"


def mask_too_wide(body: Body) -> Iterator[Edit]:
    """Mask everything in a cell, or every row."""
    for change in body.changes("UPDATE"):
        if not change.assigned or not change.where:
            continue
        column, value = change.assigned
        where = f"{change.table}.{column}"
        length = "CHAR_LENGTH" if body.engine is _MYSQL else "length"
        zeros = f"REPEAT('0', {length}({column}))"
        if "decode" in body.text[value.start : value.end]:
            zeros = f"convert_to({zeros}, 'UTF8')"
        yield Edit("mask too wide", where, body.replaced((value, zeros)))


def own_identity(body: Body) -> Iterator[Edit]:
    """Delete the installation's own identity."""
    for change in _deletes(body):
        if change.table == "identities":
            statement = f"DELETE FROM {change.target} WHERE recipient_id = -1;"
            yield Edit("own identity deleted", "a statement more", _add(body, statement))
            arm = change.arms[0]
            edit = body.replaced((arm.span, f"{arm.column} IN ({arm.operand}, -1)"))
            yield Edit("own identity deleted", "a value more", edit)


# --- transactions, and what remains elsewhere -------------------------------------------------


def commit_inside(body: Body) -> Iterator[Edit]:
    """Commit, or begin anew, between two deletions."""
    deletes = _deletes(body)
    for change in (deletes[0], deletes[len(deletes) // 2]):
        for verb in ("COMMIT", "ROLLBACK"):
            at = Span(change.whole.end, change.whole.end)
            where = f"{verb} behind {change.table}"
            yield Edit("autocommit in the middle", where, body.replaced((at, f"\n{verb};")))


def put_back(body: Body) -> Iterator[Edit]:
    """Let the stores themselves put the subject back when a row is deleted."""
    made = _PUT_BACK[body.engine]
    for where, around, undone in made:
        yield Edit("a trigger or view that re-inserts", where, body.text, around, undone)


_PUT_BACK: Final = {
    EngineKind.MYSQL: (
        (
            "trigger on messages, into jobs",
            (
                (
                    "messageStore",
                    (
                        "CREATE TRIGGER erasure_mutant AFTER DELETE ON messages FOR EACH ROW "
                        "INSERT INTO jobqueueStore.jobs (parameters) VALUES (OLD.key_remote_jid)"
                    ),
                ),
            ),
            (("messageStore", "DROP TRIGGER erasure_mutant"),),
        ),
        (
            "trigger on wa_contacts, into chats",
            (
                (
                    "contactStore",
                    (
                        "CREATE TRIGGER erasure_mutant AFTER DELETE ON wa_contacts FOR EACH ROW "
                        "INSERT INTO messageStore.chats (key_remote_jid, subject) "
                        "VALUES (CONCAT('audit-', OLD._id), OLD.number)"
                    ),
                ),
            ),
            (("contactStore", "DROP TRIGGER erasure_mutant"),),
        ),
        (
            "trigger on a view's table",
            (
                ("contactStore", "CREATE VIEW erasure_mutants AS SELECT * FROM wa_phones"),
                (
                    "contactStore",
                    (
                        "CREATE TRIGGER erasure_mutant AFTER DELETE ON wa_phones FOR EACH ROW "
                        "INSERT INTO wa_contacts (jid) VALUES (CONCAT('0', OLD.phone_number))"
                    ),
                ),
            ),
            (
                ("contactStore", "DROP TRIGGER erasure_mutant"),
                ("contactStore", "DROP VIEW erasure_mutants"),
            ),
        ),
    ),
    EngineKind.POSTGRES: (
        (
            "trigger on messages, into chats",
            (
                (
                    "messageStore",
                    (
                        "CREATE FUNCTION erasure_mutant() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                        "INSERT INTO public.chats (key_remote_jid, subject) "
                        "VALUES ('audit-' || OLD._id, OLD.key_remote_jid); RETURN OLD; END $$; "
                        "CREATE TRIGGER erasure_mutant AFTER DELETE ON messages FOR EACH ROW "
                        "EXECUTE PROCEDURE erasure_mutant()"
                    ),
                ),
            ),
            (("messageStore", "DROP FUNCTION erasure_mutant() CASCADE"),),
        ),
        (
            "rule on wa_contacts",
            (
                (
                    "contactStore",
                    (
                        "CREATE RULE erasure_mutant AS ON DELETE TO wa_contacts DO ALSO "
                        "INSERT INTO wa_phones (phone_number, jid) VALUES ('audit', OLD.number)"
                    ),
                ),
            ),
            (("contactStore", "DROP RULE erasure_mutant ON wa_contacts"),),
        ),
        (
            "materialized view of messages",
            (
                (
                    "messageStore",
                    (
                        "CREATE MATERIALIZED VIEW erasure_mutant AS "
                        "SELECT key_remote_jid, data FROM messages"
                    ),
                ),
            ),
            (("messageStore", "DROP MATERIALIZED VIEW erasure_mutant"),),
        ),
    ),
}


def moved(body: Body) -> Iterator[Edit]:
    """Keep the rows elsewhere before they are deleted: in a new table, or in another's row."""
    schema = "contactStore" if body.engine is _MYSQL else "public"
    drop = (("contactStore", f"DROP TABLE IF EXISTS {schema}.{_ARCHIVE}"),)
    for change in _deletes(body):
        if not change.where:
            continue
        arm, at = change.arms[0], Span(change.whole.start, change.whole.start)
        condition = body.text[change.where.start : change.where.end]
        made = f"CREATE TABLE {schema}.{_ARCHIVE} AS SELECT * FROM {change.target} {condition};\n"
        edit = body.replaced((at, made))
        yield Edit("moved to a new table", change.table, edit, undone=drop)
        text = _as_text(body, f"max({arm.column})")
        kept = (
            f"INSERT INTO {schema}.wa_contacts (jid, status) SELECT 'archive@broadcast', {text} "
            f"FROM {change.target} {condition} HAVING count(*) > 0;\n"
        )
        if change.table != "wa_contacts":
            yield Edit("moved to another table", change.table, body.replaced((at, kept)))


def blanked(body: Body) -> Iterator[Edit]:
    """Blank the compared column where the row should go."""
    for change in _deletes(body):
        if not change.where:
            continue
        for arm in change.arms[:1]:
            column = arm.column.rpartition(".")[2]
            blank = "0" if _is_number(arm) else "''"
            condition = body.text[change.where.start : change.where.end]
            edit = f"UPDATE {change.target} SET {column} = {blank} {condition};"
            where = _place(change, arm)
            yield Edit("blank instead of a delete", where, body.replaced((change.whole, edit)))


def limited(body: Body) -> Iterator[Edit]:
    """Delete one row where all were meant."""
    for change in _deletes(body):
        if change.where:
            condition = body.text[change.where.start + len("WHERE") : change.where.end]
            limit = f"DELETE FROM {change.target} WHERE "
            limit += f"{_limited(body, change.target, condition)};"
            yield Edit("DELETE … LIMIT", change.table, body.replaced((change.whole, limit)))


OPERATORS: Final[Sequence[Operator]] = (
    delete_dropped,
    mask_dropped,
    arm_dropped,
    where_dropped,
    lookup_dropped,
    like,
    wrong_suffix,
    number_as_text,
    off_by_one,
    bystander_deleted,
    bystander_changed,
    mask_too_wide,
    own_identity,
    commit_inside,
    put_back,
    moved,
    blanked,
    limited,
)
