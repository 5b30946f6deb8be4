"""Certificates of a model's layers in one JSON file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from eplb_opt.certificates.certificate import Certificate
from eplb_opt.errors import FormatError
from eplb_opt.io.containers.plain_json import read_json
from eplb_opt.io.files import naming, open_checked, write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.io.files import PathLike

#: Key of the list, and with it the mark of the format.
KEY = "eplb_opt_certificates"


def write_certificates(path: PathLike, certificates: Sequence[Certificate | None]) -> None:
    """Write one entry a layer, null where none is needed or there is none.

    Raises
    ------
    FormatError
        When the file cannot be written; an old one is left as it was.
    """
    layers = [None if one is None else one.to_dict() for one in certificates]
    write_atomically(path, json.dumps({KEY: layers}).encode())


def read_certificates(path: PathLike) -> list[Certificate | None]:
    """The certificates of a file; nothing in them is believed until they are verified.

    Raises
    ------
    FormatError
        When the file holds anything else.
    """
    with naming(path):
        document = read_json(open_checked(path))
        if not isinstance(document, dict) or set(document) != {KEY}:
            raise FormatError(f"certificates are an object with the one key {KEY}.")
        layers = document[KEY]
        if not isinstance(layers, list):
            raise FormatError(f"{KEY} is a {type(layers).__name__}, not a list of layers.")
        return [None if layer is None else Certificate.from_dict(layer) for layer in layers]
