"""Mutants of the verifier: each check switched off in turn must be caught by a control.

`syntax` finds what can be switched in a function, `switches` collects it from the modules that
verify and throws one switch at a time, `controls` is what must notice, and `verifier` tries each
switch against them. `python -m harness._tests.mutants` prints the score.
"""
