"""Where axons, branches, boutons and cells of the surrogate model lie, against its formulas."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from benchmarks.surrogate_reference import draw_axons as reference_axons
from scipy.spatial.distance import cdist, pdist
from scipy.stats import binomtest, chisquare, ks_2samp, kstest

from napari_axongen.core.events import Event, Notice, run
from napari_axongen.core.surrogate.generator import generate_steps
from napari_axongen.core.surrogate.original_json import to_original
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.presets import with_changes
from napari_axongen.core.surrogate.random import Draws, image_keys
from napari_axongen.core.surrogate.truth import Centreline, Surrogates
from napari_axongen.core.surrogate.walks import walk

CHANCE = 1e-3  # of a sound model to fail; the seeds are fixed, so it does not
LINES = with_changes(SurrogateParameters(), {"boutons.count": 0, "cells.count": 0, "axons.gaps": 0})
FREE = with_changes(LINES, {"axons.crossings": True})
EVEN = with_changes(  # one axon of even brightness
    FREE,
    {
        "axons.count": 1,
        "axons.daughters": 0,
        "axons.profile": "constant",
        "axons.branch_profile": "constant",
        "axons.brightness": 0.3,
    },
)

pytestmark = pytest.mark.usefixtures("loops")


def made(parameters: SurrogateParameters, count: int = 1, seed: int = 0) -> Surrogates:
    return run(generate_steps(parameters, count, seed, device="cpu"))


def images(lines: list[Centreline]) -> Iterator[list[Centreline]]:
    """Branches image by image."""
    for image in sorted({line.image for line in lines}):
        yield [line for line in lines if line.image == image]


def branchings(lines: list[Centreline]) -> Iterator[tuple[Centreline, Centreline, int]]:
    """Daughter, the branch it comes from, and which point of that."""
    for branches in images(lines):
        for daughter in branches:
            if daughter.parent:
                (parent,) = (line for line in branches if line.branch == daughter.parent)
                (place,) = np.flatnonzero((parent.points == daughter.points[0]).all(1))
                yield daughter, parent, int(place)


def heading(steps: np.ndarray) -> np.ndarray:
    return np.arctan2(steps[..., 0], steps[..., 1])


# ------------------------------------------------------------ walks


def long_walks(conformity: float, step: float, number: int, steps: int) -> np.ndarray:
    """Paths (number, steps + 1, 2) that no edge stops."""
    size = 1e5
    walks = walk(
        np.full((number, 2), size / 2),
        np.zeros(number),
        np.full(number, math.acos(conformity) / (2 * math.pi)),
        np.full(number, step),
        Draws(image_keys(1, range(number))).uniform("walk", steps),
        (int(size), int(size)),
    )
    assert (walks.count == steps + 1).all()
    return walks.points


@pytest.mark.parametrize(("conformity", "step"), [(0.99, 2.0), (0.9, 4.0), (0.999, 1.0)])
def test_headings_diffuse(conformity: float, step: float) -> None:
    alpha = math.acos(conformity)
    steps = np.diff(long_walks(conformity, step, 8000, 60), axis=1)
    assert np.hypot(*np.moveaxis(steps, -1, 0)) == pytest.approx(step, abs=1e-3)
    angle = np.unwrap(heading(steps))
    turns = np.diff(angle[:2000])
    assert abs(turns).max() == pytest.approx(alpha, abs=1e-3)
    assert kstest(turns.ravel() / alpha, "uniform", (-1, 2)).pvalue > CHANCE
    for k in (1, 10, 60):
        assert angle[:, k - 1].var() == pytest.approx(alpha**2 * k / 3, rel=0.06)
        assert abs(angle[:, k - 1].mean()) < 4 * alpha * math.sqrt(k / 3 / len(angle))
    cosines = np.cos(turns)
    error = 4 * cosines.std() / math.sqrt(cosines.size)
    assert cosines.mean() == pytest.approx(math.sin(alpha) / alpha, abs=error)


def test_persistence_length() -> None:
    points = long_walks(0.99, 2, 20000, 100)
    steps = np.diff(points, axis=1) / 2
    decay = -math.log((steps[:, 0] * steps[:, 99]).sum(1).mean()) / 99
    assert 2 / decay == pytest.approx(599, rel=0.03)
    # the same from the squared distance of the ends, after Kratky and Porod
    length, persistence = 200.0, 599.0
    expected = 2 * persistence * (length - persistence * (1 - math.exp(-length / persistence)))
    found = ((points[:, -1] - points[:, 0]) ** 2).sum(1).mean()
    assert found == pytest.approx(expected, rel=0.01)


# ------------------------------------------------------------ where axons run


@pytest.mark.parametrize(("height", "width"), [(80, 200), (200, 80)])
@pytest.mark.parametrize("crossings", [True, False])
def test_branches_run_from_edge_to_edge(height: int, width: int, crossings: bool) -> None:
    changes = {"height": height, "width": width, "axons.crossings": crossings}
    lines = made(with_changes(LINES, changes), 40).centrelines
    assert max(line.points[:, 0].max() for line in lines) == height - 1
    assert max(line.points[:, 1].max() for line in lines) == width - 1
    for line in lines:
        inner = line.points[1:-1]
        assert (inner > 0).all()
        assert (inner < [height - 1, width - 1]).all()
        for end in (line.points[-1], line.points[0])[: 1 if line.parent else 2]:
            assert (end == 0).any() or (end == [height - 1, width - 1]).any()
        steps = np.linalg.norm(np.diff(line.points, axis=0), axis=1)
        assert steps[:-1] == pytest.approx(2, abs=2e-3)
        assert 0 < steps[-1] < 2.001


def test_mothers_enter_in_the_middle_half_of_all_edges() -> None:
    changes = {"height": 60, "width": 120, "axons.count": 20, "axons.daughters": 0}
    lines = made(with_changes(FREE, changes), 60).centrelines
    starts = np.array([line.points[0] for line in lines]) / [59, 119]
    edges = [starts[:, 0] == 0, starts[:, 0] == 1, starts[:, 1] == 0, starts[:, 1] == 1]
    assert chisquare([edge.sum() for edge in edges]).pvalue > CHANCE
    along = np.where(edges[0] | edges[1], starts[:, 1], starts[:, 0])
    assert kstest(along, "uniform", (0.25, 0.5)).pvalue > CHANCE
    inwards = np.select([e[:, None] for e in edges], [(1, 0), (-1, 0), (0, 1), (0, -1)])
    first = np.array([line.points[1] - line.points[0] for line in lines]) / 2
    assert (inwards * first).sum(1).min() > 0.989  # within the cone of the conformity


def test_axons_enter_at_any_angle_start_and_end_inside() -> None:
    changes = {"axons.count": 20, "axons.daughters": 0, "width": 128, "height": 128}
    plain = with_changes(FREE, changes)

    def inside(points: list[np.ndarray]) -> int:
        return sum(bool((point > 0).all() and (point < 127).all()) for point in points)

    oblique = made(with_changes(plain, {"axons.oblique": 1.0}), 30).centrelines
    along = [line.points[0][line.points[0] % 127 != 0].item() / 127 for line in oblique]
    assert kstest(along, "uniform").pvalue > CHANCE
    starts = made(with_changes(plain, {"axons.starts_inside": 0.3}), 30).centrelines
    assert binomtest(inside([line.points[0] for line in starts]), 600, 0.3).pvalue > CHANCE
    assert inside([line.points[-1] for line in starts]) == 0
    ends = made(with_changes(plain, {"axons.ends_inside": 0.3}), 30).centrelines
    number = inside([line.points[-1] for line in ends])
    assert binomtest(number, 600, 0.3).pvalue > CHANCE
    assert inside([line.points[0] for line in ends]) == 0


@pytest.mark.parametrize("thickness", [1.5, 3.0, 6.0])
def test_branches_keep_apart(thickness: float) -> None:
    changes = {"axons.thickness": thickness, "axons.count": 3, "axons.straight_branching": 5}
    lines = made(with_changes(LINES, changes), 40).centrelines
    least = max(2 * thickness - 4, 4)  # stamps do not meet, but for the coarse grid
    pairs = 0
    for branches in images(lines):
        for first, second in combinations(branches, 2):
            gaps = cdist(first.points, second.points, "chebyshev")
            for one, rows in ((first, gaps), (second, gaps.T)):
                if one.parent:  # near its start it may touch whatever is there
                    away = np.linalg.norm(one.points - one.points[0], axis=1)
                    rows[away <= 5 * thickness + 1e-3] = np.inf
            assert gaps.min() >= least
            pairs += 1
    assert pairs > 200


def test_with_crossings_axons_do_meet() -> None:
    meeting = 0
    for branches in images(made(with_changes(FREE, {"axons.daughters": 0}), 60).centrelines):
        first, second = branches
        meeting += cdist(first.points, second.points).min() < 2
    assert meeting > 15


def test_daughters_leave_within_45_degrees() -> None:
    lines = made(with_changes(FREE, {"axons.daughters": 6, "axons.count": 5}), 30).centrelines
    angles = []
    for daughter, parent, place in branchings(lines):
        before = heading(parent.points[place] - parent.points[place - 1])
        angles.append(heading(daughter.points[1] - daughter.points[0]) - before)
        assert daughter.axon == parent.axon
        assert daughter.branch > parent.branch
    angles = (np.array(angles) + math.pi) % (2 * math.pi) - math.pi
    whole = abs(angles) < math.pi / 4 + 2e-3
    assert whole.mean() > 0.97  # what is left took its first step onto the edge
    assert kstest(angles[whole], "uniform", (-math.pi / 4, math.pi / 2)).pvalue > CHANCE


# ------------------------------------------------------------ where branches begin (B1)


def branch_points(lines: list[Centreline]) -> tuple[np.ndarray, np.ndarray]:
    """Part of the mother that lies before each daughter, and distance from the diagonal in px."""
    found = [(p / (len(parent.points) - 1), d.points[0]) for d, parent, p in branchings(lines)]
    part, points = (np.array(values) for values in zip(*found, strict=True))
    return part, abs(points[:, 0] - points[:, 1]) / math.sqrt(2)


def test_branch_points_are_spread_evenly() -> None:
    lines = made(with_changes(FREE, {"axons.count": 10}), 60, seed=1).centrelines
    part, diagonal = branch_points(lines)
    assert len(part) > 590
    assert kstest(part, "uniform").pvalue > CHANCE
    assert np.median(diagonal) > 40  # 3.8 in the original, 56 by its formula put right


def test_branch_points_without_crossings_are_as_the_references() -> None:
    lines = made(LINES, 400, seed=2).centrelines
    part, diagonal = branch_points(lines)
    parameters = to_original(SurrogateParameters()) | {"NSplinePoints": 150}
    expected, rng = [], np.random.default_rng(1)
    for _ in range(45):
        branches = reference_axons(parameters, rng).branches
        for mother, daughter in zip(branches[::2], branches[1::2], strict=False):
            (place,) = np.flatnonzero((mother.samples == daughter.start).all(1))
            expected.append(place / (len(mother.samples) - 1))
    assert len(expected) > 75
    assert ks_2samp(part, expected).pvalue > CHANCE
    assert np.median(diagonal) > 30
    assert np.quantile(diagonal, 0.9) > 80


# ------------------------------------------------------------ brightness along the way


def test_gaps_are_as_long_as_they_say() -> None:
    """The brightness falls linearly to zero and rises again, whatever the step."""
    whole = 0
    for step in (1, 2, 4):
        changes = {"axons.gaps": 1, "axons.gap_length": 30.0, "axons.step": step}
        for line in made(with_changes(EVEN, changes), 30).centrelines:
            centre = int(line.brightness.argmin())
            away = abs(np.arange(len(line.points)) - centre) * step
            assert line.brightness == pytest.approx(0.3 * np.minimum(away / 15, 1), abs=1e-5)
            whole += 15 < centre * step < (len(line.points) - 1) * step - 15
    assert whole > 60


def test_gaps_lie_anywhere_and_are_as_many_as_they_say() -> None:
    changes = {"axons.gaps": 3, "axons.gap_length": 6.0, "axons.conformity": 1.0}
    lines = made(with_changes(EVEN, changes), 200).centrelines
    places = [np.flatnonzero(line.brightness == 0) for line in lines]
    assert max(map(len, places)) == 3
    assert sum(map(len, places)) > 0.97 * 600  # some coincide
    parts = [place / (len(line.points) - 1) for place, line in zip(places, lines, strict=True)]
    assert kstest(np.concatenate(parts), "uniform").pvalue > CHANCE


@pytest.mark.parametrize("changes", [{"axons.gaps": 0}, {"axons.gap_length": 0}])
def test_no_gaps(changes: dict[str, Any]) -> None:
    for line in made(with_changes(EVEN, {"axons.gaps": 2, **changes}), 20).centrelines:
        assert (line.brightness == np.float32(0.3)).all()


@pytest.mark.parametrize("crossings", [True, False])
def test_nothing_leaves_a_branch_in_a_gap(crossings: bool) -> None:
    changes = {
        "axons.gaps": 4,
        "axons.gap_length": 60.0,
        "axons.daughters": 3,
        "axons.crossings": crossings,
        "boutons.count": 20,
        "boutons.terminal": 0,
    }
    result = made(with_changes(EVEN, changes), 60)
    assert np.mean(np.concatenate([c.brightness for c in result.centrelines]) < 0.29) > 0.4
    assert len(result.boutons) > 500
    for _, parent, place in branchings(result.centrelines):
        assert parent.brightness[place] == np.float32(0.3)
    lines = {(line.image, line.branch): line for line in result.centrelines}
    for bouton in result.boutons:
        line = lines[bouton["image"], bouton["branch"]]
        assert line.axon == bouton["axon"]
        off = np.hypot(*(line.points - [bouton["row"], bouton["column"]]).T)
        assert off.min() < 1e-3
        assert line.brightness[off.argmin()] == np.float32(0.3)


def courses(profile: str, **changes: Any) -> list[Centreline]:
    both = {"axons.profile": profile, "axons.branch_profile": profile, "axons.count": 5}
    lines = made(with_changes(FREE, both | changes), 60, seed=3).centrelines
    for line in lines:
        assert line.brightness.min() > 0.0999
        assert line.brightness.max() < 0.4001
    return lines


@pytest.mark.parametrize("profile", ["cosine", "linear", "constant"])
def test_brightness_begins_anywhere_and_goes_on_in_daughters(profile: str) -> None:
    lines = courses(profile)
    begin = [line.brightness[0] for line in lines if not line.parent]
    assert kstest(begin, "uniform", (0.1, 0.3)).pvalue > CHANCE  # B5: always the least of a branch
    number = 0
    for daughter, parent, place in branchings(lines):
        assert daughter.brightness[0] == pytest.approx(parent.brightness[place], abs=1e-5)
        number += 1
    assert number > 290


def rising(lines: list[Centreline]) -> int:
    return sum(bool(line.brightness[1] > line.brightness[0]) for line in lines)


def test_cosine_course() -> None:
    lines = [c for c in courses("cosine", **{"axons.periods": 1.5}) if len(c.points) > 40]
    assert binomtest(rising(lines), len(lines)).pvalue > CHANCE
    for line in lines:
        v = line.brightness.astype(float)
        # v(i + 1) + v(i - 1) - 2 mean = 2 cos(w) (v(i) - mean)
        cosine = math.cos(2 * math.pi * 1.5 / (len(v) - 1))
        constant = v[2:] + v[:-2] - 2 * cosine * v[1:-1]
        assert np.ptp(constant) < 1e-6
        mean = constant.mean() / (2 - 2 * cosine)
        assert v.max() + v.min() == pytest.approx(2 * mean, abs=4e-3)


def test_linear_course_rises_and_falls() -> None:
    lines = courses("linear")
    assert binomtest(rising(lines), len(lines)).pvalue > CHANCE
    ends = []
    for line in lines:
        v = line.brightness.astype(float)
        assert v == pytest.approx(np.linspace(v[0], v[-1], len(v)), abs=1e-6)
        limit = 0.4 if v[-1] > v[0] else 0.1
        ends.append((v[-1] - v[0]) / (limit - v[0]))
    assert kstest(ends, "uniform").pvalue > CHANCE  # how far it goes towards the limit


def test_constant_course() -> None:
    for lines in (courses("constant"), courses("cosine", **{"axons.variation": 0})):
        assert max(np.ptp(line.brightness) for line in lines) < 1e-6
        assert np.std([line.brightness[0] for line in lines]) > 0.05


# ------------------------------------------------------------ boutons


STRAIGHT = with_changes(EVEN, {"axons.conformity": 1.0, "boutons.count": 8})


def test_terminal_boutons_sit_on_both_sides_and_touch_no_axon() -> None:
    result = made(with_changes(STRAIGHT, {"boutons.terminal": 1.0}), 80)
    lines = {line.image: line.points.astype(float) for line in result.centrelines}
    left, sides, radii, away = 0, [], [], []
    for bouton in result.boutons:
        points = lines[bouton["image"]]
        along = (points[1] - points[0]) / np.linalg.norm(points[1] - points[0])
        off = np.array([bouton["row"], bouton["column"]]) - points[0]
        across = along[0] * off[1] - along[1] * off[0]
        left += across > 0
        sides.append(across)
        away.append(np.hypot(*(points + 0.0 - points[0] - off).T).min())
        radii.append(bouton["radius"])
    assert result.boutons["terminal"].all()
    assert binomtest(left, len(sides)).pvalue > CHANCE
    ratio = abs(np.array(sides)) / radii
    assert ratio.min() > 1.999
    assert 2.9 < ratio.max() < 3.1 + 1e-3


def test_boutons_are_as_they_say() -> None:
    boutons = made(with_changes(STRAIGHT, {"boutons.terminal": 0.3}), 120).boutons
    number = len(boutons)
    assert number == 8 * 120
    assert binomtest(int(boutons["terminal"].sum()), number, 0.3).pvalue > CHANCE
    assert kstest(boutons["amplitude"], "uniform", (0.31, 0.08)).pvalue > CHANCE
    radii, times = np.unique(boutons["radius"], return_counts=True)
    assert radii.tolist() == [2, 3]
    assert binomtest(int(times[0]), number, 1 / 3).pvalue > CHANCE
    assert boutons["bouton"].reshape(120, 8).tolist() == [list(range(1, 9))] * 120
    assert (boutons["first_frame"] == 0).all()
    assert (boutons["last_frame"] == 0).all()


def test_boutons_lie_anywhere_along_the_axons() -> None:
    result = made(with_changes(STRAIGHT, {"boutons.terminal": 0, "boutons.min_distance": 0}), 80)
    for axis in (0, 1):
        # straight axons that enter at right angles: along one axis they take all values
        along = [
            bouton[("row", "column")[axis]] / 255
            for line in result.centrelines
            if np.ptp(line.points[:, 1 - axis]) == 0
            for bouton in result.boutons[result.boutons["image"] == line.image]
        ]
        assert len(along) > 200
        assert kstest(along, "uniform").pvalue > CHANCE


@pytest.mark.parametrize("least", [8, 25])
def test_boutons_keep_apart(least: int) -> None:
    parameters = with_changes(FREE, {"boutons.count": 60, "boutons.min_distance": least})
    boutons = made(parameters, 20).boutons
    nearest = []
    for image in range(20):
        mine = boutons[boutons["image"] == image]
        nearest.append(pdist(np.column_stack((mine["row"], mine["column"]))).min())
    assert min(nearest) > least
    assert np.median(nearest) < 1.1 * least  # they are crowded enough to tell


# ------------------------------------------------------------ cells, crowds, counts


def test_cells_avoid_axons_and_boutons() -> None:
    quiet = {"acquisition.normalise": False, "acquisition.background": 0, "max_intensity": 65535}
    parameters = with_changes(
        SurrogateParameters(), quiet | {"axons.count": 4, "acquisition.signal": 60000}
    )
    there = made(parameters, 30)
    without = made(with_changes(parameters, {"cells.count": 0}), 30)
    cells = there.clean_images != without.clean_images
    assert 0.02 < cells.mean() < 0.3
    assert not (cells & (there.axon_masks > 0)).any()
    assert not (cells & (there.bouton_masks > 0)).any()
    assert np.array_equal(there.axon_labels, without.axon_labels)


def test_crowded_parameters_give_fewer_and_say_so() -> None:
    crowd = {
        "width": 64,
        "height": 64,
        "axons.count": 60,
        "axons.daughters": 5,
        "axons.crossings": False,
        "boutons.count": 300,
        "boutons.min_distance": 15,
        "cells.count": 300,
        "cells.radius": 20,
    }
    events: list[Event] = []
    steps = generate_steps(with_changes(SurrogateParameters(), crowd), 3, device="cpu")
    result = run(steps, events.append)
    notices = [event.message for event in events if isinstance(event, Notice)]
    branches = 3 * 60 * 6
    axons = sum(not line.parent for line in result.centrelines)
    assert 3 <= axons < 60
    assert len(notices) == 3
    boutons = 3 * 300 - len(result.boutons)
    assert notices[1].startswith(f"{boutons} boutons found no room")
    assert notices[0].startswith(f"{branches - len(result.centrelines)} axons and branches")
    assert "cells found no room" in notices[2]


def test_room_for_all_gives_all_without_a_notice() -> None:
    events: list[Event] = []
    changes = {"axons.count": 3, "axons.daughters": 2, "boutons.count": 5, "cells.count": 2}
    parameters = with_changes(FREE, changes | {"cells.radius": 3})
    result = run(generate_steps(parameters, 10, device="cpu"), events.append)
    assert not [event for event in events if isinstance(event, Notice)]
    assert len(result.centrelines) == 90
    assert len(result.boutons) == 50


def test_nothing_at_all() -> None:
    empty = with_changes(LINES, {"axons.count": 0, "boutons.count": 5})
    events: list[Event] = []
    result = run(generate_steps(empty, 2, device="cpu"), events.append)
    assert result.centrelines == []
    assert not result.axon_masks.any()
    assert not result.bouton_masks.any()
    assert len(result.boutons) == 0


def test_objects_do_not_depend_on_how_many_there_are() -> None:
    few = made(with_changes(FREE, {"axons.count": 2}), 5).centrelines
    many = made(with_changes(FREE, {"axons.count": 7}), 5).centrelines
    kept = [line for line in many if line.axon <= 2]
    assert len(kept) == len(few) == 20
    for one, other in zip(few, kept, strict=True):
        assert np.array_equal(one.points, other.points)
        assert np.array_equal(one.brightness, other.brightness)
