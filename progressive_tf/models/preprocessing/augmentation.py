"""Random changes to images, as Keras layers that are told what to draw: the same numbers give the same images."""

from __future__ import annotations

import math

import tensorflow as tf

from progressive_tf.models.addons import cutout
from progressive_tf.plan.methods import Augmentation

WHITE = 255.0
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: how bright red, green and blue look
GREY = 128


class Geometry(tf.keras.layers.Layer):
    """Flip, crop, zoom, shear and rotation as one affine map, so that an image is resampled once."""

    draws = 7

    def __init__(self, settings: Augmentation) -> None:
        super().__init__(name="geometry")
        self.settings = settings

    def call(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Returns images float32 [batch, size, size, 3] changed by `draws` float32 [batch, 7], uniform in [0, 1)."""
        settings = self.settings
        flip, left, top, cropped, zoomed, sheared, turned = tf.unstack(draws, axis=1)
        mirrored = tf.where(flip < 0.5, -1.0, 1.0) if settings.flip else tf.ones_like(flip)
        kept = 1.0 - settings.crop * cropped
        scale = kept * (1.0 + settings.zoom * (2.0 * zoomed - 1.0))
        shear = settings.shear * (2.0 * sheared - 1.0)
        angle = settings.rotate * (math.pi / 180.0) * (2.0 * turned - 1.0)
        cosine, sine = tf.cos(angle), tf.sin(angle)
        # Where each output place, seen from the middle, comes from: rotation × shear × scale, then what was cropped.
        across, along = scale * cosine * mirrored, scale * (shear * cosine - sine)
        down, upright = scale * sine * mirrored, scale * (shear * sine + cosine)
        size = tf.cast(tf.shape(images)[1], tf.float32)
        middle, room = (size - 1.0) / 2.0, (1.0 - kept) * size
        right = middle - middle * (across + along) + room * (left - 0.5)
        below = middle - middle * (down + upright) + room * (top - 0.5)
        none = tf.zeros_like(flip)
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.stack([across, along, right, down, upright, below, none, none], axis=1),
            output_shape=tf.shape(images)[1:3],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="REFLECT",
        )


class Colour(tf.keras.layers.Layer):
    """Brightness, contrast and saturation, in this order."""

    draws = 3

    def __init__(self, settings: Augmentation) -> None:
        super().__init__(name="colour")
        self.share = settings.colour

    def call(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Returns images float32 [batch, size, size, 3] in [0, 255] changed by `draws` float32 [batch, 3], in [0,
        1).
        """
        brighter, sharper, stronger = (
            1.0 + self.share * (2.0 * draw[:, tf.newaxis, tf.newaxis, tf.newaxis] - 1.0)
            for draw in tf.unstack(draws, axis=1)
        )
        bright = images * brighter
        mean = tf.reduce_mean(bright, axis=[1, 2, 3], keepdims=True)
        contrasted = mean + (bright - mean) * sharper
        grey = tf.tensordot(contrasted, tf.constant(LUMA), axes=1)[..., tf.newaxis]
        return tf.clip_by_value(grey + (contrasted - grey) * stronger, 0.0, WHITE)


class Cutout(tf.keras.layers.Layer):
    """A grey square somewhere in the image (DeVries & Taylor 2017), by Addons."""

    draws = 2

    def __init__(self, settings: Augmentation) -> None:
        super().__init__(name="cutout")
        self.share = settings.cutout

    def call(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Returns images float32 [batch, size, size, 3] with a square each, whose middle is where `draws` float32
        [batch, 2], uniform in [0, 1), say.
        """
        size = tf.shape(images)[1]
        side = tf.maximum(tf.cast(tf.round(self.share * tf.cast(size, tf.float32) / 2.0), tf.int32), 1) * 2
        middle = tf.cast(draws * tf.cast(size, tf.float32), tf.int32)
        return cutout(images, tf.stack([side, side]), middle, constant_values=GREY)


class Augment(tf.keras.layers.Layer):
    """The changes that a stage asks for in the plan, in the order geometry, colour, cutout."""

    def __init__(self, settings: Augmentation) -> None:
        super().__init__(name="augment")
        geometric = any((settings.flip, settings.crop, settings.zoom, settings.shear, settings.rotate))
        self.steps: list[Geometry | Colour | Cutout] = [Geometry(settings)] if geometric else []
        self.steps += [Colour(settings)] if settings.colour else []
        self.steps += [Cutout(settings)] if settings.cutout else []

    @property
    def draws(self) -> int:
        """How many random numbers an image needs."""
        return sum(step.draws for step in self.steps)

    def call(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Returns images uint8 [batch, size, size, 3] changed by `draws` float32 [batch, draws], uniform in [0, 1)."""
        changed = tf.cast(images, tf.float32)
        parts = tf.split(draws, [step.draws for step in self.steps], axis=1)
        for step, part in zip(self.steps, parts, strict=True):
            changed = step(changed, part)
        return tf.cast(tf.clip_by_value(tf.round(changed), 0.0, WHITE), tf.uint8)
