"""The node: what a university runs. The only part of Collegium that sees rows."""
