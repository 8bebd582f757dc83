"""What every party has that keeps a log of its own: a node and a trustee alike.

It keeps a signed log in one database, dials out to the coordinator, verifies the registry itself, has its log confirmed by
witnesses and is one for others. Nothing here knows rows, questions or noise: what a party is for stands in its own package.
"""
