"""The core of national sums: one figure of many nodes at the error of a single mechanism, and no node's part shown to anybody.

    share.py        how much noise each node adds, and what the sum then costs
    mask.py         the three masks that hide a node's vector
    seal.py         how a mask's seed travels to its trustee
    commitment.py   a node's salted commitment to what it masked
    addition.py     masking, adding and unmasking in streams, exact modulo 2^64
    statements.py   the six signed steps; lists.py what they name by digest
    plan.py         making and checking a plan
    submission.py   what a node sends, and what a trustee makes of it
    closing.py      whether a list of participants may be unmasked
    verify.py       a whole round looked at again

The protocol, its promises and their limits are described in docs/national-sums.md.
"""
