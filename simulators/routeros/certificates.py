"""The row of /certificate that tells of the certificate behind api-ssl."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from simulators.routeros.fields import Version, time_text

NAME = "api-tls"
DATES_SINCE: Version = (7, 10)  # the first release that writes 2026-11-23 instead of nov/23/2026


def date_and_time(moment: time.struct_time, release: Version) -> tuple[str, str]:
    """Return date and time as a release writes them."""
    date = time.strftime("%Y-%m-%d", moment) if release >= DATES_SINCE else time.strftime("%b/%d/%Y", moment).lower()
    return date, time.strftime("%H:%M:%S", moment)


def certificate_fields(path: Path, release: Version, now_s: float) -> dict[str, str]:
    """Return what print shows of a PEM file; `now_s` are seconds since 1970. OSError or ValueError for no such file."""
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)

    def shown(moment: datetime) -> str:
        return " ".join(date_and_time(moment.timetuple(), release))

    ends = certificate.not_valid_after_utc
    return {
        "name": NAME,
        "common-name": str(names[0].value) if names else "",
        "serial-number": f"{certificate.serial_number:X}",
        "fingerprint": certificate.fingerprint(hashes.SHA256()).hex(),
        "invalid-before": shown(certificate.not_valid_before_utc),
        "invalid-after": shown(ends),
        "expires-after": time_text(max(ends.timestamp() - now_s, 0.0)),
        "private-key": "true",
        "trusted": "true",
    }
