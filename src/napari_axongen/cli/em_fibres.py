"""``axongen generate em-fibres``: masks of myelinated fibres out of nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_axongen.core.checking import checked
from napari_axongen.core.errors import InputError
from napari_axongen.core.surrogate.em_parameters import PRESETS, EmFibreParameters, Preset

from .console import follow
from .options import choices, with_options

Presets = choices("Presets", Preset)


@with_options(EmFibreParameters)
def em_fibres(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the images, new or empty.")],
    parameters: EmFibreParameters,
    count: Annotated[int, typer.Option(min=1, help="Images.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same images.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what was stopped.")] = False,
    preset: Annotated[
        Presets,
        typer.Option(
            help="Tissue: mouse corpus callosum (tem; its values are the defaults shown below) or "
            "rat spinal cord (sem). The options given beside it come first."
        ),
    ] = Presets.tem,
) -> None:
    """Make masks of myelinated fibres, as in electron micrographs.

    Writes NNNNN_seg-axonmyelin.png (0 background, 127 myelin, 255 axon), NNNNN_instances.tif,
    NNNNN_unmyelinated.png if there are any, fibres.csv and parameters.json.
    """
    from napari_axongen.core.surrogate.em_export import em_fibres_steps
    from napari_axongen.core.surrogate.em_layout import check

    given = {
        name: value
        for name, value in parameters.model_dump().items()
        if getattr(context.get_parameter_source(name), "name", "") != "DEFAULT"
    }
    chosen = checked(EmFibreParameters, PRESETS[preset.value].model_dump() | given)
    try:
        check(chosen)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(follow(em_fibres_steps(chosen, count, seed, out, resume), "em-fibres"))
