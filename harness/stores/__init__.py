"""The stores of one set on one server: connect, introspect, stream, and nothing by guess."""

from harness.stores.connection import connect
from harness.stores.exclusion import Exclusion, exclusive
from harness.stores.protocol import StoreSet

__all__ = ["Exclusion", "StoreSet", "connect", "exclusive"]
