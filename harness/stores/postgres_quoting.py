"""Names and strings as PostgreSQL reads them."""

from __future__ import annotations


def quoted(name: str) -> str:
    """Return a name as a PostgreSQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a string literal that is read the same whatever the server's settings."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f" E'{escaped}'"
