"""The fire drill: versions that are harmed on purpose, played through gate, canary and monitor."""
