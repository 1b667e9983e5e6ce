"""Kill live runs, and the servers under them, wherever they are; take them up again; look.

`python -m harness._tests.crashes`, or `tox -e crashes`, prints a Markdown table and exits 1 if
any trial left stores that are neither wholly before nor wholly after, or hurt a bystander.
What it looks with is a plain client and a dump of every table, none of the harness's own.
"""
