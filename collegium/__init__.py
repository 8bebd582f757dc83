"""Collegium: ask many universities one question, and verify the answer.

    import collegium

    federation = collegium.connect()
    answer = federation.ask("SELECT province, COUNT(*) AS graduates FROM graduate GROUP BY province", epsilon=0.5)
    print(answer)
    answer.verify()
"""

__version__ = "0.1.0"
