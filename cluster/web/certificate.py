"""A certificate that this machine signs itself, made by the program ``openssl`` and kept: `cluster web --tls self`."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from cluster import errors

CERT, KEY, MADE = "self.pem", "self.key", "self.json"
DAYS = 365
RENEW_S = 30 * 24 * 3600
"""A certificate that ends sooner is made anew."""
TIMEOUT_S = 60


class Certificate(NamedTuple):
    """A certificate with its key."""

    cert: Path
    key: Path

    @property
    def fingerprint(self) -> str:
        """The sha256 of the certificate, as browsers show it: people compare it before they trust the page."""
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.cert.read_text())).hexdigest().upper()
        return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def own(folder: Path, names: Collection[str]) -> Certificate:
    """The certificate that is kept in ``folder``; a new one where it ends soon or is not for all these names.

    Raises:
        errors.NotInstalled: There is no ``openssl`` here.
        errors.UsageError: It does not make one.
    """
    kept = Certificate(folder / CERT, folder / KEY)
    if not _serves(kept, names):
        _make(kept, sorted(names))
    return kept


def _serves(kept: Certificate, names: Collection[str]) -> bool:
    try:
        made = json.loads((kept.cert.parent / MADE).read_bytes())
        is_right = set(names) <= set(made["names"]) and made["ends_s"] > time.time() + RENEW_S
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return is_right and kept.cert.exists() and kept.key.exists()


def _make(kept: Certificate, names: list[str]) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise errors.NotInstalled(
            "--tls self needs the program openssl, which is not installed; or give a certificate with --cert and --key"
        )
    with tempfile.TemporaryDirectory(dir=kept.cert.parent) as draft:
        cert, key = Path(draft, CERT), Path(draft, KEY)
        made = subprocess.run(
            [
                program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", str(DAYS), "-subj", "/CN=cluster web", "-addext", f"subjectAltName={_alternatives(names)}",
                "-keyout", str(key), "-out", str(cert),
            ],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        if made.returncode:
            raise errors.UsageError(f"openssl makes no certificate: {made.stderr.strip()[-300:]}")
        key.chmod(0o600)
        key.replace(kept.key)
        cert.replace(kept.cert)
    about = {"names": names, "ends_s": time.time() + DAYS * 24 * 3600}
    (kept.cert.parent / MADE).write_text(json.dumps(about))  # last: without it, the certificate is made anew


def _alternatives(names: list[str]) -> str:
    return ",".join(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
