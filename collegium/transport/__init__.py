"""How calls travel: channels, tunnels, and the table from error to status."""
