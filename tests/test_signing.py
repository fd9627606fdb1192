"""Signed manifests: what they say, what makes them wrong, and who is believed."""

import datetime
import io
import socket
import sys

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image
from test_inspect import inspect

import tfgen
from tfgen import provenance, signing

IMAGE = np.random.default_rng(0).uniform(size=(16, 24, 3)).astype(np.float32)
ENDINGS = ["png", "jpg", "webp", "tif"]
KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "leaf")}
TODAY = datetime.datetime.now(datetime.UTC)


def certify(key="leaf", issuer="root", *, authority=False, purpose=True, days=30):
    """A certificate, as PEM, for the key of a name by that of another name."""
    public, signer = KEYS[key].public_key(), KEYS[issuer]
    usage = [not authority, *[False] * 4, authority, authority, False, False]
    extensions = {
        x509.BasicConstraints(authority, None): True,
        x509.KeyUsage(*usage): True,
        x509.SubjectKeyIdentifier.from_public_key(public): False,
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()): False,
    }
    if purpose and not authority:
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        extensions[purposes] = False
    builder = x509.CertificateBuilder(
        issuer_name(issuer),
        issuer_name(key),
        public,
        x509.random_serial_number(),
        TODAY - datetime.timedelta(99),
        TODAY + datetime.timedelta(days),
    )
    for extension, critical in extensions.items():
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(signer, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM)


def issuer_name(name):
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"The {name}"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "tfgen's tests"),
        ]
    )


def dump(key, form=serialization.PrivateFormat.PKCS8):
    return KEYS[key].private_bytes(
        serialization.Encoding.PEM, form, serialization.NoEncryption()
    )


@pytest.fixture(scope="module")
def pems(tmp_path_factory):
    """The two files that signing needs, and the one that checking does."""
    folder = tmp_path_factory.mktemp("pems")
    root = certify("root", authority=True)
    (folder / "root.pem").write_bytes(root)
    (folder / "chain.pem").write_bytes(certify() + root)
    (folder / "key.pem").write_bytes(dump("leaf"))
    return folder


@pytest.fixture
def signer(pems):
    return {"certificate": pems / "chain.pem", "private_key": pems / "key.pem"}


def read(path, trust=None):
    with open(path, "rb") as file, Image.open(path) as image:
        kind = f"image/{image.format.lower()}"
        return signing.read_manifest(kind, file, trust)


def load(path):
    with Image.open(path) as image:
        signed = provenance.has_manifest(image)
        return np.asarray(image), provenance.read_xmp(image), signed


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_signed_file(tmp_path, signer, pems, ending, capsys):
    path = tmp_path / f"image.{ending}"
    tfgen.save_image(path, IMAGE, source="generated")
    pixels, xmp, signed = load(path)
    size = path.stat().st_size
    assert signed is False
    assert inspect(capsys, path)["C2PA"] == "no manifest"
    tfgen.sign_image(path, **signer)
    again, xmp_again, signed = load(path)
    np.testing.assert_array_equal(pixels, again)
    assert xmp_again == xmp and signed is True
    assert path.stat().st_size < size + 5000  # without a small picture
    expected = {
        "problem": None,
        "trusted": False,
        "signer": "The leaf, tfgen's tests",
        "source": "trainedAlgorithmicMedia",
    }
    assert read(path) == expected
    assert read(path, pems / "root.pem") == expected | {"trusted": True}
    lines = inspect(capsys, path)
    assert lines["C2PA"] == (
        "a valid signature under: made by a trained model (trainedAlgorithmicMedia)"
    )
    assert lines["signer"].startswith("The leaf, tfgen's tests; not trusted: anyone ")
    assert lines["notes"] == ""
    lines = inspect(capsys, path, "--trust", pems / "root.pem")
    assert lines["signer"].endswith(f"; trusted by {pems / 'root.pem'}")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_byte_of_the_pixels(tmp_path, signer, pems, ending, capsys):
    path = tmp_path / f"image.{ending}"
    tfgen.save_image(path, IMAGE, source=None)
    before = path.read_bytes()
    tfgen.sign_image(path, source="digitalCapture", **signer)
    content = bytearray(path.read_bytes())
    middle = before[len(before) // 2 :][:40]  # which signing may move
    content[content.index(middle)] ^= 1
    path.write_bytes(content)
    found = read(path, pems / "root.pem")
    assert found["problem"] == "the file was changed after it was signed"
    assert not found["trusted"]
    if ending in ("jpg", "tif"):  # of the others Pillow sees the damage
        lines = inspect(capsys, path, "--trust", pems / "root.pem")
        assert lines["C2PA"].startswith("a signature that is not valid: the file was")
        assert "not trusted" in lines["signer"]


def test_every_source(tmp_path, signer):
    path = tmp_path / "image.png"
    tfgen.save_image(path, IMAGE, source=None)
    content = path.read_bytes()
    for name in (*provenance.TYPES, *provenance.SOURCES):
        path.write_bytes(content)
        tfgen.sign_image(path, source=name, **signer)
        assert read(path)["source"] == provenance.SOURCES.get(name, name)


def list_manifests(path):
    import c2pa

    with c2pa.Reader(str(path)) as reader:
        store = signing.json.loads(reader.json())
    newest = store["manifests"][store["active_manifest"]]
    actions = newest["assertions"][0]["data"]["actions"]
    return len(store["manifests"]), [action["action"] for action in actions]


def test_what_came_before_is_kept(tmp_path, signer):
    photo, restored = tmp_path / "photo.jpg", tmp_path / "restored.png"
    tfgen.save_image(photo, IMAGE, source="digitalCapture")
    tfgen.save_image(restored, IMAGE, source="enhanced")
    content = restored.read_bytes()
    edit = ["c2pa.opened", "c2pa.edited"]
    tfgen.sign_image(restored, original=photo, **signer)
    assert list_manifests(restored) == (1, edit)
    tfgen.sign_image(photo, **signer)
    assert list_manifests(photo) == (1, ["c2pa.created"])
    restored.write_bytes(content)
    tfgen.sign_image(restored, original=photo, **signer)
    assert list_manifests(restored) == (2, edit)
    tfgen.sign_image(restored, **signer)  # once more
    assert list_manifests(restored) == (3, edit)
    assert read(restored)["source"] == "algorithmicallyEnhanced"


def test_certificates_and_keys_that_are_refused(tmp_path, signer):
    path, pem = tmp_path / "image.png", tmp_path / "other.pem"
    tfgen.save_image(path, IMAGE, source="generated")
    content, root = path.read_bytes(), certify("root", authority=True)
    itself = certify("leaf", "leaf", authority=True, purpose=False)
    for role, text, reason in (
        ("certificate", itself, "self-signed"),
        ("certificate", root + certify(), "self-signed"),  # the wrong order
        ("certificate", certify(purpose=False) + root, "certificate is invalid"),
        ("certificate", certify(days=-1) + root, "not valid at time of signing"),
        ("certificate", b"no PEM", "does not contain signing certificate"),
        ("private_key", b"no PEM", "invalid ES256 private key"),
        ("private_key", dump("root"), "signature does not match"),
        (
            "private_key",
            dump("leaf", serialization.PrivateFormat.TraditionalOpenSSL),
            "PKCS#8",
        ),
    ):
        pem.write_bytes(text)
        with pytest.raises(ValueError, match=f"Cannot sign .*image.png: .*{reason}"):
            tfgen.sign_image(path, **signer | {role: pem})
    pem.unlink()
    for role in signer:
        with pytest.raises(ValueError, match="Cannot read .*other.pem: No such file"):
            tfgen.sign_image(path, **signer | {role: pem})
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_files_and_sources_that_are_refused(tmp_path, signer):
    path = tmp_path / "image.png"
    with pytest.raises(ValueError, match="Cannot read .*image.png: No such file"):
        tfgen.sign_image(path, source="generated", **signer)
    with pytest.raises(ValueError, match="folder does not exist"):
        tfgen.sign_image(tmp_path / "a" / "b.png", source="generated", **signer)
    for form, reason in (("GIF", "it is GIF, not JPEG, PNG"), ("", "Pillow")):
        path.write_bytes(b"no picture")
        if form:
            Image.new("L", (8, 8)).save(path, form)
        with pytest.raises(ValueError, match=f"Cannot sign .*: .*{reason}"):
            tfgen.sign_image(path, source="generated", **signer)
    tfgen.save_image(path, IMAGE, source="enhanced")
    content = path.read_bytes()
    with pytest.raises(ValueError, match="as digitalCapture: its XMP says algorithm"):
        tfgen.sign_image(path, source="digitalCapture", **signer)
    with pytest.raises(ValueError, match="Cannot read .*none.jpg: No such file"):
        tfgen.sign_image(path, original=tmp_path / "none.jpg", **signer)
    assert path.read_bytes() == content
    path.write_bytes(content[:-60])
    with pytest.raises(ValueError, match="Cannot sign .*image.png"):
        tfgen.sign_image(path, **signer)
    tfgen.save_image(path, IMAGE, source=None)
    for source in (None, "real"):
        with pytest.raises(ValueError, match="must be one of enhanced, mixed"):
            tfgen.sign_image(path, source=source, **signer)


def test_damaged_manifests(tmp_path, signer, capsys):
    path = tmp_path / "image.jpg"
    tfgen.save_image(path, IMAGE, source="generated")
    tfgen.sign_image(path, **signer)
    content, good = path.read_bytes(), read(path)
    start, rng = content.index(b"\xff\xeb"), np.random.default_rng(0)
    length = int.from_bytes(content[start + 2 : start + 4])
    for place in [2, 10, 14, *rng.integers(length, size=300)]:
        damaged = bytearray(content)
        damaged[start + place] ^= int(rng.integers(1, 256))
        found = signing.read_manifest("image/jpeg", io.BytesIO(damaged))
        assert found["problem"] or found == good  # in what fills up the space
    path.write_bytes(content.replace(b"jumdc2pa", b"jumpc2pa"))
    lines = inspect(capsys, path)
    assert lines["C2PA"].startswith("a signature that is not valid: it cannot be read")
    assert "signer" not in lines
    assert lines["source"].startswith("made by a trained model")  # of the XMP


def test_a_wrong_list_of_trust(here, signer, fails):
    tfgen.save_image("image.png", IMAGE, source="generated")
    tfgen.sign_image("image.png", **signer)
    fails("inspect image.png --trust none.pem", "Cannot read none.pem: No such file")
    for text in (b"", b"no PEM", certify()[:200], certify()[:200] + certify()[265:]):
        (here / "bad.pem").write_bytes(text)
        fails("inspect image.png --trust bad.pem", "Cannot read bad.pem: ")


def test_nothing_is_fetched(tmp_path):
    """From an address in the XMP, at which a manifest may be."""
    path = tmp_path / "image.png"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/image.c2pa"
        statement = (
            f'xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="{address}"'
        )
        xmp = provenance.add_source(None, "generated").decode()
        xmp = xmp.replace("<rdf:Description", f"<rdf:Description {statement}")
        text = provenance.xmp_options("PNG", xmp.encode())
        Image.new("L", (8, 8)).save(path, **text)
        assert address in read(path)["problem"]
        with pytest.raises(TimeoutError):
            server.accept()


def test_without_the_package(tmp_path, signer, monkeypatch, capsys):
    path = tmp_path / "image.png"
    tfgen.save_image(path, IMAGE, source="generated")
    tfgen.sign_image(path, **signer)
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(ValueError, match=r'pip install "tfgen\[c2pa\]"'):
        tfgen.sign_image(path, **signer)
    assert inspect(capsys, path)["C2PA"] == (
        "a manifest, whose signature was not checked: that needs python -m pip "
        'install "tfgen[c2pa]"'
    )
