"""The coordinator: what the ministry runs. It adds signed, noisy answers and never sees a row."""
