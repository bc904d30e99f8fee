"""What our drawings have in common: colours that are read on light and on dark."""

_BASE = (
    "svg{{color:#24292f;background:#fff}}text{{font:12px system-ui,sans-serif;fill:currentColor}}"
    ".grid{{stroke:currentColor;opacity:.18}}{light}"
    "@media (prefers-color-scheme:dark){{svg{{color:#e6edf3;background:#0d1117}}{dark}}}"
)


def style(light: str, dark: str) -> str:
    """The style sheet: text, background and grid (class `grid`), then a drawing's own rules on light and on dark."""
    return _BASE.format(light=light, dark=dark)
