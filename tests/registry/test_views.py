from __future__ import annotations

import re

from progressive_tf.registry.views import serving_config


def test_the_servers_config_names_the_aliases_versions_only() -> None:
    config = serving_config("reviews", {"stable": 2, "previous": 1, "canary": 2})
    assert 'name: "reviews"' in config
    assert 'base_path: "/models/reviews"' in config
    policy = re.search(r"model_version_policy \{\s*specific \{\s*(.*?)\s*\}\s*\}", config, re.DOTALL)
    assert policy is not None
    assert policy[1].split() == ["versions:", "1", "versions:", "2"]
    labels = re.findall(r'version_labels \{\s*key: "(\w+)"\s*value: (\d+)\s*\}', config)
    assert labels == [("stable", "2"), ("previous", "1"), ("canary", "2")]
    assert config.count("{") == config.count("}")


def test_without_aliases_nothing_is_served() -> None:
    assert serving_config("reviews", {}).split() == ["model_config_list", "{", "}"]
