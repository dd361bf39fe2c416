"""Data sets, weights and vocabularies by name: what is known, where it stands, and how it gets there."""

from progressive_tf.assets.catalogue import catalogue, find, is_asset
from progressive_tf.assets.entry import Asset, AssetFile, Reading
from progressive_tf.assets.lookup import locate

__all__ = ["Asset", "AssetFile", "Reading", "catalogue", "find", "is_asset", "locate"]
