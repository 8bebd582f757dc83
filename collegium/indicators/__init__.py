"""Indicators: a catalogue as data, spelt out, measured together for one charge, and published.

catalogue.py   the file's form          mistakes.py    what is wrong, with place and remedy
check.py       all that is wrong        fit*.py        against the schema, and part against part
condition.py   SQL text to predicates   numbering.py   which indicators, and their ids
expand.py      catalogue to leaves      definition.py  their words
leaf.py        one indicator            coverage.py    which universities are in it

families.py    leaves to tables         absorb.py, twovalued.py   populations and conditions made alike
weights.py     the budget divided       questions.py, places.py   few questions, and where each figure is
batch.py       the whole plan           expected.py               its errors before it is paid for
fitting.py     least squares            zeros.py, possible.py     cells that are 0 by their meaning
estimate.py    sums to figures          intervals.py, figure.py   with 95 % intervals and marks

>>> expand(read_catalogue(Path("higher-education.toml")), schema, 2026).leaf("U-S06-001")
>>> batch = plan_batch(expanded, schema, {"student": 500_000_000, "staff": 500_000_000, "learner": 500_000_000})
>>> expected(batch, nodes=24)["U-S06-001"].half_width        # before anything is asked
>>> estimate(batch, sums, nodes)["U-S06-001"]                # from the sums of releases, one a question
"""
