"""The figures of an image in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_axongen.core.morphometry import Morphometry


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def summary(result: Morphometry | None) -> str:
    """Rich text for the head of the table."""
    if result is None:
        return "Not measured yet."
    image = result.image
    density = next((key for key in image if key.startswith("axon_density")), "")
    density_unit = density[density.find("(") + 1 : -1].replace("^-2", "²").replace("um", "µm")
    diameter = image[f"mean_axon_diam ({result.unit})"]
    parts = [
        f"<b>{image['fibres']:,.0f}</b> fibres ({image['myelinated_fibres']:,.0f} myelinated)",
        f"AVF <b>{image['avf']:.3f}</b>",
        f"MVF <b>{image['mvf']:.3f}</b>",
        f"density <b>{_short(image[density])}</b> / {density_unit}",
        f"mean g-ratio <b>{image['mean_gratio']:.3f}</b>",
        f"mean axon diameter <b>{diameter:.3g}</b> {result.unit.replace('um', 'µm')}",
    ]
    return "&nbsp;&nbsp;·&nbsp;&nbsp;".join(part for part in parts if "nan" not in part)
