"""What libvips is asked to do, and how much of it."""

import pyvips

WIDTHS = range(16, 2001)
HEIGHT_MOST = 4000
PIXELS_MOST = 50_000_000
"""A small file can say that it is a picture of any size."""
LOADERS = {"gifload_buffer", "heifload_buffer", "jpegload_buffer", "pngload_buffer", "webpload_buffer"}
WRITTEN = {
    "image/avif": (".avif", {"Q": 55, "effort": 2}),
    "image/webp": (".webp", {"Q": 75}),
    "image/jpeg": (".jpg", {"Q": 80, "optimize_coding": True}),
}
"""The best first. The last is what everybody can show."""

pyvips.cache_set_max(0)
# As many threads as a node has processors would be too many of them on a large one.
pyvips.concurrency_set(1)
# Loaders that were never made for what strangers send.
pyvips.block_untrusted_set(True)


class BadPicture(Exception):
    """It cannot be read."""


def wanted_type(accept):
    """The first of those that the client lists, in our order."""
    listed = {each.partition(";")[0].strip().lower() for each in (accept or "").split(",")}
    return next((kind for kind in WRITTEN if kind in listed), "image/jpeg")


def resized(data, width, kind):
    """A picture, not wider than `width`, upright, without its metadata. Raises BadPicture."""
    suffix, options = WRITTEN[kind]
    try:
        # This reads its head only.
        head = pyvips.Image.new_from_buffer(data, "", access="sequential")
        if head.get("vips-loader") not in LOADERS:
            raise BadPicture("it is no AVIF, GIF, JPEG, PNG or WebP")
        if head.width * head.height > PIXELS_MOST:
            raise BadPicture(f"it has {head.width} x {head.height} pixels, more than {PIXELS_MOST}")
        # The option is the loader's: what ends too early is no picture.
        bounds = {"height": HEIGHT_MOST, "size": "down"}
        small = pyvips.Image.thumbnail_buffer(
            data, width, **bounds, export_profile="srgb", option_string="fail_on=truncated"
        )
        return small.write_to_buffer(suffix, keep="none", **options)
    except pyvips.Error as error:
        raise BadPicture(f"it cannot be read: {error.detail.strip().splitlines()[-1]}") from error
