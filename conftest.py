"""Loads the harness; everything else lives in `harness.plugin`."""

pytest_plugins = ["harness.plugin"]
