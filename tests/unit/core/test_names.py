"""Which names a contact may have."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import UsageError
from p2pchat.core.names import checked_name, contact_name, means_self


@pytest.mark.parametrize("name", ["self", " SELF ", "Self", "note to self", "Note To Self"])
def test_the_words_for_oneself_are_no_names(name: str) -> None:
    assert means_self(name)
    with pytest.raises(UsageError) as caught:
        contact_name(name)
    assert (caught.value.error_name, caught.value.data) == ("INVALID_PARAMS", {"param": "name"})
    assert checked_name(name) == name.strip()  # one's own may be so


@pytest.mark.parametrize("name", ["selfish", "my self", "self.", "Notes to self", "self (2)"])
def test_names_that_hold_such_a_word_are(name: str) -> None:
    assert not means_self(name)
    assert contact_name(f" {name} ") == name
