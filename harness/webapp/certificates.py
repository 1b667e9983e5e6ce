"""Certificates for tests of TLS: a CA of one's own, and what it signed, well or badly."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY: Final = timedelta(days=1)
_LOOPBACK: Final = ipaddress.ip_address("127.0.0.1")


class Certificate(StrEnum):
    """What a server's certificate is worth to who trusts the CA."""

    GOOD = "good"
    OTHER_HOST = "for another host"
    EXPIRED = "expired"
    SELF_SIGNED = "self-signed"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Files in PEM: the CA's certificate, the server's, and the server's key."""

    ca: Path
    cert: Path
    key: Path


def make(folder: Path, kind: Certificate) -> CertificateFiles:
    """Write a CA, and a certificate of a server at 127.0.0.1, into a folder."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name, name = _named("Stand-in CA"), _named("stand-in")
    ca = _signed(ca_name, ca_key, ca_name, ca_key, lasts=_DAY, is_ca=True)
    issuer, signer = (name, key) if kind is Certificate.SELF_SIGNED else (ca_name, ca_key)
    lasts = -_DAY if kind is Certificate.EXPIRED else _DAY
    is_elsewhere = kind is Certificate.OTHER_HOST
    cert = _signed(name, key, issuer, signer, lasts=lasts, is_elsewhere=is_elsewhere)
    files = CertificateFiles(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    files.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    files.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    files.key.touch(mode=0o600)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _signed(  # noqa: PLR0913  # what a certificate says
    name: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    *,
    lasts: timedelta,
    is_ca: bool = False,
    is_elsewhere: bool = False,
) -> x509.Certificate:
    now = datetime.now(UTC)
    hosts: list[x509.GeneralName] = [x509.DNSName("webapp.example.org")]
    if not is_elsewhere:
        hosts = [x509.IPAddress(_LOOPBACK), x509.DNSName("localhost")]
    signer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * _DAY)
        .not_valid_after(now + lasts)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(signer_key, critical=False)
    )
    if is_ca:
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    else:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    return builder.sign(signer, hashes.SHA256())
