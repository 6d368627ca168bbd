"""The checks of `application.tls`: its keys together, and the files that they name."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.config.keys import Tls, TlsMode, TlsRequirement
from gateway.config.values import on_one_line
from gateway.tls.certificates import CertificateError, CertificateFiles, is_directory, read_authorities

TERMINATING = (TlsMode.FLEXIBLE, TlsMode.FULL, TlsMode.STRICT)
TO_ORIGIN = (TlsMode.FULL, TlsMode.STRICT)


def certificate_files(certificate: str, key: str | None) -> CertificateFiles:
    """The files of a certificate and its key."""
    return CertificateFiles(Path(certificate), None if key is None else Path(key))


def mistakes(path: str, tls: Mapping[str, Any]) -> Iterator[str]:
    """The mistakes between the keys, as `path: text`.

    :param tls: the keys that could be read, or were left out.
    """
    if "mode" in tls:
        yield from _needs(path, tls, tls["mode"])
    for certificate, key in (("certificate", "key"), ("origin_certificate", "origin_key")):
        chain, private = tls.get(certificate), tls.get(key)
        if chain is None:
            if private is not None and certificate in tls:
                yield f"{path}.{key}: needs {certificate}"
            continue
        if private is not None and is_directory(Path(chain)):
            yield f"{path}.{key}: must be left out if {certificate} is a directory; each file in it holds its key"
            continue
        if key in tls:
            try:
                certificate_files(chain, private).read()
            except CertificateError as error:
                yield f"{path}.{certificate}: {on_one_line(str(error))}"
    if (authorities := tls.get("origin_ca")) is not None:
        try:
            read_authorities(Path(authorities))
        except CertificateError as error:
            yield f"{path}.origin_ca: {on_one_line(str(error))}"


def _needs(path: str, tls: Mapping[str, Any], mode: TlsMode) -> Iterator[str]:
    if mode in TERMINATING and tls.get("certificate", "unreadable") is None:
        yield f'{path}.certificate: must be given in mode "{mode.value}"'
    needed = (
        ("implicit", False, TERMINATING),
        ("require", TlsRequirement.NONE, TERMINATING),
        ("origin_ca", None, (TlsMode.STRICT,)),
        ("origin_name", None, (TlsMode.STRICT,)),
        ("origin_implicit", False, TO_ORIGIN),
        ("origin_certificate", None, TO_ORIGIN),
    )
    for key, unset, modes in needed:
        if tls.get(key, unset) != unset and mode not in modes:
            names = " or ".join(f'"{one.value}"' for one in modes)
            yield f'{path}.{key}: does nothing in mode "{mode.value}"; it needs {names}'


def advice(path: str, tls: Tls) -> Iterator[str]:
    """The settings that are no mistake but may not be meant, as `path: text`."""
    if tls.mode is TlsMode.PASSTHROUGH:
        yield (
            f"{path}.mode: whoever gets a 234 from the origin, even without a login, can take other clients' data "
            "connections unless the origin checks that each resumes the TLS session of its own control connection; "
            "end TLS at the gateway, or make sure that the origin checks it"
        )
    for key, chain, private in (
        ("certificate", tls.certificate, tls.key),
        ("origin_certificate", tls.origin_certificate, tls.origin_key),
    ):
        if chain is not None:
            for certificate in certificate_files(chain, private).read().expired():
                ended = certificate.chain[0].not_valid_after_utc
                yield f"{path}.{key}: a certificate in {on_one_line(chain)} expired on {ended:%Y-%m-%d}"
