"""The plugin's page in napari's Preferences."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

P = TypeVar("P", bound=BaseModel)

PLUGIN = "napari-axongen"


def preference(name: str, default: Any) -> Any:
    """Value of one preference, whichever section of the page holds it.

    Parameters
    ----------
    name
        Name of the property in the manifest, such as ``device``.
    default
        Returned when the plugin is not installed as one, the preference does not exist, or napari
        is older than plugin preferences (0.9).
    """
    try:
        from napari.settings import get_plugin_settings

        settings = get_plugin_settings(PLUGIN)
    except (ImportError, KeyError):
        return default
    for section in type(settings).model_fields:
        value = getattr(getattr(settings, section), name, None)
        if value is not None:
            return value
    return default


def preferred(parameters: type[P]) -> P:
    """Parameters of a verb, on the device and within the memory that the preferences say.

    Parameters
    ----------
    parameters
        Their model; it has ``device`` and ``memory``.
    """
    fields = parameters.model_fields
    names = ("device", "memory")
    return parameters(**{name: preference(name, fields[name].default) for name in names})
