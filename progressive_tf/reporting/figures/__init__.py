"""Figures as inline SVG, drawn by matplotlib without pyplot, the same bytes for the same records."""
