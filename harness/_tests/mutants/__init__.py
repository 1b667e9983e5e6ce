"""Mutants: routines edited as a DBA might, and a verifier with its checks switched off."""
