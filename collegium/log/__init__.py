"""Signed notes, statements and Merkle logs: standard library and cryptography only."""
