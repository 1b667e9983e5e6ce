"""Surfaces beside the rows: folders of logs, and volumes of media."""
