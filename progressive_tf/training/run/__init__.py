"""What all stages of a run share: its folder, its data, its network and what it starts from."""
