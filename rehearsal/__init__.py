"""A country on one machine: `python -m rehearsal --nodes 3074`. What is real in it and what stands in is said at the end.

__main__   the command
play       its phases, one after another
processes  started, watched and ended
country    the federation is founded and everybody registered, by the ministry's own code
host       a process that serves many universities, each with keys, log, ledger and tunnel of its own
within     the coordinator's process, with universities in it that have no tunnel
campus     one university in such a process
rows       invented graduates
usage      what processes use
asking     the questions that are asked, as a researcher
report     the table
"""
