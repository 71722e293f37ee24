"""The typed, validated experiment: from YAML to the settings of every match."""
