"""A stand-in for the client's Webapp, over real stores; never imported under --live.

It answers as far as the client's API is published, and says where it had to choose. Which rows
it removes is a stated policy, and not the vendor's.
"""

from harness.webapp.certificates import Certificate
from harness.webapp.configured import StandInConfig
from harness.webapp.coreapps import Collection
from harness.webapp.faults import Fault
from harness.webapp.garbage import garbage
from harness.webapp.stand_in import Asked, StandIn
from harness.webapp.standing import standing

__all__ = [
    "Asked",
    "Certificate",
    "Collection",
    "Fault",
    "StandIn",
    "StandInConfig",
    "garbage",
    "standing",
]
