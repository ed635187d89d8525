"""PatchGAN: judges patches of an image, not the whole (Isola et al. 2017, section 3.2.2)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """Four-pixel convolutions with spectral normalisation (Miyato et al. 2018); used in training.

    Parameters
    ----------
    channels
        Of each layer; all but the last halve the resolution. Three layers look at patches of 34
        pixels.
    in_channels
        Of the image and what it is judged with.
    """

    def __init__(self, channels: Sequence[int] = (48, 96, 128), in_channels: int = 4) -> None:
        super().__init__()
        sizes = [in_channels, *channels]
        last = len(channels) - 1
        self.layers = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(a, b, 4, stride=1 if level == last else 2, padding=1)),
                nn.LeakyReLU(0.2),
            )
            for level, (a, b) in enumerate(zip(sizes, channels, strict=False))
        )
        self.head = spectral_norm(nn.Conv2d(channels[-1], 1, 4, padding=1))

    def forward(self, x: Tensor) -> list[Tensor]:
        """What each layer sees in (N, in_channels, H, W), and last the verdict on each patch."""
        seen = []
        for layer in self.layers:
            x = layer(x)
            seen.append(x)
        return [*seen, self.head(x)]
