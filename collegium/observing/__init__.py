"""What a service shows of itself to those who run it: figures, traces, log lines. Never a row, a true count, a purpose or SQL."""
