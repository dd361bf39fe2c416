"""How a network learns and gives each kind of answer, and how answers are saved and exported."""
