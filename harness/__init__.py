"""Verified erasure for WhatsApp Business On-Premises stores.

Operate once, judge many times: `harness.run` acts on the stores and records a
history, `harness.judge` turns a history into a verdict, `harness.plugin` puts
both behind pytest's command line. Imports point downward in the order that the
README's map of the folders gives.
"""

__version__ = "0.1.0"
