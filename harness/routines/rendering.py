"""The vendor's published deletion map as SQL text: pure, no connection.

Faults are rendered with the rest: MySQL never consults wa_phones, PostgreSQL forgets
axolotlStore.sender_keys, nothing runs in a transaction of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from harness.identity import USER_DOMAIN
from harness.manifest import Manifest, Table, VendorStatement
from harness.model import EngineKind
from harness.routines.protocol import HOME_STORE
from harness.stores import postgres_quoting as postgres
from harness.stores.mysql_changes import quoted as mysql_quoted

# The published routines keep the JID in a local variable of these lengths.
_MYSQL_JID: Final = "VARCHAR(50)"
_POSTGRES_JID: Final = "VARCHAR(56)"
_OPERANDS: Final = {"jid": "user_jid", "wa_id": "wa_id"}


def mysql_procedure(manifest: Manifest, databases: Mapping[str, str], name: str) -> str:
    """Return CREATE PROCEDURE for the published map, qualified with the databases' names.

    Args:
        manifest: The vendor's statements.
        databases: Logical store name -> name on the server, prefix included.
        name: The procedure's name.
    """
    deletes = "".join(
        f"  DELETE FROM {mysql_quoted(databases[table.store])}.{mysql_quoted(table.name)}\n"
        f"    WHERE {_condition(statement, EngineKind.MYSQL)};\n"
        for table, statement in manifest.vendor_tables(EngineKind.MYSQL)
    )
    procedure = f"{mysql_quoted(databases[HOME_STORE])}.{mysql_quoted(name)}"
    return (
        f"CREATE PROCEDURE {procedure}(IN wa_id BIGINT)\n"
        "BEGIN\n"
        f"  DECLARE user_jid {_MYSQL_JID};\n"
        "  DECLARE phone VARCHAR(50);\n"
        f"  SET user_jid = CONCAT(wa_id, '@{USER_DOMAIN}');\n"
        "  SET phone = CONCAT('+', wa_id);\n"
        f"{deletes}"
        "END"
    )


@dataclass(frozen=True, slots=True)
class ForeignNames:
    """Names of a run's own objects on PostgreSQL: the schema, and a server per store."""

    schema: str
    servers: Mapping[str, str]


def postgres_function(manifest: Manifest, foreign: ForeignNames, name: str) -> str:
    """Return CREATE FUNCTION for the published map, reaching other stores by foreign tables."""

    def target(table: Table) -> str:
        schema = "public" if table.store == HOME_STORE else foreign.schema
        return f"{postgres.quoted(schema)}.{postgres.quoted(table.name)}"

    deletes = "".join(
        f"  DELETE FROM {target(table)}\n    WHERE {_condition(statement, EngineKind.POSTGRES)};\n"
        for table, statement in manifest.vendor_tables(EngineKind.POSTGRES)
    )
    return (
        f"CREATE FUNCTION public.{postgres.quoted(name)}(wa_id bigint) RETURNS void\n"
        "LANGUAGE plpgsql AS $routine$\n"
        "DECLARE\n"
        f"  user_jid {_POSTGRES_JID};\n"
        "BEGIN\n"
        "  SELECT p.jid INTO user_jid FROM public.wa_phones p\n"
        "    WHERE p.phone_number = '+' || wa_id;\n"
        "  IF user_jid IS NULL THEN\n"
        f"    user_jid := wa_id || '@{USER_DOMAIN}';\n"
        "  END IF;\n"
        f"{deletes}"
        "END\n"
        "$routine$"
    )


def foreign_tables(
    manifest: Manifest, foreign: ForeignNames, leave_out: Collection[str] = ()
) -> str:
    """Return CREATE FOREIGN TABLE for each table of the map outside the home store.

    Only the columns that the map compares are declared, as published.
    """
    return "".join(
        _foreign_table(table, statement, foreign)
        for table, statement in manifest.vendor_tables(EngineKind.POSTGRES)
        if table.store != HOME_STORE and table.name not in leave_out
    )


def _foreign_table(table: Table, statement: VendorStatement, foreign: ForeignNames) -> str:
    columns = []
    for name, _ in statement.where:
        column = table.column(name)
        required = " NOT NULL" if column.required else ""
        columns.append(
            f"{postgres.quoted(name)} {column.kind.type_on(EngineKind.POSTGRES)}{required}"
        )
    return (
        f"CREATE FOREIGN TABLE {postgres.quoted(foreign.schema)}.{postgres.quoted(table.name)} "
        f"({', '.join(columns)}) SERVER {postgres.quoted(foreign.servers[table.store])} "
        f"OPTIONS (schema_name 'public', table_name {postgres.literal(table.name)});\n"
    )


def _condition(statement: VendorStatement, engine: EngineKind) -> str:
    quoted = mysql_quoted if engine is EngineKind.MYSQL else postgres.quoted
    return " OR ".join(
        f"{quoted(column)} = {_OPERANDS[operand]}" for column, operand in statement.where
    )
