"""What files of examples hold and what is wrong with it, before there is a plan, and plans that fit them."""
