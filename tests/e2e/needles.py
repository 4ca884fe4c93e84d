"""What must not be found, in all the forms in which it could leak, and how it is looked for.

A secret of one kind is written in many ways: as bytes, hex, base64 at any alignment, as Python or JSON shows it, a
number also hashed. Looking takes one pass over the haystack, however many needles there are.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field

GRAM = 8
PIECE = 16


@dataclass
class Needles:
    """Forms, each with the name of what it would give away. Forms shorter than ``GRAM`` would be found by chance.

    Attributes:
        grams: the forms that begin alike.
    """

    forms: dict[bytes, str] = field(default_factory=dict[bytes, str])
    grams: dict[bytes, list[bytes]] = field(default_factory=dict[bytes, list[bytes]])

    def add_text(self, what: str, text: str) -> None:
        """A name, a message, a word."""
        raw = text.encode("utf-8", "surrogatepass")
        shown = (text, ascii(text)[1:-1], repr(text)[1:-1], json.dumps(text)[1:-1], repr(raw)[2:-1])
        for form in shown:
            self._add(what, form.encode("utf-8", "surrogatepass"))
        self._add(what, text.encode("utf-16-le", "surrogatepass"))
        self._add(what, text.encode("utf-16-be", "surrogatepass"))
        self._add_encoded(what, raw)

    def add_number(self, e164: str, country: str) -> None:
        """A phone number, however it is written, and its plain hashes.

        Args:
            country: its calling code, such as 82.
        """
        national = e164.removeprefix(f"+{country}")
        local = f"0{national[:2]}-{national[2:6]}-{national[6:]}"
        for text in (e164, e164[1:], f"0{national}", national, local, f"+{country} {local[1:]}"):
            self.add_text("a number", text)
        for written in (e164, e164[1:], f"00{e164[1:]}", f"0{national}", national):
            for name in ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b", "blake2s"):
                self.add_key(f"a number's {name}", hashlib.new(name, written.encode()).digest())
            for size in (16, 32):
                self.add_key("a number's blake2b", hashlib.blake2b(written.encode(), digest_size=size).digest())
        as_integer = int(e164[1:])
        self._add("a number as an integer", as_integer.to_bytes(8, "big"))
        self._add("a number as an integer", as_integer.to_bytes(8, "little"))

    def add_key(self, what: str, secret: bytes) -> None:
        """Bytes of 16 or more: each half of them is looked for, too."""
        for piece in {secret, secret[:PIECE], secret[-PIECE:]}:
            self._add(what, piece)
            self._add(what, repr(piece)[2:-1].encode())
            self._add(what, json.dumps(list(piece))[1:-1].encode())
            self._add_encoded(what, piece)

    def add_all(self, others: Needles) -> None:
        """What others look for."""
        for form, what in others.forms.items():
            self._add(what, form)

    def _add_encoded(self, what: str, raw: bytes) -> None:
        self._add(what, raw.hex().encode())
        self._add(what, raw.hex().upper().encode())
        for shift in range(3):
            # only the characters that depend on nothing before or after
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                written = encode(bytes(shift) + raw)
                self._add(what, written[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6])

    def _add(self, what: str, form: bytes) -> None:
        if len(form) >= GRAM and form not in self.forms:
            self.forms[form] = what
            self.grams.setdefault(form[:GRAM], []).append(form)

    def found_in(self, haystack: bytes) -> set[str]:
        """What stands in ``haystack``; each with the beginning of the form in which it does."""
        grams, found = self.grams, set[str]()
        for at in range(len(haystack) - GRAM + 1):
            for form in grams.get(haystack[at : at + GRAM], ()):
                if haystack.startswith(form, at):
                    found.add(f"{self.forms[form]}: {form[:12]!r}…")
        return found
