"""``axongen generate em-fibres``: myelinated fibres out of nothing, as masks and as images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_axongen.core.checking import checked
from napari_axongen.core.errors import InputError
from napari_axongen.core.parameters import unheeded_by
from napari_axongen.core.surrogate.em_parameters import (
    OF_IMAGES,
    PRESETS,
    EmFibreParameters,
    Preset,
)

from .bulk import workers
from .console import follow, tell
from .generate import Devices
from .options import Scheduler, choices, given, in_vain, with_options

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
            "rat spinal cord (sem); omitted, that of the contrast. The options given beside it "
            "come first."
        ),
    ] = Presets.tem,
    contrast: Annotated[
        Presets | None,
        typer.Option(
            help="Make images of this contrast, too, by a model (--method); unless --pixel-size is "
            "given, at the pixel size at which it works."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="The model of the method; auto: one that makes the contrast.")
    ] = "auto",
    device: Annotated[Devices, typer.Option(help="Where to render the images.")] = Devices.auto,
    scheduler: Scheduler = None,
) -> None:
    """Make masks of myelinated fibres, and electron micrographs of them.

    Writes NNNNN_seg-axonmyelin.png (0 background, 127 myelin, 255 axon), NNNNN_instances.tif,
    NNNNN_unmyelinated.png if there are any, with --contrast the image NNNNN.tif, and fibres.csv and
    parameters.json.
    """
    from napari_axongen.core.surrogate.em_export import em_fibres_steps
    from napari_axongen.core.surrogate.em_laws import suited
    from napari_axongen.core.surrogate.em_layout import check

    unheeded = given(context, (*OF_IMAGES, "model"))
    if unheeded and not contrast:
        raise typer.BadParameter(
            "without images it is of no use; name their --contrast, tem or sem.",
            param_hint=f"--{unheeded[0]}",
        )
    tissue = contrast if contrast and not given(context, ["preset"]) else preset
    values = parameters.model_dump(exclude_unset=True)
    chosen = checked(EmFibreParameters, PRESETS[tissue.value].model_dump() | values)
    renderer = None
    try:
        if contrast:
            from napari_axongen.core.surrogate.em_images import EmRenderer

            renderer = EmRenderer.of(contrast.value, model, device.value, chosen.method)
            if "pixel_size" not in values:
                chosen = suited(chosen, renderer.model.card.axon_diameter)
        check(chosen)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    heedless = [*in_vain(unheeded_by(chosen.method), values, f"with --method {chosen.method}")]
    if not chosen.unmyelinated:
        heedless += in_vain(
            ("unmyelinated_mean", "unmyelinated_sd"), values, "without --unmyelinated"
        )
    if not contrast:
        heedless += in_vain(["device"], given(context, ["device"]), "without --contrast")
    for notice in heedless:
        tell("em-fibres", notice)
    with workers(scheduler, device.value) as cluster:
        steps = em_fibres_steps(chosen, count, seed, out, resume, renderer, cluster)
        typer.echo(follow(steps, "em-fibres"))
