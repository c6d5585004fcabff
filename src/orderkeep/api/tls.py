"""TLS of the API: its certificate, read at the start, and again when the files change."""

import asyncio
import hashlib
import ssl
import time
from _ssl import _test_decode_cert  # type: ignore[attr-defined] # the library's one way to read our own
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import structlog

from orderkeep.errors import ConfigurationError
from orderkeep.settings import Settings

CERT_SETTING = "ORDERKEEP_HTTP_TLS_CERT_FILE"
KEY_SETTING = "ORDERKEEP_HTTP_TLS_KEY_FILE"
LOOK_SECONDS = 1.0
WARN_SECONDS = 7 * 86_400
"""A certificate that ends so soon should have been renewed: those of 90 days are after 60."""
REMIND_SECONDS = 86_400

log = structlog.get_logger()


class Tls:
    """A certificate with its key, in force for every connection that is made through `context`."""

    def __init__(self, cert_file: str, key_file: str, hsts_seconds: int = 0) -> None:
        """`cert_file` is PEM with what leads to the authority behind it; `key_file` may be the same file.

        Raises `ConfigurationError` unless the two can be used together.
        """
        self.headers = [("strict-transport-security", f"max-age={hsts_seconds}")] if hsts_seconds else []
        """What every answer has."""
        self._cert, self._key = Path(cert_file), Path(key_file)
        self._files = self._digests()
        self.context = self._read()
        self._reminded_at = 0.0
        self._remind()

    async def watch(self) -> None:
        """Look every second whether the files have changed, until cancelled.

        What cannot be used is logged, and the certificate before it stays in force.
        """
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Take the files if they have changed since the last look, and remind of a certificate that ends."""
        files = self._digests()
        if files != self._files:
            self._files = files
            try:
                self._read()  # both fit: a context that they do not fit would be left with half of them
                self.context.load_cert_chain(self._cert, self._key, _no_password)
            except (ConfigurationError, OSError) as error:  # an SSLError is an OSError
                log.warning("certificate_refused", error=str(error))
                return
            log.info("certificate_renewed", until=_date(self._ends_at()))
            self._reminded_at = 0.0
        if time.monotonic() - self._reminded_at > REMIND_SECONDS:
            self._remind()

    def _read(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        _refuse_unreadable(CERT_SETTING, self._cert)
        _refuse_unreadable(KEY_SETTING, self._key)
        try:
            context.load_cert_chain(self._cert, self._key, _no_password)
        except ssl.SSLError as error:
            raise ConfigurationError(self._why(error)) from None
        return context

    def _why(self, error: ssl.SSLError) -> str:
        if error.reason == "KEY_VALUES_MISMATCH":
            return (
                f"{KEY_SETTING}: the key in {self._key} is not that of the certificate in {self._cert}: "
                "give the two that were made together, the service's own certificate first in its file"
            )
        return (
            f"{CERT_SETTING}, {KEY_SETTING}: PEM files are expected, -----BEGIN CERTIFICATE----- in "
            f"{self._cert} and -----BEGIN PRIVATE KEY----- in {self._key} ({error.reason or error})"
        )

    def _remind(self) -> None:
        """Warn when the certificate has ended, or is about to: clients refuse it then."""
        self._reminded_at = time.monotonic()
        ends_at = self._ends_at()
        if ends_at - time.time() < WARN_SECONDS:
            log.warning("certificate_ends", until=_date(ends_at), file=str(self._cert))

    def _ends_at(self) -> float:
        """Seconds since 1970."""
        return ssl.cert_time_to_seconds(str(_test_decode_cert(self._cert)["notAfter"]))

    def _digests(self) -> list[bytes]:
        """What tells whether the files have changed: times do not, when two changes are close together."""
        return [_digest(file) for file in (self._cert, self._key)]


def tls_of(settings: Settings) -> Tls | None:
    """TLS as the settings ask for it, if they do. Raises `ConfigurationError`."""
    cert = settings.http_tls_cert_file
    return Tls(cert, settings.http_tls_key_file or cert, settings.http_hsts_seconds) if cert else None


def _digest(file: Path) -> bytes:
    try:
        return hashlib.sha256(file.read_bytes()).digest()
    except OSError:
        return b""


def _refuse_unreadable(setting: str, file: Path) -> None:
    try:
        file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting}: {file} cannot be read ({error.strerror or error})") from None


def _no_password() -> NoReturn:
    """Called for a key that is encrypted; OpenSSL would ask the terminal, and wait."""
    raise ConfigurationError(
        f"{KEY_SETTING}: the key is encrypted, and nobody is there to give its password: decrypt it with "
        "`openssl pkey`, and let the file's owner alone read it"
    )


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
