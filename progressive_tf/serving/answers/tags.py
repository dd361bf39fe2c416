"""Tags of words, and the entities that they mark."""

from __future__ import annotations

from typing import Any

from progressive_tf.data.tags import OUTSIDE, is_tag
from progressive_tf.serving.answers.classes import ServedClasses

_COUNT, _SPANS, _TAGS = "count", ("start", "end", "kind", "score"), "tags"


class ServedTags(ServedClasses):
    """A tag for each word, and where entities begin and end; an older version may give entities alone."""

    says = (_TAGS, "kind", "start", "end")
    how_sure = (*ServedClasses.how_sure, "score")
    truth_column = _TAGS
    confidence_column = None  # a stage's record has it for each word

    def trimmed(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """Returns as many entities and tags as the instance has."""
        if _COUNT in outputs:
            outputs |= {name: outputs[name][: outputs[_COUNT]] for name in _SPANS if name in outputs}
            while outputs.get(_TAGS) and not outputs[_TAGS][-1]:
                outputs[_TAGS].pop()
        return outputs

    def category(self, label: Any) -> str | None:
        """Returns the kinds of entities that tags or entities have."""
        if not isinstance(label, list):
            return str(label)
        kinds = {one[2:] if is_tag(one) else one for one in label if one != OUTSIDE}
        return ", ".join(sorted(kinds)) or "no entity"
