"""What stands in the input is shown without an effect on the terminal: pasted text is somebody else's, too."""

from __future__ import annotations

from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput

from p2pchat.api.text import is_safe


class Masked(Processor):
    """Shows a question mark for every character that the library would pass on and ``api.text`` calls unsafe."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        fragments = transformation_input.fragments
        return Transformation([(style, _masked(text)) for style, text, *_ in fragments])


def _masked(text: str) -> str:
    """As many characters, so that the cursor stays where it is; controls the library shows by itself, as in ^X."""
    if is_safe(text):
        return text
    return "".join(each if each < "\xa0" or is_safe(each) else "?" for each in text)
