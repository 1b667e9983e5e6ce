"""Synthetic people and the traces they leave; never imported under --live.

`people` draws numbers from ranges reserved for fiction, `world` turns a handful of people,
groups and events into rows of every store, `cases` names the worlds that scenarios use, and
`strategies` lets Hypothesis invent more. `log_lines` writes logs in bulk, `mentions` names people
in them, and `estate` fills a folder with what an installation leaves in files.
"""
