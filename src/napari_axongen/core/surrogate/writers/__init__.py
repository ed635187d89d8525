"""Files that an export writes: pixels by one writer a format, everything else as tables."""

from __future__ import annotations

from .base import Format, Layout, Writer, finish, unfinished
from .tables import Tables

__all__ = ["Format", "Layout", "Tables", "Writer", "finish", "make_writer", "unfinished"]


def make_writer(format: Format, layout: Layout) -> Writer:
    """Writer of a format; touches no file yet.

    Raises
    ------
    InputError
        A package that the format needs is not installed, or there is no such format.
    """
    # Here, as h5py and zarr are optional.
    from napari_axongen.core.errors import InputError

    try:
        if format == "tiff":
            from .tiff import TiffWriter

            return TiffWriter(layout)
        if format == "mat":
            from .mat import MatWriter

            return MatWriter(layout)
        if format == "zarr":
            from .ome_zarr import ZarrWriter

            return ZarrWriter(layout)
    except ModuleNotFoundError as error:
        raise InputError(
            f"The format {format} needs the package {error.name}, which is not installed; run "
            "pip install 'napari-axongen[export]', or take tiff."
        ) from error
    raise InputError(f"There is no format '{format}'; choose tiff, mat or zarr.")
