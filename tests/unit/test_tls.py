"""The API's certificate: what is refused, and what happens when its files change."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from structlog.testing import capture_logs

from orderkeep.api.tls import Tls, tls_of
from orderkeep.errors import ConfigurationError
from orderkeep.settings import Settings
from orderkeep.settings_load import load

AUTHORITY = trustme.CA()


class Files(NamedTuple):
    cert: Path
    key: Path

    def write(self, leaf: trustme.LeafCert) -> None:
        self.cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(self.key)

    def tls(self) -> Tls:
        return Tls(str(self.cert), str(self.key))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path / "cert.pem", tmp_path / "key.pem")
    made.write(AUTHORITY.issue_cert("one.example"))
    return made


def encrypt(files: Files) -> None:
    key = load_pem_private_key(files.key.read_bytes(), None)
    secret = BestAvailableEncryption(b"password")
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))


def shown(tls: Tls) -> str:
    """The name in the certificate that a client is shown now."""
    client = ssl.create_default_context()
    AUTHORITY.configure_trust(client)
    client.check_hostname = False
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = tls.context.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server)
    for side in (theirs, ours, theirs, ours):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    certificate = theirs.getpeercert()
    assert certificate
    return str(certificate["subjectAltName"][0][1])


def a_missing_certificate(files: Files) -> None:
    files.cert.unlink()


def a_missing_key(files: Files) -> None:
    files.key.unlink()


def a_folder(files: Files) -> None:
    files.cert.unlink()
    files.cert.mkdir()


def a_key_of_another(files: Files) -> None:
    AUTHORITY.issue_cert("two.example").private_key_pem.write_to_path(files.key)


def no_pem(files: Files) -> None:
    files.cert.write_text("hello")


def an_empty_key(files: Files) -> None:
    files.key.write_text("")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (a_missing_certificate, r"HTTP_TLS_CERT_FILE: \S+cert.pem cannot be read \(No such file"),
        (a_missing_key, r"HTTP_TLS_KEY_FILE: \S+key.pem cannot be read \(No such file"),
        (a_folder, r"HTTP_TLS_CERT_FILE: \S+cert.pem cannot be read \(Is a directory"),
        (a_key_of_another, "HTTP_TLS_KEY_FILE: the key in .* is not that of the certificate"),
        (no_pem, "PEM files are expected"),
        (an_empty_key, "PEM files are expected"),
        (encrypt, "HTTP_TLS_KEY_FILE: the key is encrypted"),
    ],
)
def test_refused(files: Files, spoil: Callable[[Files], None], says: str) -> None:
    """Files that cannot be used are refused in one line, which names the setting and the file."""
    spoil(files)
    with pytest.raises(ConfigurationError, match=says) as caught:
        files.tls()
    assert "\n" not in str(caught.value)


def test_one_file_for_both(files: Files) -> None:
    """Certificate and key may be in one file; without a certificate there is no TLS."""
    files.cert.write_bytes(files.key.read_bytes() + files.cert.read_bytes())
    files.key.unlink()
    tls = tls_of(Settings(http_tls_cert_file=str(files.cert)))
    assert tls is not None
    assert shown(tls) == "one.example"
    assert tls_of(Settings()) is None


def test_a_key_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A key without a certificate is a mistake, and not plain HTTP."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="ORDERKEEP_HTTP_TLS_CERT_FILE"):
        load({"http_tls_key_file": "key.pem"})


def test_hsts() -> None:
    """Answers say that only HTTPS is to be used; unless the setting is 0."""
    given = AUTHORITY.issue_cert("one.example").private_key_and_cert_chain_pem
    with given.tempfile() as file:
        assert Tls(file, file, 60).headers == [("strict-transport-security", "max-age=60")]
        assert Tls(file, file, 0).headers == []


def test_renewed(files: Files) -> None:
    """A new certificate is shown once both files fit; until then the one before is, and it is said why."""
    tls = files.tls()
    with capture_logs() as logs:
        tls.look()
        assert logs == []
        two = AUTHORITY.issue_cert("two.example")
        two.private_key_pem.write_to_path(files.key)
        tls.look()
        assert shown(tls) == "one.example"
        tls.look()  # said once
        files.write(two)
        tls.look()
        assert shown(tls) == "two.example"
        files.cert.unlink()
        tls.look()
        assert shown(tls) == "two.example"
    assert [line["event"] for line in logs] == [
        "certificate_refused",
        "certificate_renewed",
        "certificate_refused",
    ]
    assert "is not that of the certificate" in logs[0]["error"]


@pytest.mark.parametrize(("left", "warned"), [(-1, True), (1, True), (30, False)])
def test_ends(files: Files, left: int, warned: bool) -> None:
    """A certificate that has ended, or soon will, is used all the same, and warned of once a day."""
    now = datetime.now(UTC)
    ends = now + timedelta(days=left)
    files.write(AUTHORITY.issue_cert("one.example", not_before=now - timedelta(days=60), not_after=ends))
    with capture_logs() as logs:
        tls = files.tls()
        tls.look()
    assert [line["event"] for line in logs] == ["certificate_ends"] * warned
    assert all(line["until"].startswith(f"{ends:%Y-%m-%dT%H:%M}") for line in logs)
