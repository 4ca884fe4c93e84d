"""core/crypto against every vector of Project Wycheproof (C2SP, Apache-2.0) for the primitives in use.

The files are beside the checkout, in ``shared/vectors/wycheproof``. Where they are not, these tests are skipped, and
the selection in ``primitives.json`` has to do. A vector is:

- *valid*: our function gives the result. Encapsulation draws its own randomness, so of a valid ML-KEM key only that it
  is taken is seen.
- *invalid*: our function refuses, with the error that it declares, or False from ``verify``. HKDF has no error of its
  own: a length beyond 8160 bytes is a defect of the caller, and raises ValueError.
- *acceptable*: only X25519 has such. PROTOCOL.md 0 decides: where the result is all zero the key is refused; all the
  others, on the twist or not reduced, give the result.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2pchat.base.errors import DecryptionError, HandshakeError
from p2pchat.core import crypto

Case = dict[str, Any]
FOLDER = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "wycheproof"
H = bytes.fromhex

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the vectors of Wycheproof are not beside the checkout")


def says(case: Case, result: str) -> bool:
    return bool(case["result"] == result)


def x25519(case: Case) -> bool:
    try:
        shared = crypto.x25519(H(case["private"]), H(case["public"]))
    except HandshakeError:
        return says(case, "acceptable") and not any(H(case["shared"]))
    return shared == H(case["shared"]) and any(shared)


def ed25519(case: Case) -> bool:
    taken = crypto.verify(H(case["publicKey"]["pk"]), H(case["msg"]), H(case["sig"]))
    return taken == says(case, "valid")


def xchacha20_poly1305(case: Case) -> bool:
    key, nonce, aad, message = (H(case[name]) for name in ("key", "iv", "aad", "msg"))
    sealed = H(case["ct"]) + H(case["tag"])
    try:
        opened = crypto.aead_open(key, nonce, sealed, aad)
    except DecryptionError:
        return says(case, "invalid")
    return says(case, "valid") and opened == message and crypto.aead_seal(key, nonce, message, aad) == sealed


def hkdf_sha256(case: Case) -> bool:
    try:
        okm = crypto.hkdf(H(case["salt"]), H(case["ikm"]), H(case["info"]), case["size"])
    except ValueError:
        return says(case, "invalid")
    return says(case, "valid") and okm == H(case["okm"])


def mlkem_768(case: Case) -> bool:
    seed = H(case["seed"])
    try:
        shared = crypto.kem_decapsulate(seed, H(case["c"]))
    except HandshakeError:
        return says(case, "invalid")
    return says(case, "valid") and shared == H(case["K"]) and crypto.kem_public(seed) == H(case["ek"])


def mlkem_768_encaps(case: Case) -> bool:
    try:
        shared, ciphertext = crypto.kem_encapsulate(H(case["ek"]))
    except HandshakeError:
        return says(case, "invalid")
    return says(case, "valid") and (len(shared), len(ciphertext)) == (32, crypto.KEM_CIPHERTEXT_BYTES)


FILES: dict[str, Callable[[Case], bool]] = {
    f"{holds.__name__}_test.json": holds
    for holds in (x25519, ed25519, xchacha20_poly1305, hkdf_sha256, mlkem_768, mlkem_768_encaps)
}


def test_no_file_is_left_out() -> None:
    assert {path.name for path in FOLDER.iterdir()} == FILES.keys()


@pytest.mark.parametrize("name", FILES)
def test_every_vector_holds(name: str) -> None:
    content = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    cases = [{**group, **case} for group in content["testGroups"] for case in group["tests"]]
    assert len(cases) == content["numberOfTests"] > 0
    assert {case["result"] for case in cases} <= {"valid", "invalid", "acceptable"}
    assert sum(case["result"] != "valid" for case in cases) > 0
    assert [(case["tcId"], case["result"], case["flags"]) for case in cases if not FILES[name](case)] == []
