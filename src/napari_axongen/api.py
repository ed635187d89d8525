"""The verbs as plain functions, for scripts and notebooks: ``napari_axongen.segment(...)``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import image_of, lines_of, mask_of
from .core.checking import checked
from .core.errors import InputError
from .core.events import Event, run
from .core.parameters import SegmentParameters, TranslateParameters

if TYPE_CHECKING:
    from .core.experiments import Experiment
    from .core.experiments.evaluating import Evaluation
    from .core.fluorescence import FluorescenceSegmentation
    from .core.morphometry import Morphometry
    from .core.segmentation import Segmentation
    from .core.surrogate.matching import MatchResult
    from .core.surrogate.parameters import SurrogateParameters
    from .core.surrogate.truth import Surrogates
    from .core.tracing import TracingAccuracy
    from .core.training import AnyRecipe
    from .core.translation import Translation


def generate(
    parameters: str | os.PathLike[str] | Mapping[str, Any] | SurrogateParameters = "original",
    count: int = 1,
    seed: int = 0,
    device: str = "auto",
    *,
    first: int = 0,
    on_event: Callable[[Event], None] | None = None,
) -> Surrogates:
    """Make surrogate two-photon images of axons, with the exact answer.

    Parameters
    ----------
    parameters
        Name of a preset (``original``, ``two-photon``, ``broad``); path of a JSON file, ours or the
        original model's; a mapping as in such a file, ``{"preset": "two-photon", "axons": {"count":
        5}}``; or `core.surrogate.parameters.SurrogateParameters`.
    count
        N, how many images.
    seed, first
        Images ``first`` to ``first + count - 1`` of this seed: each is the same alone and among any
        others, on any device.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    on_event
        Called with each `core.events` event: progress and notices.

    Returns
    -------
    Images, clean images and masks (N, H, W), labels, centrelines and boutons. Its ``recipe()`` has
    the arguments to make it again.

    Raises
    ------
    InputError
        The parameters, the numbers or the device cannot be used.
    """
    return _generate(parameters, count, seed, device, first, on_event, series=False)


def generate_series(
    parameters: str | os.PathLike[str] | Mapping[str, Any] | SurrogateParameters = "original",
    count: int = 1,
    seed: int = 0,
    device: str = "auto",
    *,
    first: int = 0,
    on_event: Callable[[Event], None] | None = None,
) -> Surrogates:
    """Make series of surrogate images, in which tissue moves and boutons come and go.

    Parameters
    ----------
    parameters, seed, device, first, on_event
        As for `generate`; ``series`` among the parameters says how many frames and what changes.
    count
        N, how many series.

    Returns
    -------
    As of `generate`, with T frames (N, T, H, W), and with transforms and tracks.

    Raises
    ------
    InputError
        The parameters, the numbers or the device cannot be used.
    """
    return _generate(parameters, count, seed, device, first, on_event, series=True)


def match(
    image: Any,
    start: str | os.PathLike[str] | Mapping[str, Any] | SurrogateParameters = "two-photon",
    seed: int = 0,
    device: str = "auto",
    *,
    on_event: Callable[[Event], None] | None = None,
) -> MatchResult:
    """Find parameters whose surrogates look like a two-photon image.

    Parameters
    ----------
    image
        One grey plane: array (Y, X), path of an image file, or `core.image.Image`.
    start
        What is not found in the image is taken from here; as for `generate`.
    seed, device
        Of the surrogates that are made to find out.
    on_event
        Called with each `core.events` event: progress and notices.

    Returns
    -------
    Its ``parameters`` are for `generate`; its ``table`` compares the statistics of the image with
    those of surrogates.

    Raises
    ------
    InputError
        The image or the parameters cannot be used.
    """
    from .core.surrogate.matching import match_steps
    from .core.surrogate.presets import load_parameters

    steps = match_steps(image_of(image, None), load_parameters(start), seed, device)
    return run(steps, on_event)


def segment(
    image: Any,
    pixel_size: float | None = None,
    model: str = "auto",
    *,
    on_event: Callable[[Event], None] | None = None,
    **parameters: Any,
) -> Segmentation | FluorescenceSegmentation:
    """Find axons and myelin in an electron micrograph, axons and boutons in a fluorescence image.

    Parameters
    ----------
    image
        Array ((Y, X), colour last, stacks (Z, Y, X) or (T, Z, Y, X)), path of an image file, or
        `core.image.Image`.
    pixel_size
        um; omitted, as the file says, or unknown.
    model
        Name or file of a model; ``auto`` takes the one that suits the image.
    on_event
        Called with each `core.events` event: progress and notices.
    **parameters
        Further fields of `core.parameters.SegmentParameters`; ``contrast`` where it is not found.

    Returns
    -------
    Of a micrograph, its ``classes()`` are uint8: 0 background, 127 myelin, 255 axon. Of a
    fluorescence image, its ``objects()`` are axons and boutons as labels, centrelines, and a table
    of boutons.

    Raises
    ------
    InputError
        The image, a parameter or the model cannot be used.
    """
    from .core.segmentation import segment_steps

    values = {"pixel_size": pixel_size, "model": model, **parameters}
    chosen = checked(SegmentParameters, values)
    return run(segment_steps(image_of(image, pixel_size), chosen), on_event)


def translate(
    image: Any,
    mask: Any = None,
    model: str = "auto",
    *,
    out: Any = None,
    on_event: Callable[[Event], None] | None = None,
    **parameters: Any,
) -> Translation:
    """Render an electron micrograph in the other microscope's contrast.

    Parameters
    ----------
    image
        As for `segment`.
    mask
        0 background, 127 myelin, 255 axon, at the image's size: an array, path of a mask file,
        `core.image.Image`, or what `segment` returned. Omitted, it is made by a segmenter.
    model
        Name or file of a model, or the folder of its training run; ``auto`` takes the one that
        suits the image and the method.
    out
        uint8 array of the image's size without colour (mapped to a file, or of zarr) to write to;
        of several samples with an axis for them in front.
    on_event
        Called with each `core.events` event: progress and notices.
    **parameters
        Further fields of `core.parameters.TranslateParameters`, such as ``seed`` and ``samples``:
        how many renderings are made, of the seeds from ``seed`` on. ``method`` is ``cgan`` or one
        of diffusion: ``ddpm`` (rendered anew from noise), ``sdedit`` (the image, noised up to
        ``strength``, goes on), ``ddib`` (to noise and back) or ``generate`` (from the mask alone,
        or from nothing). ``target``, ``TEM`` or ``SEM``, is what is made; of diffusion are also
        ``steps``, ``sampler``, ``guidance`` and ``shared_noise``.

    Returns
    -------
    Its ``image`` is uint8 of the image's size, its ``mask`` the label of both, if one was needed.
    Of several samples ``image`` has an axis for them in front, and ``spread`` is their standard
    deviation. Of ``ddib``, ``round_trip`` is how well the image comes back.

    Raises
    ------
    InputError
        The image, the mask, a parameter or the model cannot be used.
    """
    from .core.files import to_classes
    from .core.translation import translate_steps

    chosen = checked(TranslateParameters, {"model": model, **parameters})
    picture = image_of(image, chosen.pixel_size)
    classes = None if mask is None else to_classes(mask_of(mask, None))
    return run(translate_steps(picture, chosen, classes, out=out), on_event)


def measure(
    mask: Any, pixel_size: float | None = None, *, labels: Any = None, **parameters: Any
) -> Morphometry:
    """Measure the fibres of a mask, or of a segmentation.

    Parameters
    ----------
    mask
        One plane with 0 background, 127 myelin, 255 axon: an array, path of a mask file,
        `core.image.Image`, or what `segment` returned.
    pixel_size
        um; omitted, as the file or the segmentation says; unknown, lengths are in pixels.
    labels
        Fibre labels of the mask (Y, X); omitted, fibres are found in it.
    **parameters
        Further fields of `core.parameters.MeasureParameters`.

    Raises
    ------
    InputError
        Not a mask, a stack of them, or a parameter out of bounds.
    """
    import numpy as np

    from .core.files import to_classes
    from .core.instances import label_fibres
    from .core.morphometry import measure as measure_fibres
    from .core.parameters import MeasureParameters

    picture = mask_of(mask, pixel_size)
    if len(picture.spatial_shape) != 2:
        raise InputError(f"{picture.name} is a stack ({picture.axes}); measure its planes singly.")
    classes = to_classes(picture)
    values = {"pixel_size": picture.pixel_size, **parameters}
    chosen = checked(MeasureParameters, values)
    if labels is None:
        labels = label_fibres(classes, chosen.min_diameter)
    return measure_fibres(np.asarray(labels), classes, chosen)


def train(
    recipe: AnyRecipe | str | os.PathLike[str],
    out: str | os.PathLike[str],
    resume: bool = False,
    device: str = "auto",
    *,
    on_event: Callable[[Event], None] | None = None,
) -> Path:
    """Train a model.

    Parameters
    ----------
    recipe
        Recipe, or path of its file: YAML, or the ``recipe.json`` of a run.
    out
        Folder of the run.
    resume
        Go on from the checkpoint in ``out``.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    on_event
        Called with each `core.events` event: progress, notices, losses, what validation measured
        and pictures of it. What it raises stops the run, which writes a checkpoint first.

    Returns
    -------
    Path of the finished model.

    Raises
    ------
    InputError
        The recipe is not valid, the folder cannot be used, or training cannot go on: see
        `core.training.loop.train`.
    """
    from .core.training import load_recipe, train_steps

    if isinstance(recipe, str | os.PathLike):
        recipe = load_recipe(Path(recipe))
    with closing(train_steps(recipe, Path(out), resume, device)) as steps:
        return run(steps, on_event)


def evaluate(
    experiment: Experiment | str | os.PathLike[str],
    out: str | os.PathLike[str],
    only: Sequence[str] = (),
    seeds: Sequence[int] = (),
    folds: Sequence[str] = (),
    device: str = "auto",
    *,
    on_event: Callable[[Event], None] | None = None,
) -> Evaluation:
    """Run an experiment: every arm on every fold with every seed.

    Parameters
    ----------
    experiment
        Experiment, or path of its YAML file.
    out
        Its folder. What was done before is not done again.
    only, seeds, folds
        Arms, seeds and folds to do; empty: all.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    on_event
        Called with each `core.events` event: progress and notices.

    Returns
    -------
    Its ``outcome`` has the results, ``written`` the files of tables and plots.

    Raises
    ------
    InputError
        The experiment is not valid, a trial cannot be done, or matplotlib is missing.
    """
    from .core.experiments import load_experiment
    from .core.experiments.evaluating import evaluate_steps

    if isinstance(experiment, str | os.PathLike):
        experiment = load_experiment(Path(experiment))
    return run(evaluate_steps(experiment, Path(out), only, seeds, folds, device), on_event)


def evaluate_tracing(
    traced: str | os.PathLike[str] | Sequence[Any],
    truth: str | os.PathLike[str] | Sequence[Any],
    tolerance: float = 2.0,
) -> TracingAccuracy:
    """Say how well traced paths follow the true centrelines (see `core.tracing`).

    Parameters
    ----------
    traced, truth
        Path of a CSV file, or a list of `core.centrelines.Centreline` or of (K, 2) arrays of (row,
        column) in pixels. In a list of arrays, each is an axon by itself.
    tolerance
        px; up to it, a path is right.

    Raises
    ------
    InputError
        A file or a path cannot be used, or the tolerance is not positive.
    """
    from .core.tracing import tracing_accuracy

    return tracing_accuracy(lines_of(traced), lines_of(truth), tolerance)


def _generate(
    parameters: str | os.PathLike[str] | Mapping[str, Any] | SurrogateParameters,
    count: int,
    seed: int,
    device: str,
    first: int,
    on_event: Callable[[Event], None] | None,
    series: bool,
) -> Surrogates:
    from .core.surrogate.generator import generate_steps
    from .core.surrogate.presets import load_parameters

    chosen = load_parameters(parameters)
    return run(generate_steps(chosen, count, seed, first, device, series), on_event)
