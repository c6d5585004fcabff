"""Keys, their file, and which of them are in force."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orderkeep.api.keyring import Grant, Keyring
from orderkeep.api.limits import BURST_SECONDS, CLIENTS, Limits, network
from orderkeep.errors import ConfigurationError
from orderkeep.keys import PREFIX, Key, Scope, changing, make_key, read_keys

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def add(file: Path, *scopes: Scope, expires: datetime | None = None) -> tuple[bytes, Key]:
    """Make a key, as `orderkeep keys new` does."""
    text, key = make_key("somebody", scopes or ("read",), expires, NOW)
    with changing(file) as kept:
        kept.append(key)
    return text.encode(), key


def revoke(file: Path, key: Key) -> None:
    from msgspec.structs import replace

    with changing(file) as kept:
        kept[kept.index(key)] = replace(key, revoked_at=NOW)


def bearer(text: bytes) -> list[bytes]:
    return [b"Bearer " + text]


def test_no_key_is_kept(file: Path) -> None:
    """The file has what recognises a key, not the key, and is for its owner alone."""
    text, key = add(file)
    assert text.decode().startswith(f"{PREFIX}{key.id}_")
    assert text.rpartition(b"_")[2] not in file.read_bytes()
    assert key.fits(text)
    assert not key.fits(text[:-1])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_rights_are_kept(file: Path) -> None:
    """Whoever could read the file can after a change, but for strangers; a link stays a link."""
    _, key = add(file)
    file.chmod(0o644)
    link = file.with_name("link")
    link.symlink_to(file)
    revoke(link, key)
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert read_keys(file)[0].state(NOW) == "revoked"


def test_a_change_that_fails(file: Path) -> None:
    """A change that fails leaves the file as it was, and nothing beside it."""
    add(file)
    before = file.read_bytes()
    with pytest.raises(ValueError, match="wrong"):
        spoil(file)
    assert file.read_bytes() == before
    assert len(list(file.parent.iterdir())) == 1


def spoil(file: Path) -> None:
    with changing(file) as kept:
        kept.clear()
        raise ValueError("wrong")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"version":2,"keys":[]}',
        b'{"version":1,"keys":[{}]}',
        b'{"version":1,"keys":[],"more":1}',
    ],
)
def test_damaged(file: Path, content: bytes) -> None:
    """A file that is no file of keys is refused in a line that names it, and is not written over."""
    file.write_bytes(content)
    for attempt in (read_keys, add):
        with pytest.raises(ConfigurationError, match="is damaged") as caught:
            attempt(file)
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [b""],
        [b"Bearer"],
        [b"Bearer "],
        [b"Basic {key}"],
        [b"{key}"],
        [b"Bearer {key}x"],
        [b"Bearer x{key}"],
        [b"Bearer orderkeep_{id}_"],
        [b"Bearer orderkeep_{id}_" + b"0" * 64],
        [b"Bearer orderkeep_00000000_" + b"0" * 64],
        [b"Bearer \xff\xfe"],
        [b"Bearer {key}", b"Bearer {key}"],
    ],
)
def test_what_is_no_key(file: Path, headers: list[bytes]) -> None:
    """Only one header with the whole key lets anybody in."""
    text, key = add(file)
    keyring = Keyring(file)
    keyring.look(NOW)
    filled = [each.replace(b"{key}", text).replace(b"{id}", key.id.encode()) for each in headers]
    assert keyring.grant(filled) is None
    assert keyring.grant([b"bearer " + text]) is keyring.grant([b"Bearer  " + text + b" "]) is not None


def granted(keyring: Keyring, text: bytes) -> Grant:
    found = keyring.grant(bearer(text))
    assert found is not None
    return found


def test_changes_are_noticed(file: Path) -> None:
    """What is revoked or expires is over at the next look; others go on as if nothing had happened."""
    kept_text, _ = add(file)
    gone_text, gone_key = add(file)
    late_text, _ = add(file, expires=NOW + DAY)
    keyring = Keyring(file)
    assert keyring.look(NOW)
    assert not keyring.look(NOW)
    kept, gone, late = (granted(keyring, text) for text in (kept_text, gone_text, late_text))

    revoke(file, gone_key)
    assert keyring.look(NOW)
    assert (kept.over.is_set(), gone.over.is_set(), late.over.is_set()) == (False, True, False)
    assert keyring.grant(bearer(gone_text)) is None
    assert keyring.look(NOW + DAY)
    assert keyring.grant(bearer(late_text)) is None
    assert late.over.is_set()
    assert granted(keyring, kept_text) is kept


@pytest.mark.parametrize("damage", ["gone", "damaged"])
def test_unreadable(file: Path, damage: str) -> None:
    """Nobody passes once the file is gone or damaged at two looks, until it can be read again."""
    text, _ = add(file)
    content = file.read_bytes()
    keyring = Keyring(file)
    keyring.look(NOW)
    before = granted(keyring, text)
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(content[:-10])
    assert not keyring.look(NOW)  # it may be in the middle of being written
    assert granted(keyring, text) is before
    assert keyring.look(NOW)
    assert (keyring.grant(bearer(text)), keyring.status) == (None, "unreadable")
    assert before.over.is_set()
    assert not keyring.look(NOW)
    file.write_bytes(content)
    assert keyring.look(NOW)
    assert keyring.status == "ok"
    assert granted(keyring, text) is not before


def test_nothing_to_begin_with(file: Path) -> None:
    """Without a file nobody passes, from the first look on."""
    keyring = Keyring(file)
    assert not keyring.look(NOW)
    assert keyring.status == "unreadable"
    text, _ = add(file)
    assert keyring.look(NOW)
    assert granted(keyring, text).key.scopes == ("read",)


def test_limits() -> None:
    """A client may ask as often as it has saved up, and is told when it may again; others may meanwhile."""
    time = 0.0
    limits = Limits(2.0, lambda: time)
    assert [limits.take("a") for _ in range(2 * BURST_SECONDS)] == [0.0] * 2 * BURST_SECONDS
    assert limits.take("a") == limits.take("a") == 0.5
    assert limits.take("b") == 0.0
    time = 0.5
    assert limits.take("a") == 0.0
    assert limits.take("a") > 0
    time = 1e9
    assert [limits.take("a") for _ in range(2 * BURST_SECONDS)] == [0.0] * 2 * BURST_SECONDS
    assert limits.take("a") > 0


def test_limits_are_bounded() -> None:
    """Clients without end do not fill the memory, and one that goes on asking is not forgotten."""
    limits = Limits(0.001, lambda: 0.0)
    assert limits.take("a") == 0.0
    for number in range(3 * CLIENTS):
        limits.take(str(number))
        assert limits.take("a") > 0
    assert len(limits._buckets) == CLIENTS


@pytest.mark.parametrize(
    ("address", "known_as"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
        ("", ""),
    ],
)
def test_who_an_address_is(address: str, known_as: str) -> None:
    """Addresses of one network of IPv6 are one client."""
    assert network(address) == known_as
