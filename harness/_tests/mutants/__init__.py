"""Mutants: routines edited as a DBA might, and a verifier with its checks switched off.

`body` and `edits` make mutants of a routine FILE, `trials` puts them to the populations and
`routines` tells what became of each. `syntax` finds what can be switched off in a function,
`switches` collects it from the modules that verify and throws one switch at a time, the modules
that end in `controls` must notice, and `verifier` tries each switch against them. `grounds` are
real servers for that; `memory_stores` and `played_run` need none.
`python -m harness._tests.mutants` prints both scores.
"""
