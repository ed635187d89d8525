"""Models under another name."""

from __future__ import annotations

from pathlib import Path

from napari_axongen.core.checking import checked
from napari_axongen.core.files import write_bytes

from .card import CARD_KEY, Card
from .store import find_model, free_place, import_model, load_card, load_network


def import_as(path: Path | str, name: str | None, replace: bool = False) -> Card:
    """Check a model and keep a copy of it among the user's models, under a name of its own.

    Parameters
    ----------
    path
        Its file, or the folder of the run that made it.
    name
        Of the copy; None: that of the model. The weights stay as they are stored.
    replace
        Let it take the place of a model of the user with the same name.

    Returns
    -------
    The card of the copy.

    Raises
    ------
    InputError
        Not a usable model (see `store.load_network`), a name that cannot be one or that is taken,
        or the copy cannot be written.
    """
    from safetensors.torch import load_file, save

    source = find_model(Path(path))
    if name is None:
        return import_model(source, replace)
    load_network(source)  # checked whole, as when it is used
    card = checked(Card, {**dict(load_card(source)), "name": name})
    target = free_place(name, source, replace)
    write_bytes(target, save(load_file(source), {CARD_KEY: card.model_dump_json()}))
    return card
