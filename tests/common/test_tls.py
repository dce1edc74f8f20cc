"""TLS and mutual TLS, with certificates made here."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from honeyguide.api.retrieval.v1.retriever_pb2_grpc import RetrieverServiceStub
from honeyguide.client import RemoteConnection
from honeyguide.config import CommonSettings
from honeyguide.errors import FailedPrecondition, Unavailable
from honeyguide_standalone.commands.session import connect


class Authority:
    """Signs certificates for 127.0.0.1 and writes them as PEM files."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = self._build(self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.certificate = folder / f"{name}.pem"
        self.certificate.write_bytes(self._sign(own))

    def issue(self, name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        signed = self._build(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key).add_extension(host, False)
        certificate, private = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(self._sign(signed))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, private

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path, "authority")


def settings(ca: Authority, pair: tuple[Path, Path] | None = None, **more) -> dict:
    certificate, key = pair or (None, None)
    return {"tls_ca": ca.certificate, "tls_certificate": certificate, "tls_key": key, **more}


async def answers(port: int, ask, **common) -> bool:
    connection = RemoteConnection(f"127.0.0.1:{port}", CommonSettings(**common))
    try:
        response = await connection.stub(RetrieverServiceStub).Retrieve(ask("plum"), timeout=5)
        return len(response.results) == 1
    except Unavailable:
        return False
    finally:
        await connection.close()


async def test_tls(serve, ask, authority, tmp_path):
    other = Authority(tmp_path, "other")
    async with serve(**settings(authority, authority.issue("server"))) as server:
        assert await answers(server.port, ask, **settings(authority))
        assert not await answers(server.port, ask, **settings(other))
        assert not await answers(server.port, ask)


async def test_mutual_tls(serve, ask, authority, tmp_path):
    other = Authority(tmp_path, "other")
    common = settings(authority, authority.issue("server"), tls_client_required=True)
    async with serve(**common) as server:
        assert await answers(server.port, ask, **settings(authority, authority.issue("client")))
        assert not await answers(server.port, ask, **settings(authority, other.issue("stranger")))
        assert not await answers(server.port, ask, **settings(authority))


async def test_the_command_line_without_an_authority_is_told_which_setting_names_one(
    serve, authority, monkeypatch, tmp_path
):
    certificate, key = authority.issue("server")
    async with serve(tls_certificate=certificate, tls_key=key) as server:
        for ca, hinted in ((None, True), (Authority(tmp_path, "another").certificate, False)):
            if ca:
                monkeypatch.setenv("HONEYGUIDE_TLS_CA", str(ca))
            with pytest.raises(FailedPrecondition, match="does not answer") as raised:
                async with connect(f"127.0.0.1:{server.port}", tmp_path) as (api, _, _):
                    await api.stats()
            assert ("HONEYGUIDE_TLS_CA names the PEM file" in raised.value.message) is hinted
