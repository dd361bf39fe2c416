"""BERT as blocks: classes of texts, and tags of words."""
