"""What a trustee of national sums runs. It sees no data: only seeds of masks and signed statements."""
