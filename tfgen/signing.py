"""Signed statements of how a picture was made: manifests of C2PA.

Who changes the file after it was signed makes the signature wrong; who deletes the
manifest leaves no trace. C2PA, Technical Specification 2.1, 2024,
https://c2pa.org/specifications/specifications/2.1/specs/C2PA_Specification.html.
"""

import io
import json
import os
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from tfgen.provenance import (
    VOCABULARY,
    has_manifest,
    name_source,
    rank_source,
    read_source,
    read_xmp,
)
from tfgen.writing import check_path, write_whole

INSTALL = 'python -m pip install "tfgen[c2pa]"'
FORMATS = "JPEG", "PNG", "WEBP", "TIFF"
SETTINGS = {  # small files, and nothing is fetched
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}


def sign_image(path, *, certificate, private_key, source=None, original=None):
    """Put a signed manifest of C2PA into an image file, as the last thing done to it.

    The pixels and the other metadata stay. The manifest says how the picture was made,
    and that tfgen says so in the name of who owns the certificate. Nothing is sent
    anywhere; without the time stamp of a server the signature ends with the
    certificate. Needs the package c2pa-python.

    Parameters
    ----------
    path : str or Path
        A PNG, JPEG, WebP or TIFF file; it is replaced, as a whole.
    certificate : str or Path
        A PEM file: the certificate, then those that issued it. It must not have signed
        itself, and needs an organization, the key usage digitalSignature and the
        extended key usage emailProtection, or another that C2PA accepts.
    private_key : str or Path
        A PEM file: its key, PKCS #8, of the curve P-256, for the algorithm ES256.
    source : str or None
        As for `save_image`. None takes what the XMP of the file states; another one
        than that is refused.
    original : str, Path or None
        The file that this one was made from, whose manifest is kept; None takes the
        file itself, if that is signed. The source is then that of an edit
        (c2pa.edited), else of a creation (c2pa.created).

    Raises
    ------
    ValueError
        If the package is missing, a file cannot be read, written or signed, or the
        certificate or key is not accepted.
    """
    c2pa = import_c2pa()
    check_path(path)
    kind, content, stated, signed = _read_image(path)
    name = name_source(stated if source is None and stated else source)
    if stated not in (None, name):
        raise ValueError(f"Cannot sign {path} as {name}: its XMP says {stated}.")
    parent = path if signed and original is None else original
    action = "c2pa.created" if parent is None else "c2pa.edited"
    actions = [{"action": action, "digitalSourceType": VOCABULARY + name}]
    manifest = {
        "claim_generator_info": [{"name": "tfgen"}],
        "assertions": [{"label": "c2pa.actions", "data": {"actions": actions}}],
    }
    pems = [_read_bytes(file) for file in (certificate, private_key)]
    context, output = c2pa.Context.from_dict(SETTINGS), io.BytesIO()
    try:
        signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", *pems, None))
        with signer, c2pa.Builder(manifest, context) as builder:
            if parent is not None:  # the package then adds c2pa.opened
                builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
                form, old, *_ = _read_image(parent)
                relation = {"relationship": "parentOf"}
                builder.add_ingredient(relation, form, io.BytesIO(old))
            builder.sign(signer, kind, io.BytesIO(content), output)
    except c2pa.C2paError as error:
        raise ValueError(f"Cannot sign {path}: {_reason(error)}.") from None
    problem = read_manifest(kind, output)["problem"]
    if problem is not None:
        raise ValueError(f"Cannot sign {path}: {problem}.")
    write_whole(path, output.getvalue())


def read_manifest(kind, file, trust=None):
    """What the newest manifest of an image file says, and whether that is signed.

    Manifests of the files that it was made from are not looked at.

    Parameters
    ----------
    kind : str
        Such as "image/png".
    file : file
        Open for reading bytes.
    trust : str, Path or None
        A PEM file of certificates that are trusted to issue others.

    Returns
    -------
    dict
        "problem": why the signature is not valid, or None; "trusted": whether one of
        `trust` vouches for the signer; "signer": names, which anyone can choose who is
        not trusted; "source": a name of `TYPES`, another text, or None.

    Raises
    ------
    ValueError
        If the package is missing, or `trust` cannot be read.
    """
    c2pa = import_c2pa()
    settings = SETTINGS
    if trust is not None:
        anchors = _read_certificates(trust)
        settings = SETTINGS | {"trust": {"trust_anchors": anchors}}
    context = c2pa.Context.from_dict(settings)
    file.seek(0)
    try:
        with c2pa.Reader(kind, file, context=context) as reader:
            return _sum_up(json.loads(reader.json()))
    except c2pa.C2paError as error:
        reason = _reason(error)
    except (AttributeError, KeyError, TypeError, ValueError):
        reason = "its content is of an unusual form"
    problem = f"it cannot be read ({reason})"
    return {"problem": problem, "trusted": False, "signer": "", "source": None}


def _sum_up(store):
    """What `read_manifest` returns, from the report of the package."""
    manifest = store["manifests"][store["active_manifest"]]
    state, problem = store["validation_state"], None
    if state not in ("Valid", "Trusted"):
        reasons = [
            "the file was changed after it was signed"
            if failure["code"].endswith("Hash.mismatch")
            else failure.get("explanation") or failure["code"]
            for failure in store.get("validation_status", [])
            if failure["code"] != "signingCredential.untrusted"
        ]
        problem = ", ".join(dict.fromkeys(reasons))[:200] or "no reason is known"
    signature = manifest.get("signature_info", {})
    names = [signature.get("common_name"), signature.get("issuer")]
    sources = [
        action["digitalSourceType"].replace("https:", "http:")
        for assertion in manifest["assertions"]
        if assertion["label"].startswith("c2pa.actions")
        for action in assertion["data"]["actions"]
        if "digitalSourceType" in action
    ]
    sources = [source.removeprefix(VOCABULARY)[:100] for source in sources]
    return {
        "problem": problem,
        "trusted": state == "Trusted",
        "signer": ", ".join(dict.fromkeys(name[:100] for name in names if name)),
        "source": max(sources, key=rank_source, default=None),
    }


def import_c2pa():
    """The package `c2pa`, or ValueError that says how to get it."""
    try:
        import c2pa
    except ImportError:
        raise ValueError(f"Signatures need one more package: {INSTALL}") from None
    return c2pa


def _read_image(path):
    """The kind of an image file, its bytes, its source by XMP, and if it is signed."""
    content = _read_bytes(path)
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.format not in FORMATS:
                raise ValueError(f"it is {image.format}, not {', '.join(FORMATS)}")
            signed = has_manifest(image)
            image.load()  # a PNG may say more behind the pixels
            stated = read_source(read_xmp(image))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, UnidentifiedImageError):
            error = "it is not an image that Pillow knows"
        raise ValueError(f"Cannot sign {path}: {error}.") from None
    return f"image/{image.format.lower()}", content, stated, signed


def _read_certificates(path):
    from cryptography import x509  # which the package needs, too

    content = _read_bytes(path)
    try:
        x509.load_pem_x509_certificates(content)
    except ValueError:
        raise ValueError(f"Cannot read {path}: it holds no certificate.") from None
    return content.decode("ascii", "replace")


def _read_bytes(path):
    try:
        return Path(os.fsdecode(path)).read_bytes()
    except OSError as error:
        raise ValueError(f"Cannot read {path}: {error.strerror or error}.") from None


def _reason(error):
    """What the package says, without the name of its error."""
    return str(error).partition(": ")[2] or str(error)
