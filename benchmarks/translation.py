"""How good translations are on animals that no model saw: ``make translation-accuracy``.

Writes the tables of docs/translation-accuracy.md: structure and looks of the translations, and what
a segmenter trained on them finds in real images. The trials are kept in a folder, so that an
interrupted run goes on, and a row whose model changed is made anew. ``--direction``, ``--arms`` and
``--seeds`` say which trials to run; the tables show all that there are.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from napari_axongen.core.datasets import LabelledImage
from napari_axongen.core.datasets.labelled import mask_values
from napari_axongen.core.datasets.scaling import scale_to
from napari_axongen.core.errors import InputError
from napari_axongen.core.evaluation import mean_interval
from napari_axongen.core.events import run
from napari_axongen.core.files import write_text
from napari_axongen.core.models.store import load_card, load_network
from napari_axongen.core.networks import TileExactNetwork
from napari_axongen.core.parameters import TranslateParameters
from napari_axongen.core.realism import (
    grey_distances,
    nearest_patch_distances,
    seam_index,
    spectrum_distance,
    structure_consistency,
    tiles,
)
from napari_axongen.core.translation import translate_steps
from napari_axongen.core.two_samples import two_sample_auc

from .translation_images import (
    DIRECTIONS,
    Condition,
    Direction,
    Render,
    centre,
    harmonise,
    images,
    inversion,
    mosaic,
    native,
    one_click,
    translator,
    untouched,
)
from .translation_trials import ARMS, Scores, kept, segment, trained, trial

PAGE = Path(__file__).parents[1] / "docs" / "translation-accuracy.md"
BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"
SIDE = 1024
"""Of the part of each test image that is judged, px."""
LARGE = 1024
"""Of the image that speed and seams are measured on, px: it takes several tiles."""
STEPS = (4, 8, 20)
"""Of the denoiser; re-rendering from masks is judged at all, the rest at the second."""
BRIDGE_STEPS = 20
"""Of DDIB, each way."""
TILES = 200
"""Of each row, that are looked for among the training images."""
PART = 585
"""Of the part on which they are measured of diffusion, at its own scale: it takes four tiles."""
SEEDS = (0, 1, 2)
CONSOLE = Console(stderr=True, highlight=False)


class Models(NamedTuple):
    """The models of a direction; `classic` may be None."""

    default: str
    diffusion: str
    classic: str | None


# ---------------------------------------------------------------- structure and looks


def consistency(made: Sequence[LabelledImage], judges: Sequence[TileExactNetwork]) -> list[str]:
    """Cells of the structure: Dice, and the share of swapped images."""
    found = [
        structure_consistency(segment(judge, image.image), image.classes)
        for judge, image in product(judges, made)
    ]
    return [
        f"{np.mean([f.axon for f in found]):.3f} / {np.mean([f.myelin for f in found]):.3f}",
        f"{np.mean([f.swapped for f in found]):.0%}",
    ]


def looks(made: Sequence[LabelledImage], real: Sequence[LabelledImage]) -> list[str]:
    """Cells of the looks: spectrum, greys, classifier."""
    grey, real_grey = ([image.image.read(()) for image in part] for part in (made, real))
    distances = grey_distances(
        [(g, image.classes) for g, image in zip(grey, made, strict=True)],
        [(g, image.classes) for g, image in zip(real_grey, real, strict=True)],
    )
    return [
        f"{spectrum_distance(grey, real_grey):.2f}",
        " / ".join(f"{distance:.2f}" for distance in reversed(distances)),
        f"{two_sample_auc(grey, real_grey):.2f}",
    ]


class Recorder:
    """An array that remembers where its tiles begin."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.array = np.zeros(shape, np.uint8)
        self.shape, self.dtype = self.array.shape, self.array.dtype
        self.rows: set[int] = set()
        self.columns: set[int] = set()

    def __setitem__(self, window: Any, values: np.ndarray) -> None:
        self.rows.add(window[-2].start)
        self.columns.add(window[-1].start)
        self.array[window] = values


def seams_and_speed(source: LabelledImage, setting: dict[str, Any], memory: int) -> tuple[str, str]:
    """Seam index with small tiles and with the usual ones, and seconds per megapixel."""
    mask, model = mask_values(source.classes), setting["model"]
    tiled = Recorder(source.classes.shape)
    small = TranslateParameters.model_validate(setting | {"memory": memory})
    run(translate_steps(source.image, small, mask, out=tiled))
    start = time.perf_counter()
    usual = run(translate_steps(source.image, TranslateParameters.model_validate(setting), mask))
    took = (time.perf_counter() - start) / source.classes.size * 1e6
    rows, columns = sorted(tiled.rows), sorted(tiled.columns)
    side = load_network(model)[0].fixed_tile
    if side is not None:  # `classic` works on squares of its own
        rows, columns = (list(range(0, length, side)) for length in source.classes.shape)
    if max(*rows, *columns) == 0:  # one tile has no seams
        return "", f"{took:.1f}"
    small_index, usual_index = (
        seam_index(made.astype(np.float32), rows, columns) for made in (tiled.array, usual.image)
    )
    return f"{small_index:.3f} ({usual_index:.3f})", f"{took:.1f}"


def _middle(image: LabelledImage, axon_diameter: float) -> LabelledImage:
    """As much of the middle of an image as is judged at the scale of that diameter."""
    return centre(image, round(SIDE / scale_to(image, axon_diameter=axon_diameter)))


def timed(render: Render, source: LabelledImage) -> str:
    start = time.perf_counter()
    render(source)
    return f"{(time.perf_counter() - start) / source.classes.size * 1e6:.2f}"


def rows(direction: Direction, models: Models) -> Iterator[tuple[str, dict[str, Any]]]:
    """Titles of translations, and the parameters by which they are made."""
    known = {"axon_diameter": direction.axon_diameter}
    conditions: dict[Condition, str] = {
        "mask": "from masks",
        "mask and structure": "from masks and structure",
        "structure": "from structure alone",
    }
    if models.classic:
        yield "classic, from masks", {"model": models.classic, "condition": "mask", **known}
    for condition, said in conditions.items():
        yield f"default, {said}", {"model": models.default, "condition": condition, **known}
    yield "default, one click", {"model": models.default, **known}
    known |= {"model": models.diffusion, "target": direction.target.contrast}
    for steps in STEPS:
        setting = {"method": "ddpm", "condition": "mask", "steps": steps, **known}
        yield f"re-render, {steps} steps, from masks", setting
    for condition, said in list(conditions.items())[1:]:
        setting = {"method": "ddpm", "condition": condition, "steps": STEPS[1], **known}
        yield f"re-render, {STEPS[1]} steps, {said}", setting
    setting = {"method": "ddpm", "steps": STEPS[1], **known, "target": "auto"}
    yield f"re-render, {STEPS[1]} steps, one click", setting
    for method, steps, said in (
        ("sdedit", STEPS[1], f"SDEdit, {STEPS[1]} steps"),
        ("ddib", BRIDGE_STEPS, f"DDIB, 2 x {BRIDGE_STEPS} steps"),
    ):
        for condition in ("mask", "structure"):
            setting = {"method": method, "condition": condition, "steps": steps, **known}
            yield f"{said}, {conditions[condition]}", setting


def nearest(made: Sequence[LabelledImage], trained_on: Sequence[LabelledImage]) -> float:
    """Median distance of some tiles to the nearest of the training images."""
    rng = np.random.default_rng(0)
    ours, theirs = (
        np.concatenate([tiles(image.image.read(())) for image in part])
        for part in (made, trained_on)
    )
    chosen = rng.choice(len(ours), min(len(ours), TILES), replace=False)
    return float(np.median(nearest_patch_distances(ours[chosen], theirs)))


def structure_table(direction: Direction, models: Models, runs: Path) -> list[str]:
    """Rows of the first table."""
    diameter = direction.axon_diameter
    sources = [centre(image, SIDE) for image in images(direction.source, diameter)[1]]
    trained_on, unseen = images(direction.target, diameter)
    real = [centre(image, SIDE) for image in unseen]
    there = [seed for seed in SEEDS if kept(direction, "real", seed, runs, "")]
    judges = [trained(direction, "real", seed, runs) for seed in there or SEEDS]
    large = mosaic(sources, LARGE)
    names = ", ".join(direction.source.test), ", ".join(direction.target.test)
    lines = [
        f"Sources: {names[0]} ({direction.source.contrast}); real images: {names[1]} "
        f"({direction.target.contrast}); axons of {diameter} px; {len(judges)} judges.",
        "",
        "| translation | axon / myelin | swapped | spectrum | greys: axon / myelin / background "
        "| AUC | nearest | seams | s/MP |",
        "|---|---|---|---|---|---|---|---|---|",
    ]

    def row(title: str, made: Sequence[LabelledImage], seams: str, speed: str) -> None:
        CONSOLE.print(f"{direction.name}: {title}")
        cells = [title, *consistency(made, judges), *looks(made, real)]
        cells += [f"{nearest(made, trained_on):.3f}", seams, speed]
        lines.append(f"| {' | '.join(cells)} |")

    for title, render in (
        ("identity", untouched),
        ("inversion + histogram", inversion(trained_on)),
    ):
        row(title, [render(image) for image in sources], "", timed(render, large))
    for title, setting in rows(direction, models):
        try:
            if title.endswith("one click"):
                del setting["axon_diameter"]
                click = one_click(**setting)
                shown = native(direction.source)[1]
                if "method" in setting:  # of a whole micrograph it would take hours
                    shown = [_middle(image, diameter) for image in shown]
                made = [harmonise(click(image), diameter) for image in shown]
                row(title, [centre(image, SIDE) for image in made], "", "")
                continue
            render = translator(**setting, seed=0)
            made = [render(image) for image in sources]
            if "method" in setting:
                scale = (load_card(setting["model"]).axon_diameter or diameter) / diameter
                part = centre(large, round(PART / scale))
                seams, speed = seams_and_speed(part, setting, memory=128)
            else:
                seams, speed = seams_and_speed(large, setting, memory=64)
        except InputError as error:
            CONSOLE.print(f"{title} is left out: {error}")
            continue
        row(title, made, seams, speed)
    row("*real, animals trained on*", [centre(image, SIDE) for image in trained_on], "", "")
    near = f"{nearest(real, trained_on):.3f}"
    cells = ["*real, animals judged by*", *consistency(real, judges), "", "", "", near, "", ""]
    lines.append(f"| {' | '.join(cells)} |")
    return lines


# ---------------------------------------------------------------- train on synthetic, test on real


def interval(values: np.ndarray, sign: str = "") -> str:
    mean, low, high = mean_interval(values)
    return f"{mean:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def trials_table(results: dict[str, dict[int, Scores]]) -> list[str]:
    """Rows of the second table, and the scores image by image."""
    lines = [
        "| trained on | axon | myelin | axon beyond inversion | myelin beyond inversion | seeds |",
        "|---|---|---|---|---|---|",
    ]
    bar = results.get("inversion", {})
    names = sorted({name for by_seed in results.values() for s in by_seed.values() for name in s})

    def table(by_seed: dict[int, Scores], seeds: Sequence[int]) -> np.ndarray:
        return np.array([[by_seed[seed][name] for name in names] for seed in seeds])

    for arm, by_seed in results.items():
        values = table(by_seed, sorted(by_seed))
        cells = [ARMS[arm].title, *(interval(values[..., k]) for k in (0, 1))]
        shared = sorted(set(by_seed) & set(bar))
        if arm == "inversion" or not shared:
            cells += ["", ""]
        else:
            beyond = table(by_seed, shared) - table(bar, shared)
            cells += [interval(beyond[..., k], "+") for k in (0, 1)]
        lines.append(f"| {' | '.join([*cells, str(len(by_seed))])} |")
    short = [Path(name).stem.split("_", 1)[-1] for name in names]
    lines += ["", f"| trained on | {' | '.join(short)} |", "|---" * (len(names) + 1) + "|"]
    for arm, by_seed in results.items():
        means = table(by_seed, sorted(by_seed)).mean(0)
        cells = [f"{axon:.3f} / {myelin:.3f}" for axon, myelin in means]
        lines.append(f"| {ARMS[arm].title} | {' | '.join(cells)} |")
    return lines


def trials(
    direction: Direction,
    arms: Sequence[str],
    seeds: Sequence[int],
    runs: Path,
    models: Models,
) -> dict[str, dict[int, Scores]]:
    """Run the trials asked for, and gather all that there are."""
    results: dict[str, dict[int, Scores]] = {}
    for arm in ARMS:
        wanted = ARMS[arm].model
        name = getattr(models, wanted) if wanted else ""
        for seed in SEEDS if name is not None else ():
            try:
                if arm in arms and seed in seeds:
                    CONSOLE.print(f"{direction.name}: {ARMS[arm].title}, seed {seed}")
                    found: Scores | None = trial(direction, arm, seed, runs, name or "")
                else:
                    found = kept(direction, arm, seed, runs, name or "")
            except InputError as error:
                CONSOLE.print(f"{ARMS[arm].title} is left out: {error}")
                break
            if found:
                results.setdefault(arm, {})[seed] = found
    return results


# ---------------------------------------------------------------- the page


def write_section(name: str, lines: list[str]) -> None:
    """Put the tables of a direction between its markers; the rest of the page stays."""
    begin, end = BEGIN.format(name), END.format(name)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    write_text(PAGE, "\n".join([before + begin, "", *lines, "", end + after]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--direction", choices=DIRECTIONS, nargs="*", default=list(DIRECTIONS))
    parser.add_argument("--arms", choices=ARMS, nargs="*", default=list(ARMS))
    parser.add_argument("--seeds", type=int, choices=SEEDS, nargs="*", default=list(SEEDS))
    parser.add_argument("--model", help="translator; omitted, the shipped one of the direction")
    parser.add_argument("--diffusion", default="tem-sem-diffusion", help="denoiser")
    parser.add_argument("--classic", help="translator of the preset 'classic' to set beside it")
    parser.add_argument("--runs", type=Path, default=Path("runs/translation"))
    parser.add_argument("--trials-only", action="store_true", help="train, and leave the page")
    asked = parser.parse_args()
    for name in asked.direction:
        direction = DIRECTIONS[name]
        models = Models(asked.model or name, asked.diffusion, asked.classic)
        try:
            found = trials(direction, asked.arms, asked.seeds, asked.runs, models)
            if asked.trials_only:
                continue
            lines = [f"## {name}", "", "### Structure and looks", ""]
            lines += structure_table(direction, models, asked.runs)
            lines += ["", "### Train on synthetic, test on real", "", *trials_table(found)]
        except InputError as error:
            CONSOLE.print(f"{name} is left out: {error}")
            continue
        write_section(name, lines)
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
