"""How every page of this package is made of its template."""

from __future__ import annotations

import jinja2


def page_environment(package: str = "progressive_tf.reporting") -> jinja2.Environment:
    """Returns what makes pages: a package's templates, beside the style and macros that all pages share. What they are
    given is escaped, and a name that is missing is an error.
    """
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(each, ".") for each in dict.fromkeys((package, "progressive_tf.reporting"))]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
