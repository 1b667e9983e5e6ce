"""What `GET /v1/stats/db` counts, from the real rows."""

from __future__ import annotations

from typing import Final

from harness.stores import StoreSet
from harness.webapp.answers import Document

# How rows of `messages` tell their type is inferred from the ancestor schema.
_TYPES: Final = {
    "0": "text",
    "1": "image",
    "2": "audio",
    "3": "video",
    "4": "contacts",
    "5": "location",
    "9": "document",
}
_OTHER: Final = "unknown"


def count(store_set: StoreSet) -> Document:
    """Return the five statistics of the stores, by name.

    That pending messages are rows of `messages_pending_actions`, and receipts those of
    `messages_receipt_log`, is a choice of this stand-in's.
    """
    contacts = {"whatsapp_user": 0, "non_whatsapp_user": 0}
    sql = "SELECT is_whatsapp_user, count(*) FROM wa_contacts GROUP BY is_whatsapp_user"
    for is_user, rows in store_set.query("contactStore", sql):
        contacts["whatsapp_user" if is_user else "non_whatsapp_user"] += int(rows)
    types: dict[str, int] = {}
    sql = "SELECT media_wa_type, count(*) FROM messages GROUP BY media_wa_type"
    for code, rows in store_set.query("messageStore", sql):
        # A message without media has no type of media: it is text.
        label = _TYPES.get(str(code or "0"), _OTHER)
        types[label] = types.get(label, 0) + int(rows)
    return {
        "db_contacts": _gauge("Contacts in the database", contacts),
        "db_messages": _gauge("Messages in the database", types or {"text": 0}),
        "db_message_receipts": _total(
            store_set, "Receipts", "messageStore", "messages_receipt_log"
        ),
        "db_pending_callbacks": _total(store_set, "Callbacks to send", "callbackStore", "queue"),
        "db_pending_messages": _total(
            store_set, "Messages to send", "messageStore", "messages_pending_actions"
        ),
    }


def _gauge(description: str, values: dict[str, int]) -> Document:
    data = [{"labels": {"type": label}, "value": value} for label, value in values.items()]
    return {"data": data, "description": description, "type": "gauge"}


def _total(store_set: StoreSet, description: str, store: str, table: str) -> Document:
    ((rows,),) = store_set.query(store, f"SELECT count(*) FROM {table}")
    return {"data": [{"value": int(rows)}], "description": description, "type": "gauge"}
