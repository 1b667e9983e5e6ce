"""What a row says of a file is understood however it is written, and found again as a word."""

from __future__ import annotations

import base64
import hashlib
import json
from urllib.parse import quote

import pytest

from harness.manifest import MediaRole
from harness.model import MediaReference, MediaReferences
from harness.stores.media_references import read_references
from harness.stores.media_words import Words, keys

UUID = "0b1c2d3e-0000-4000-8000-00000000000a"
OTHER = "0b1c2d3e-0000-4000-8000-00000000000b"
DIGEST = hashlib.sha256(b"picture?").digest()
BASE64 = base64.b64encode(DIGEST)
PLAIN = "Größe & Maß (1).jpg"


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (f"/usr/local/wamedia/shared/{UUID}", UUID),
        (f"shared/{UUID}.jpg", f"{UUID}.jpg"),
        (UUID, UUID),
        (f"https://example.org/v/{UUID}.enc?ccb=11-4&oh=0#x", f"{UUID}.enc"),
        ("../../etc/passwd", "passwd"),
        ("a photo?.jpg", "a photo?.jpg"),
        (f"/v1/media/{quote(PLAIN)}", PLAIN),
        ("..%2F..%2Fsecret", "secret"),
    ],
)
def test_a_path_leads_to_its_last_component(cell: str, name: str) -> None:
    """Of a path, a URL or a name the last component counts, with and without escapes."""
    (found,) = read_references([(cell.encode(), "path")])
    assert name in found.names
    assert not any("/" in one for one in found.names)


@pytest.mark.parametrize("cell", [b"", None, b"/", b"shared/..", b".", b"a\0b", b"x" * 256])
def test_what_names_no_file_leads_nowhere(cell: bytes | None) -> None:
    """Folders, nothing, and what no file can be called lead to no file."""
    assert list(read_references([(cell, "path"), (cell, "hash"), (cell, "document")])) == []


@pytest.mark.parametrize(
    "cell",
    [
        BASE64,
        BASE64.rstrip(b"="),
        base64.urlsafe_b64encode(DIGEST),
        DIGEST.hex().encode(),
        DIGEST.hex().upper().encode(),
        BASE64 + b"\n",
    ],
    ids=["base64", "unpadded", "for URLs", "hexadecimal", "capitals", "line"],
)
def test_a_digest_is_understood(cell: bytes) -> None:
    """A SHA-256 digest is the same in hexadecimal, in either base64."""
    assert list(read_references([(cell, "hash")])) == [MediaReference(digests=frozenset({DIGEST}))]


@pytest.mark.parametrize("cell", [b"picture", b"d41d8cd98f00b204e9800998ecf8427e", BASE64[:-4]])
def test_what_is_no_digest_leads_nowhere(cell: bytes) -> None:
    """Something shorter than SHA-256 is no digest."""
    assert list(read_references([(cell, "hash")])) == []


def test_one_row_is_one_reference() -> None:
    """Path, name and hash of one row are said of one file."""
    cells: list[tuple[bytes, MediaRole]]
    cells = [(b"shared/a.jpg", "path"), (b"b.jpg", "name"), (BASE64, "hash")]
    (found,) = read_references(cells)
    assert found == MediaReference(frozenset({"a.jpg", "b.jpg"}), frozenset({DIGEST}))


def test_each_object_of_a_document_is_one_reference() -> None:
    """A notification leads to the file of each object in it, and to none by what is no media."""
    image = {"file": f"/usr/local/wamedia/shared/{UUID}", "id": OTHER, "sha256": DIGEST.hex()}
    document = {"link": "https://example.org/a.pdf?x=1", "filename": "b.pdf"}
    text = {"from": "1", "id": "gBGGeZRAZ1NvAgn4gdjDH8IpKyM", "text": {"body": UUID}, "url": 7}
    payload = {"messages": [{**text, "image": image}, {"document": document, "id": "\ud800"}]}
    found = list(read_references([(json.dumps(payload).encode(), "document"), (b"c", "name")]))
    assert sorted(sorted(one.names) for one in found) == [
        [UUID, OTHER],
        ["a.pdf", "b.pdf"],
        ["c"],
    ]
    assert {digest for one in found for digest in one.digests} == {DIGEST}


@pytest.mark.parametrize("cell", [b"{", b"7", b"\xff", b'{"file": ["a"]}', b'{"id": "a"}'])
def test_what_is_no_notification_leads_nowhere(cell: bytes) -> None:
    """A payload that is no JSON, or of another kind, leads to no file."""
    assert list(read_references([(cell, "document")])) == []


def test_a_uuid_is_known_in_any_case_and_with_any_ending() -> None:
    """Names with the same UUID are one file's; a UUID that differs by a digit is another's."""
    assert keys(UUID.upper()) == keys(f"{UUID}.jpg") == keys(f"thumb-{UUID}") == {UUID}
    assert keys(OTHER) != keys(UUID)
    assert keys("holiday.jpg") == {"holiday.jpg"}


def found_in(cell: bytes, *names: str, digests: tuple[bytes, ...] = ()) -> set[str | bytes]:
    """Return which names and digests are found in a cell of a row."""
    words = Words(names, digests)
    if words.candidate(b"x" + cell + b"x"):
        words.look(cell)
    return {*words.names, *words.digests}


@pytest.mark.parametrize(
    "cell",
    [
        UUID.encode(),
        b'{"file":"\\/usr\\/local\\/wamedia\\/shared\\/' + UUID.upper().encode() + b'"}',
        b"%2Fshared%2F" + UUID.encode(),
        b"\x00\xff" + UUID.encode() + b"\xff",
        b"a" + UUID.encode(),
        UUID.encode() + b".jpg",
    ],
)
def test_a_uuid_is_found_wherever_it_stands(cell: bytes) -> None:
    """A name with a UUID is found by it in text, JSON, URLs and blobs, whatever is around it."""
    assert found_in(cell, f"{UUID}.jpg", OTHER) == {f"{UUID}.jpg"}


@pytest.mark.parametrize(
    "cell",
    [
        PLAIN.encode(),
        json.dumps({"filename": PLAIN}).encode(),
        json.dumps(f"\n{PLAIN}\n", ensure_ascii=False).encode(),
        b"https://example.org/" + quote(PLAIN).encode(),
        b"https://example.org/?f=%2F" + quote(PLAIN).lower().encode(),
        PLAIN.upper().replace("Ö", "ö").replace("SS", "ß").encode(),
    ],
    ids=["text", "JSON", "UTF-8 in JSON", "URL", "parameter", "capitals"],
)
def test_a_plain_name_is_found_however_it_is_escaped(cell: bytes) -> None:
    """Any other name is found as a whole word, as it is and with the escapes of JSON and URLs."""
    assert found_in(cell, PLAIN, "e (1).jpg") == {PLAIN}


def test_a_part_of_a_word_is_not_the_word() -> None:
    """A name inside a longer one of letters or digits is not found; a name that contains another is."""
    assert found_in(b"xholiday.jpg", "holiday.jpg") == set()
    assert found_in(b"holiday.jpg2", "holiday.jpg") == set()
    assert found_in(b"see holiday.jpg.", "holiday.jpg", "day.jpg", "holiday") == {
        "holiday.jpg",
        "holiday",
    }
    assert found_in(b"xholiday.jpg holiday.jpg", "holiday.jpg") == {"holiday.jpg"}


@pytest.mark.parametrize(
    "cell",
    [
        BASE64,
        BASE64.rstrip(b"="),
        base64.urlsafe_b64encode(DIGEST),
        DIGEST.hex().encode(),
        DIGEST.hex().upper().encode(),
        json.dumps(BASE64.decode()).replace("/", "\\/").encode(),
        quote(BASE64, safe="").encode(),
        b"sha256/" + BASE64,
    ],
)
def test_a_digest_is_found_however_it_is_written(cell: bytes) -> None:
    """A digest is found in every way in which it is written, and no other one is."""
    other = hashlib.sha256(b"other").digest()
    assert found_in(cell, digests=(DIGEST, other)) == {DIGEST}
    assert found_in(cell[:-6], digests=(DIGEST, other)) == set()


def test_a_name_without_letters_is_looked_for_in_every_row() -> None:
    """Where nothing of a name tells rows apart, no row is passed over."""
    assert found_in("Foto: ф.ж".encode(), "ф.ж") == {"ф.ж"}
    assert found_in(json.dumps("ф.ж").encode(), "ф.ж") == {"ф.ж"}
    assert found_in(b"nothing", "ф.ж") == set()


def test_nothing_is_looked_for() -> None:
    """Where nothing is looked for, no row is a candidate."""
    assert found_in(UUID.encode()) == set()
    assert not Words((), ()).candidate(UUID.encode())


def test_rounds_add_up_and_show_nothing() -> None:
    """References of two rounds are all of both; they are never shown."""
    one = MediaReferences(frozenset({MediaReference(frozenset({UUID}))}))
    two = MediaReferences(
        frozenset({MediaReference(frozenset({OTHER}))}), frozenset({MediaReference()})
    )
    both = one | two
    assert (both.gone, both.kept) == (one.gone | two.gone, two.kept)
    assert bool(both)
    assert not MediaReferences(kept=both.gone)
    assert all(UUID not in repr(shown) for shown in (both, *both.gone))
