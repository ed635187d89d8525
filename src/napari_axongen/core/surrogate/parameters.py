"""Parameters of the surrogate two-photon images: form, command line and file are made from them.

The model is that of Billot (2017), its errors corrected. Defaults are the look of its own
parameter file; `presets` has others. Lengths are in pixels, intensities in units of the model's
nominal range 0 to 1 unless they say "grey".
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from napari_axongen.core.parameters import PIXEL_SIZE

from .distributions import Choice, Group, Number, Uniform, number

Profile = Literal["constant", "linear", "cosine"]


class AxonParameters(Group):
    """Axons and their branches."""

    count: Number = number(
        2, 0, 500, "Axons", "Axons that enter the field.", per="image", integer=True
    )
    daughters: Number = number(
        1, 0, 20, "Daughters", "Branches of an axon besides the first.", per="axon", integer=True
    )
    conformity: Number = number(
        0.99,
        -1,
        1,
        "Conformity",
        "Least cosine of the angle between successive steps; 1 is straight.",
        per="axon",
    )
    step: Number = number(
        2, 0.5, 8, "Step", "Length of a step of the random walk.", per="image", unit="px"
    )
    thickness: Number = number(
        Uniform(uniform=(1.5, 3)),
        0.5,
        40,
        "Thickness",
        "Greatest half-width of the mask; with true widths, the width of the axon.",
        per="branch",
        unit="px",
    )
    sigma: Number = number(
        1,
        0.2,
        20,
        "Profile sigma",
        "Standard deviation of the cross-profile; unused with true widths.",
        per="branch",
        unit="px",
    )
    mask_distance: Number = number(
        2.7,
        0.5,
        40,
        "Mask distance",
        "What is nearer to the centreline belongs to the mask; unused with true widths.",
        per="branch",
        unit="px",
    )
    brightness: Number = number(
        Uniform(uniform=(0.1, 0.4)),
        0,
        10,
        "Brightness",
        "Coefficient along the axon; it varies within this distribution.",
        per="branch",
    )
    profile: Profile = Field("cosine", title="Profile", description="Course of the brightness.")
    branch_profile: Profile = Field(
        "cosine", title="Daughters' profile", description="Course of a daughter's brightness."
    )
    variation: Number = number(
        1,
        0,
        1,
        "Variation",
        "How far the brightness may go from its start towards the ends of its distribution.",
        per="branch",
    )
    periods: Number = number(
        Uniform(uniform=(0.1, 2)),
        0,
        100,
        "Periods",
        "Periods of a cosine profile along a branch.",
        per="branch",
    )
    noise: Number = number(
        0.055, 0, 5, "Texture", "White noise on the brightness of an axon.", per="image"
    )
    gaps: Number = number(1, 0, 50, "Gaps", "Gaps along a branch.", per="branch", integer=True)
    gap_length: Number = number(
        Uniform(uniform=(0, 11.6)),
        0,
        500,
        "Gap length",
        "Length over which the brightness falls to zero and rises again.",
        per="gap",
        unit="px",
    )
    crossings: bool = Field(
        False, title="Crossings", description="Whether axons may cross each other."
    )
    straight_branching: Number = number(
        10,
        0,
        1000,
        "Straight branching",
        "Without crossings: distance from a branch point, in thicknesses, within which a daughter "
        "may overlap its mother.",
        per="branch",
    )
    oblique: Number = number(
        0,
        0,
        1,
        "Oblique",
        "Part of the axons that enter anywhere along the edge, at any angle; the others enter at "
        "right angles in its middle half.",
        per="image",
    )
    starts_inside: Number = number(
        0, 0, 1, "Starts inside", "Part of the axons that start within the field.", per="image"
    )
    ends_inside: Number = number(
        0, 0, 1, "Ends inside", "Part of the branches that end within the field.", per="image"
    )
    defocus: Number = number(
        0,
        0,
        10,
        "Defocus",
        "Blur at the greatest depth that an axon may reach, above or below the focal plane.",
        per="axon",
        unit="px",
    )


class BoutonParameters(Group):
    """Swellings along the axons, and at the ends of short stalks."""

    count: Number = number(7, 0, 2000, "Boutons", "Boutons in a field.", per="image", integer=True)
    terminal: Number = number(
        0.5, 0, 1, "Terminal", "Part of the boutons that sit on a stalk.", per="image"
    )
    radius: Number = number(
        Choice(choice=(2, 3, 3)), 0.5, 50, "Radius", "Radius of the mask.", per="bouton", unit="px"
    )
    elongation: Number = number(
        1, 1, 5, "Elongation", "Length along the axon over the width.", per="bouton"
    )
    brightness: Number = number(
        Uniform(uniform=(0.31, 0.39)), 0, 10, "Brightness", "Peak of a bouton.", per="bouton"
    )
    noise: Number = number(
        1, 0, 10, "Speckle", "Noise on the distance from the centre.", per="image", unit="px"
    )
    min_distance: Number = number(
        8, 0, 200, "Least distance", "Between the centres of boutons.", per="image", unit="px"
    )
    stalk_length: Number = number(
        Uniform(uniform=(2.1, 3.1)), 1, 20, "Stalk length", "In radii.", per="bouton"
    )


class CellParameters(Group):
    """Lobed, speckled bodies that avoid the axons; in no mask."""

    count: Number = number(13, 0, 500, "Cells", "Cells in the field.", per="image", integer=True)
    radius: Number = number(
        Uniform(uniform=(3, 20)), 1, 100, "Radius", "Radius of a lobe.", per="cell", unit="px"
    )
    brightness: Number = number(
        Uniform(uniform=(0.1, 0.3)), 0, 10, "Brightness", "Peak of a cell.", per="cell"
    )
    noise: Number = number(
        1.3, 0, 10, "Speckle", "Noise on the distance from the centre.", per="image", unit="px"
    )
    dark: Number = number(
        Choice(choice=(1 / 2, 1 / 3, 1 / 4)), 0, 1, "Dark", "Part of dark pixels.", per="cell"
    )


class AcquisitionParameters(Group):
    """From fluorescence to grey values."""

    true_width: bool = Field(
        False,
        title="True widths",
        description="Thickness sets the width of profile and mask (not so in the original).",
    )
    additive: bool = Field(
        False,
        title="Additive crossings",
        description="Fluorescence adds up where axons, boutons and cells meet.",
    )
    normalise: bool = Field(
        True,
        title="Normalise",
        description="Scale to the brightest pixel, before the background and after the noise, as "
        "the original does; else grey values are clipped.",
    )
    psf_sigma: Number = number(
        0.5, 0, 20, "PSF sigma", "Standard deviation of the optical blur.", per="image", unit="px"
    )
    signal: Number = number(
        255,
        1,
        65535,
        "Signal",
        "Grey value of intensity 1; unused when normalised.",
        per="image",
        unit="grey",
    )
    background: Number = number(
        350, 0, 65535, "Background", "Mean background.", per="image", unit="grey"
    )
    background_variation: Number = number(
        4.4, 0, 10000, "Background variation", "Its standard deviation.", per="image", unit="grey"
    )
    background_correlation: Number = number(
        6,
        1,
        200,
        "Background correlation",
        "Standard deviation of the Gaussian that smooths it.",
        per="image",
        unit="px",
    )
    gain: Number = number(
        0, 0, 1000, "Gain", "Grey values of a photon; 0: no shot noise.", per="image", unit="grey"
    )
    read_noise: Number = number(
        10, 0, 10000, "Read noise", "White noise of the detector.", per="image", unit="grey"
    )
    offset: Number = number(
        0, -1000, 10000, "Offset", "Grey value without light.", per="image", unit="grey"
    )
    haze: Number = number(
        0,
        0,
        10000,
        "Haze",
        "Peak of a wide glow, as of a cell body below.",
        per="image",
        unit="grey",
    )
    haze_size: Number = number(
        80, 5, 2000, "Haze size", "Standard deviation of the glow.", per="image", unit="px"
    )
    vignetting: Number = number(
        0, 0, 1, "Vignetting", "Part of the light that is lost in the corners.", per="image"
    )
    line_jitter: Number = number(
        0, 0, 5, "Line jitter", "Horizontal shift of a scan line.", per="image", unit="px"
    )


class SeriesParameters(Group):
    """What changes from frame to frame."""

    frames: int = Field(6, ge=1, le=1000, title="Frames", description="Frames of a series.")
    row_shift: Number = number(
        20,
        1,
        500,
        "Row shift",
        "Range of the vertical shift of a frame; 1: none.",
        per="image",
        unit="px",
        integer=True,
    )
    column_shift: Number = number(
        20,
        1,
        500,
        "Column shift",
        "Range of the horizontal shift of a frame; 1: none.",
        per="image",
        unit="px",
        integer=True,
    )
    max_rotation: Number = number(
        4, 0, 45, "Rotation", "Greatest angle of a frame, either way.", per="image", unit="deg"
    )
    first_frame: Number = number(
        0.3,
        0,
        1,
        "In first frame",
        "Part of the boutons that are there from the start.",
        per="image",
    )
    bleaching: Number = number(
        0, 0, 1, "Bleaching", "Part of the fluorescence that is lost per frame.", per="image"
    )


def _group(kind: type[Group], title: str) -> Any:
    return Field(default_factory=kind, title=title, description=(kind.__doc__ or "").strip())


class SurrogateParameters(Group):
    """Parameters of `generate` and `generate_series`."""

    width: int = Field(
        256, ge=16, le=8192, title="Width", description="Columns.", json_schema_extra={"unit": "px"}
    )
    height: int = Field(
        256, ge=16, le=8192, title="Height", description="Rows.", json_schema_extra={"unit": "px"}
    )
    pixel_size: float | None = PIXEL_SIZE
    max_intensity: int = Field(
        255,
        ge=1,
        le=65535,
        title="Greatest grey value",
        description="Images are 8 bits deep up to 255, else 16.",
    )
    negative: bool = Field(
        False, title="Negative", description="Dark axons: grey values are inverted."
    )
    axons: AxonParameters = _group(AxonParameters, "Axons")
    boutons: BoutonParameters = _group(BoutonParameters, "Boutons")
    cells: CellParameters = _group(CellParameters, "Cells")
    acquisition: AcquisitionParameters = _group(AcquisitionParameters, "Acquisition")
    series: SeriesParameters = _group(SeriesParameters, "Series")
