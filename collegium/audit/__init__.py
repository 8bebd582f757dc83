"""The auditor: exported logs and a trust file in, one word for each check and log out. No network, no account, no gRPC.

from collegium.audit.run import audit
found = audit(Path("folder"), Trust.parse(Path("trust.txt").read_bytes()))
found.findings.code
"""
